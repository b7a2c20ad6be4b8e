//! Well-formed DER that no CA should have made. Nothing panics, nothing costs more than its length, and a refusal says why.

use super::{
    EC, SCENE, ca,
    der::{
        Parts, certificate, common_name, dns_names, ec_key, extension, name, request, rsa_key, sequence, tlv, validity,
    },
    now, sign,
};
use crate::pki::{
    certificate::{Certificate, parse_pem_bundle},
    chain::Chain,
    csr::Csr,
    key::PrivateKey,
    pem,
    verify::verify_issued,
};

fn read(change: impl FnOnce(&mut Parts)) -> Result<Certificate, String> {
    Certificate::from_der(&certificate(change)).map_err(|e| e.to_string())
}

/// What becomes of an answer of the scene's CA.
fn answer(change: impl FnOnce(&mut Parts)) -> Result<Chain, String> {
    let answer = pem::encode("CERTIFICATE", &certificate(change));
    verify_issued(&answer, &SCENE.chain_pem(), &SCENE.csr, &SCENE.sub.certificate, now()).map_err(|e| e.to_string())
}

/// What is good about them all, so that each refusal below has its own reason.
#[test]
fn the_parts_make_a_certificate() {
    let good = |parts: &mut Parts| {
        parts.extensions = vec![extension(
            &[0x55, 0x1d, 0x11],
            &sequence(&[
                &tlv(0x82, &[b"a.example.com"]),
                &tlv(0x82, &[b"b.example.com"]),
                &tlv(0x87, &[&[10, 0, 0, 1]]),
            ]),
        )];
    };
    assert_eq!(answer(good).unwrap().leaf.names, SCENE.csr.names);
}

#[test]
fn serial_numbers_that_should_not_be() {
    let serial = |bytes: &[u8]| read(|p| p.serial = tlv(2, &[bytes])).map(|c| c.serial.to_string());
    assert_eq!(serial(&[0]).unwrap(), "00");
    assert_eq!(serial(&[0xff]).unwrap(), "ff", "a negative one is told as its bytes");
    assert_eq!(serial(&[0x7f; 64]).unwrap().len(), 64 * 3 - 1);
    assert!(serial(&[0x7f; 65]).unwrap_err().contains("128 hexadecimal digits"));
    assert!(serial(&vec![0x7f; 1 << 20]).unwrap_err().contains("128 hexadecimal digits"));
    assert!(serial(&[]).is_err());
}

#[test]
fn times_that_should_not_be() {
    let times = |validity: Vec<u8>| read(|p| p.validity = validity).map(|c| c.not_after.to_string());
    let long = |from: &[u8], to: &[u8]| sequence(&[&tlv(0x18, &[from]), &tlv(0x18, &[to])]);
    assert_eq!(times(validity(b"260601000000Z", b"491231235959Z")).unwrap(), "2049-12-31T23:59:59Z");
    assert_eq!(times(validity(b"500101000000Z", b"991231235959Z")).unwrap(), "1999-12-31T23:59:59Z");
    // No end at all: the last time that can be told.
    assert_eq!(times(long(b"20260601000000Z", b"99991231235959Z")).unwrap(), "9999-12-30T22:00:00Z");
    // Without seconds, with a fraction, with an offset, no such day, no time at all: refused or read, never a panic.
    for odd in [
        &b"2606010000Z"[..],
        b"260601000000+0100",
        b"260631000000Z",
        b"261301000000Z",
        b"260601250000Z",
        b"260601000061Z",
        b"",
        b"Z",
        b"\xff\xff\xff\xff",
        b"-60601000000Z",
    ] {
        let _ = times(validity(b"260601000000Z", odd));
        let _ = times(long(odd, b"20260601000000Z"));
        let _ = times(sequence(&[&tlv(0x18, &[b"20260601000000Z"]), &tlv(0x18, &[b"20260601000000.5Z"])]));
    }
    // What ends before it begins is not valid at any time.
    let refused = answer(|p| {
        p.validity = validity(b"260901000000Z", b"260601000000Z");
        p.extensions = vec![dns_names(["a.example.com"])];
    });
    assert!(refused.is_err());
}

