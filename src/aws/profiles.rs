//! Named profiles of AWS's config and credentials files.

use super::{
    adapter::timeouts,
    provider::Held,
    sessions::{ProblemKind, SessionProblem},
};
use aws_config::{
    BehaviorVersion, Region,
    profile::{Profile, ProfileFileCredentialsProvider, ProfileSet},
    provider_config::ProviderConfig,
    retry::RetryConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::os_shim_internal::{Env, Fs};
use std::error::Error;

/// What a profile must not have, and why. Names as in the AWS SDKs and Tools Reference Guide, "Settings reference".
const REFUSED: [(&str, &str); 8] = [
    ("credential_process", "arnkeeper runs no programs: write the access keys into the file"),
    ("sso_session", "nobody is there to sign in: use access keys or a role"),
    ("sso_start_url", "nobody is there to sign in: use access keys or a role"),
    ("sso_account_id", "nobody is there to sign in: use access keys or a role"),
    ("sso_role_name", "nobody is there to sign in: use access keys or a role"),
    ("sso_region", "nobody is there to sign in: use access keys or a role"),
    ("login_session", "nobody is there to sign in: use access keys or a role"),
    ("mfa_serial", "nobody is there to type a code: let the role's trust policy do without MFA"),
];
/// The most profiles that follow one another.
const LONGEST_CHAIN: usize = 10;

/// The credentials of a profile, read from the files now; its roles are assumed with STS in `region`.
///
/// # Errors
/// If there is no such profile, or one that it builds on can't be used; no value is repeated.
pub async fn provider(
    name: &str,
    files: &EnvConfigFiles,
    http: &SharedHttpClient,
    region: &str,
) -> Result<SharedCredentialsProvider, SessionProblem> {
    let set = aws_config::profile::load(&Fs::real(), &Env::real(), files, Some(name.to_owned().into())).await;
    check(name, &set.map_err(|error| invalid(&unreadable(&error)))?)?;
    let config = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
        .with_http_client(http.clone())
        .with_region(Some(Region::new(region.to_owned())))
        .with_timeout_config(timeouts())
        .with_retry_config(RetryConfig::standard());
    let builder = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name);
    let source = SharedCredentialsProvider::new(builder.profile_files(files.clone()).build());
    Ok(SharedCredentialsProvider::new(Held::new(source)))
}

fn invalid(message: &str) -> SessionProblem {
    SessionProblem::new(ProblemKind::ProfileInvalid, message)
}

