use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn refused(pairs: &[(&str, &str)]) -> Option<String> {
    check(&environment(pairs)).err().map(|problem| problem.to_string())
}

#[test]
fn proxies_by_http_are_taken() {
    for url in [
        "http://proxy.example:3128",
        "https://proxy.example",
        "proxy.example:3128",
        "http://10.0.0.1:3128/",
        "http://[fd00::1]:3128",
        "http://user:a%40b@proxy.example:3128",
        "",
    ] {
        assert_eq!(refused(&[("HTTPS_PROXY", url)]), None, "{url}");
    }
}

#[test]
fn what_is_no_proxy_is_told_without_its_password() {
    for name in PROXIES {
        for url in [
            "socks5://proxy.example:1080",
            "http://user:hush#hush@proxy.example:3128",
            "http://user:hush/hush@proxy.example:3128",
            "http://user:1/hush@proxy.example:3128",
            "http://proxy.example:hush",
            "http://user:hu sh@proxy.example",
            "http://",
            "/run/proxy",
        ] {
            let message = refused(&[(name, url)]).unwrap_or_else(|| panic!("{name}={url} is taken"));
            assert!(message.starts_with(name) && !message.contains("hush") && !message.contains("hu sh"), "{message}");
        }
    }
}

#[test]
fn endpoints_are_urls() {
    assert_eq!(refused(&[("AWS_ENDPOINT_URL_ACM", "https://vpce-1.acm.eu-west-1.vpce.amazonaws.com")]), None);
    assert_eq!(refused(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")]), None);
    for url in ["vpce-1.acm.eu-west-1.vpce.amazonaws.com", "ftp://a.example", "https://", "https://a b"] {
        let message = refused(&[("AWS_ENDPOINT_URL_ACM_PCA", url)]).unwrap_or_else(|| panic!("{url} is taken"));
        assert!(message.contains("AWS_ENDPOINT_URL_ACM_PCA") && message.contains("https://"), "{message}");
        assert_eq!(refused(&[("AWS_ENDPOINT_URL_ACM_PCA", url), (IGNORE_ENDPOINTS, "true")]), None);
    }
}

#[test]
fn an_endpoint_excludes_a_variant() {
    for variant in VARIANTS {
        let endpoint = ("AWS_ENDPOINT_URL_STS", "https://sts.example");
        let message = refused(&[endpoint, (variant, "TRUE")]).unwrap();
        assert!(message.contains("AWS_ENDPOINT_URL_STS") && message.contains(variant), "{message}");
        assert_eq!(refused(&[endpoint, (variant, "false")]), None);
        assert_eq!(refused(&[(variant, "true")]), None);
        // The SDK would go on without it.
        assert!(refused(&[(variant, "yes")]).unwrap().contains("true or false"));
    }
}

#[test]
fn entries_of_no_proxy_that_match_nothing_are_known() {
    let list = "localhost, .svc,*,10.0.0.0/8,fd00:ec2::/32,::1,*.example,host:443,http://a.example,169.254.169.254,";
    let all = environment(&[("NO_PROXY", list), ("no_proxy", "*.not-read")]);
    assert_eq!(unmatched(&all), ["*.example", "host:443", "http://a.example"]);
    assert!(unmatched(&environment(&[])).is_empty());
}

#[test]
fn an_asterisk_in_no_proxy_is_everything() {
    for (pairs, direct) in [
        (&[("NO_PROXY", "*")][..], true),
        (&[("NO_PROXY", ".svc, *")], true),
        (&[("no_proxy", "*")], true),
        (&[("NO_PROXY", "*.example")], false),
        (&[("NO_PROXY", "a.example"), ("no_proxy", "*")], false),
        (&[], false),
    ] {
        assert_eq!(is_direct(&environment(pairs)), direct, "{pairs:?}");
    }
}

#[test]
fn a_bundle_that_can_not_be_used_is_told_with_its_name() {
    let folder = env::temp_dir().join(format!("arnkeeper-bundle-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let own = double::Own::of("a.example").ca;
    let two = format!("{own}# and another\n{}", double::Own::of("b.example").ca);
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text, words) in [
        ("one", &*own, None),
        ("two", &*two, None),
        ("empty", "", Some("no certificate")),
        ("text", "see the wiki", Some("no certificate")),
        ("cut", cut, Some("can't be used")),
        ("broken", "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n", Some("not PEM")),
        ("half", &*(own.clone() + cut), Some("can't be used")),
    ] {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        let file = file.to_string_lossy();
        match (bundle(&file), words) {
            (Ok(_), None) => {}
            (Err(problem), Some(words)) => {
                let message = problem.to_string();
                assert!(
                    message.contains(words) && message.contains(&*file) && message.contains(CA_BUNDLE),
                    "{message}"
                );
            }
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
    let message = bundle(&folder.join("none").to_string_lossy()).unwrap_err().to_string();
    assert!(message.contains("can't be read"), "{message}");
    fs::remove_dir_all(&folder).unwrap();
}