#[test]
fn extensions_twice_and_by_the_thousand() {
    let twice = read(|p| p.extensions = vec![dns_names(["a.example.com"]), dns_names(["b.example.com"])]);
    assert!(twice.unwrap_err().contains("twice"));
    // Each with an OID of its own. A search for each among all before it takes minutes.
    let numbered = |n: u32| {
        let digit = |shift: u32| u8::try_from(n >> shift & 127).unwrap();
        extension(&[0x2a, 0x80 | digit(14), 0x80 | digit(7), digit(0)], &[5, 0])
    };
    let many = |count: u32| read(|p| p.extensions = (1 << 14..(1 << 14) + count).map(numbered).collect());
    assert!(many(100).is_ok());
    assert!(many(101).unwrap_err().contains("more than 100 extensions"));
    assert!(many(100_000).unwrap_err().contains("more than 100 extensions"));
    let csr = request(
        &common_name("a.example.com"),
        SCENE.key.public_key_der(),
        &(1 << 14..(1 << 14) + 1500).map(numbered).collect::<Vec<_>>(),
    );
    assert!(Csr::parse(&csr).unwrap_err().to_string().contains("more than 100 extensions"));
    // What is named is named once, whatever it holds.
    for value in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x04\x00"] {
        for id in [17_u8, 19, 15, 37, 30, 35] {
            let _ = read(|p| p.extensions = vec![extension(&[0x55, 0x1d, id], value)]);
        }
    }
}

#[test]
fn names_by_the_thousand_and_names_of_every_kind() {
    let names: Vec<String> = (0..50_000).map(|n| format!("n{n}.example.com")).collect();
    assert_eq!(read(|p| p.extensions = vec![dns_names(&names)]).unwrap().names.dns.len(), 50_000);
    let told = answer(|p| p.extensions = vec![dns_names(&names[..1000])]).unwrap_err();
    assert!(told.contains("not asked for"), "{told}");
    // IP addresses of no length that there is, another's name, a directory's name in a name, and so on into the depth.
    let mut deep = sequence(&[]);
    for _ in 0..5000 {
        deep = tlv(0xa4, &[&sequence(&[&deep])]);
    }
    for odd in [tlv(0x87, &[&[1, 2, 3]]), tlv(0xa0, &[&[6, 1, 42]]), tlv(0x88, &[&[42]]), deep] {
        let san = extension(&[0x55, 0x1d, 0x11], &sequence(&[&odd]));
        if let Ok(read) = read(|p| p.extensions = vec![san.clone()]) {
            assert!(read.has_other_names && read.names.is_empty());
        }
        assert!(answer(|p| p.extensions = vec![san]).is_err());
    }
    // A second common name, or one that is no text, is a name that nobody asked for.
    let cn = (3, 0x0c, &b"a.example.com"[..]);
    let good = |p: &mut Parts| p.extensions = vec![dns_names(["a.example.com", "b.example.com"])];
    for subject in [name(&[cn, (3, 0x0c, b"evil.example")]), name(&[cn, (3, 0x0c, b"\xff\xfe")])] {
        let told = answer(|p| {
            good(p);
            p.subject = subject;
        });
        assert!(told.unwrap_err().contains("kind that is not supported"));
    }
}

#[test]
fn keys_that_nobody_should_have() {
    for key in [
        rsa_key(8192, &[1, 0, 1]),
        rsa_key(2048, &[0x7f; 4096]),
        rsa_key(2048, &[0]),
        rsa_key(2048, &[0xff]),
        rsa_key(8, &[3]),
        rsa_key(1 << 20, &[1, 0, 1]),
        ec_key(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1], 24),
        ec_key(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], 32),
        ec_key(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], 0),
        ec_key(&[0x2b, 0x81, 4, 0, 0x22], 1 << 20),
        sequence(&[&sequence(&[&[6, 3, 0x2b, 0x65, 0x70]]), &tlv(3, &[&[0], &[9; 32]])]),
        sequence(&[]),
    ] {
        // In a certificate it is read, perhaps; as a signer's key it fits no signature.
        if let Ok(odd) = read(|p| p.public_key.clone_from(&key)) {
            let leaf = Certificate::from_der(&certificate(|p| p.issuer = odd.subject_raw.clone())).unwrap();
            assert!(leaf.verify_signed_by(&odd).is_err());
        }
        assert!(answer(|p| p.public_key.clone_from(&key)).is_err());
        let told = Csr::parse(&request(&common_name("a.example.com"), &key, &[])).unwrap_err().to_string();
        let known = ["not supported", "signature", "no PKCS #10", "bytes, more than"];
        assert!(known.iter().any(|known| told.contains(known)), "{told}");
    }
}