fn unreadable(error: &(dyn Error + 'static)) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("the files with the profiles can't be read: {error}{cause}")
}

/// Follows a profile to where its credentials come from, as the SDK does, and refuses what must not be used.
fn check(name: &str, set: &ProfileSet) -> Result<(), SessionProblem> {
    let mut way: Vec<&str> = vec![];
    let mut next = Some(name);
    while let Some(name) = next {
        let found = set.get_profile(name).ok_or_else(|| missing(name, &way))?;
        if let Some((setting, why)) = REFUSED.into_iter().find(|(setting, _)| found.get(setting).is_some()) {
            return Err(invalid(&format!("profile {name:?}{} has {setting}: {why}", told(&way))));
        }
        if way.contains(&name) || way.len() == LONGEST_CHAIN {
            return Err(invalid(&format!(
                "profile {name:?}{} is reached again, or is too far: source_profile must lead to credentials",
                told(&way)
            )));
        }
        // A profile that another one builds on is not followed further if it has keys.
        let ends = !way.is_empty() && found.get("aws_access_key_id").is_some();
        way.push(name);
        next = if ends { None } else { source(found).filter(|source| *source != name) };
    }
    Ok(())
}

/// The profile whose credentials a profile's role is assumed with.
fn source(profile: &Profile) -> Option<&str> {
    profile.get("role_arn")?;
    if profile.get("web_identity_token_file").is_some() { None } else { profile.get("source_profile") }
}

fn missing(name: &str, way: &[&str]) -> SessionProblem {
    let message = format!(
        "there is no profile {name:?}{} in the operator's files: correct the name, or write it into the Secret that the Helm \
         value aws.profiles.secret names, as [profile {name}] of its key config or [{name}] of credentials",
        told(way)
    );
    SessionProblem::new(ProblemKind::ProfileMissing, message)
}

fn told(way: &[&str]) -> String {
    if way.is_empty() { String::new() } else { format!(" (by source_profile, from {})", way.join(" → ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_runtime::env_config::file::EnvConfigFileKind::{Config, Credentials};

    async fn refusal(name: &str, config: &str, credentials: &str) -> Option<(ProblemKind, String)> {
        let files =
            EnvConfigFiles::builder().with_contents(Config, config).with_contents(Credentials, credentials).build();
        let http = crate::aws::provider::http_client(&crate::aws::network::Network::default());
        let problem = provider(name, &files, &http, "eu-west-1").await.err()?;
        assert!(!problem.message.contains("wJalr") && !problem.message.contains("/opt/"), "a value: {problem}");
        Some((problem.kind, problem.message))
    }

    const KEYS: &str =
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n";
    const ROLE: &str = "role_arn = arn:aws:iam::111122223333:role/a\n";

    #[tokio::test]
    async fn profiles_with_keys_a_source_or_a_token_are_taken() {
        let base = format!("[base]\n{KEYS}");
        assert_eq!(refusal("base", "", &base).await, None);
        assert_eq!(refusal("a", &format!("[profile a]\n{ROLE}source_profile = base\n"), &base).await, None);
        assert_eq!(refusal("a", &format!("[profile a]\n{ROLE}source_profile = a\n{KEYS}"), "").await, None);
        assert_eq!(
            refusal("a", &format!("[profile a]\n{ROLE}credential_source = Ec2InstanceMetadata\n"), "").await,
            None
        );
        let token = format!("[profile a]\n{ROLE}web_identity_token_file = /t\nsource_profile = none\n");
        assert_eq!(refusal("a", &token, "").await, None);
        let stops = format!("[profile a]\n{ROLE}source_profile = b\n[profile b]\n{ROLE}source_profile = none\n{KEYS}");
        assert_eq!(refusal("a", &stops, "").await, None);
    }

    #[tokio::test]
    async fn a_profile_that_is_not_there_is_told_with_the_way_to_it() {
        let (kind, message) = refusal("prod", "", "").await.unwrap();
        assert!(kind == ProblemKind::ProfileMissing && message.contains("\"prod\""), "{message}");
        let config = format!("[profile prod]\n{ROLE}source_profile = base\n");
        let (kind, message) = refusal("prod", &config, "").await.unwrap();
        assert!(
            kind == ProblemKind::ProfileMissing && message.contains("\"base\" (by source_profile, from prod)"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn what_would_run_a_program_or_ask_a_person_is_refused_anywhere_in_the_chain() {
        for (setting, words) in [
            ("credential_process = /opt/bin/keys", "runs no programs"),
            ("sso_session = dev", "sign in"),
            ("sso_start_url = https://sso.example/start", "sign in"),
            ("login_session = arn:aws:iam::111122223333:user/a", "sign in"),
            ("mfa_serial = arn:aws:iam::111122223333:mfa/a", "MFA"),
        ] {
            let setting_name = setting.split(' ').next().unwrap();
            for config in [
                format!("[profile a]\n{setting}\n"),
                format!("[profile a]\n{setting}\n{KEYS}"),
                format!("[profile a]\n{ROLE}source_profile = b\n[profile b]\n{setting}\n"),
                format!("[profile a]\n{ROLE}source_profile = b\n[profile b]\n{KEYS}{setting}\n"),
            ] {
                let (kind, message) = refusal("a", &config, "").await.unwrap();
                assert_eq!(kind, ProblemKind::ProfileInvalid, "{config}");
                assert!(message.contains(setting_name) && message.contains(words), "{message}");
            }
        }
    }

    #[tokio::test]
    async fn a_chain_without_an_end_and_a_file_that_is_none_are_refused() {
        let round = format!("[profile a]\n{ROLE}source_profile = b\n[profile b]\n{ROLE}source_profile = a\n");
        let (kind, message) = refusal("a", &round, "").await.unwrap();
        assert!(kind == ProblemKind::ProfileInvalid && message.contains("a → b"), "{message}");
        let (kind, message) = refusal("a", "[profile a\nwJalrXUtnFEMI\n", "").await.unwrap();
        assert!(kind == ProblemKind::ProfileInvalid && message.contains("line 1"), "{message}");
    }
}