#[test]
fn requests_of_the_clumsy() {
    let of = |subject: &[u8], extensions: &[Vec<u8>]| {
        Csr::parse(&request(subject, SCENE.key.public_key_der(), extensions)).map_err(|e| e.to_string())
    };
    let cn = (3, 0x0c, &b"a.example.com"[..]);
    assert!(of(&name(&[cn, cn]), &[]).unwrap_err().contains("more than one common name"));
    assert!(of(&common_name(&"a".repeat(65)), &[]).unwrap_err().contains("longer than 64"));
    assert_eq!(of(&common_name(&"ü".repeat(64)), &[]).unwrap().common_name.unwrap().len(), 128);
    assert!(of(&common_name("a\0.example.com"), &[]).unwrap_err().contains("NUL"));
    assert!(of(&sequence(&[]), &[dns_names(["a.example.com\0.evil"])]).unwrap_err().contains("no DNS name"));
    let many: Vec<String> = (0..250).map(|n| format!("n{n}.example.com")).collect();
    assert_eq!(of(&sequence(&[]), &[dns_names(&many)]).unwrap().names.dns.len(), 250);
    for odd in [
        "a.example.com.",
        "*.*.example.com",
        "bücher.example",
        "a..b",
        "xn--.-",
        "\u{202e}moc.elpmaxe",
        "рaypal.example",
    ] {
        assert!(of(&sequence(&[]), &[dns_names([odd])]).is_err(), "{odd:?}");
    }
}

#[test]
fn an_answer_that_is_too_long() {
    let leaf = sign(&SCENE.sub, &SCENE.key, &super::leaf_params());
    let error = |certificate: &str, chain: &str| SCENE.verify_pem(certificate, chain).unwrap_err();
    assert!(error(&format!("{leaf}{}", " ".repeat(32_768)), &SCENE.chain_pem()).contains("the 32768 that are taken"));
    let padded = format!("{}{}", SCENE.chain_pem(), "x".repeat(20 << 20));
    assert!(error(&leaf, &padded).contains("the chain has"));
    // Reversed, cut off, and with the certificate in front.
    let (sub, root) = (SCENE.sub.certificate.to_pem(), SCENE.root.certificate.to_pem());
    assert!(error(&leaf, &format!("{root}{sub}")).contains("does not begin"));
    assert!(error(&leaf, &sub[..sub.len() / 2]).contains("valid PEM"));
    assert!(error(&leaf, &format!("{leaf}{sub}{root}")).contains("does not begin"));
}

/// All of one name, so that each could be everybody's issuer.
#[test]
fn a_pool_of_namesakes() {
    let leaf = Certificate::from_der(&certificate(|_| {})).unwrap();
    let namesakes: Vec<Certificate> = (0..200).map(|_| ca("Sub", EC, Some(&SCENE.root)).certificate).collect();
    assert!(Chain::order(leaf.clone(), namesakes.clone()).unwrap_err().to_string().contains("name of its issuer"));
    let few = [&namesakes[..40], &[SCENE.sub.certificate.clone(), SCENE.root.certificate.clone()]].concat();
    assert!(Chain::order(leaf, few).unwrap().root.is_some());
}

/// Two CAs that signed each other: a way without an end.
#[test]
fn certificates_that_sign_each_other_in_a_ring() {
    let (one, other) = (ca("One", EC, None), ca("Other", EC, None));
    let cross = |by: &super::Ca, of: &super::Ca| {
        let issuer = rcgen::Issuer::from_params(&by.params, by.key.pair());
        Certificate::from_der(of.params.signed_by(of.key.pair(), &issuer).unwrap().der()).unwrap()
    };
    let ring = vec![cross(&one, &other), cross(&other, &one)];
    let leaf = parse_pem_bundle(&sign(&one, &SCENE.key, &super::leaf_params())).unwrap().remove(0);
    let chain = Chain::order(leaf.clone(), ring.clone()).unwrap();
    assert!(chain.root.is_none() && chain.above().count() == 2);
    assert!(Chain::in_order(leaf.clone(), [&*ring, &*ring].concat()).is_err());
    // With the roots there, it ends at one.
    let all = [&*ring, &[one.certificate, other.certificate]].concat();
    assert!(Chain::order(leaf, all).is_ok());
}

/// CVE-2024-12401: headers without an end, which a careless reader searches again from every one.
#[test]
fn headers_without_an_end() {
    let mut text = String::new();
    for n in 0..60_000 {
        text.push_str(if n % 97 == 0 { "---+/v/--BEGIN -\n" } else { "-----BEGIN -----\n" });
    }
    for tail in ["", "-----END CERTIFICATE-----\n", "-----END -----\n"] {
        let text = format!("{text}{tail}");
        assert!(parse_pem_bundle(&text).is_err());
        assert!(PrivateKey::from_pem(&text).is_err());
        assert!(Csr::parse(&text).is_err());
        assert!(verify_issued(&text, &text, &SCENE.csr, &SCENE.sub.certificate, now()).is_err());
    }
}
