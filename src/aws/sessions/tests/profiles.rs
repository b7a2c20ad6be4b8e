//! Named profiles, through real files.

use super::*;
use aws_runtime::env_config::file::EnvConfigFileKind::{Config, Credentials};
use std::{fs, path::PathBuf};

const OTHER: &str = "AKIAI44QH8DHBEXAMPLE";

/// A folder with the two files, as the chart mounts it.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("arnkeeper-profiles-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config"), "").unwrap();
        Self(folder)
    }

    fn credentials(&self, id: &str) {
        let text = format!("[base]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n");
        fs::write(self.0.join("credentials"), text).unwrap();
    }

    /// A stand-in whose sessions read these files.
    async fn stand(&self, answer: impl Fn(&Call, usize) -> (u16, String) + Send + Sync + 'static) -> Stand {
        let mut stand = Stand::new(answer).await;
        let files = EnvConfigFiles::builder().with_file(Config, self.0.join("config"));
        stand.sessions.profiles = files.with_file(Credentials, self.0.join("credentials")).build();
        let url = &stand.sts.url;
        let config = format!(
            "[profile base]\nendpoint_url = {url}\n[profile prod]\nendpoint_url = {url}\nsource_profile = base\n\
             role_arn = arn:aws:iam::444455556666:role/prod\nexternal_id = shared-id\n"
        );
        fs::write(self.0.join("config"), config).unwrap();
        stand
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn profile(name: &str) -> AwsAccount {
    account_with(1, &json!({ "credentials": { "profile": { "name": name } } }))
}

fn answers(call: &Call, number: usize) -> (u16, String) {
    match &*call.operation {
        "AssumeRole" => role(&format!("ASIA{number}")),
        _ if call.key == "ASIA0" => who("arn:aws:sts::444455556666:assumed-role/prod/arnkeeper"),
        _ => who(USER),
    }
}

#[tokio::test]
async fn a_profile_gives_its_keys_or_the_role_that_it_names() {
    let files = Files::new();
    files.credentials(ID);
    let stand = files.stand(answers).await;
    let session = stand.sessions.open(&profile("base")).await.ok().unwrap();
    assert_eq!(session.identity().arn, USER);
    stand.sessions.forget("prod");
    let session = stand.sessions.open(&profile("prod")).await.ok().unwrap();
    assert_eq!(session.identity().arn, "arn:aws:sts::444455556666:assumed-role/prod/arnkeeper");
    let calls = stand.sts.calls();
    assert_eq!(stand.sts.operations(), ["GetCallerIdentity", "AssumeRole", "GetCallerIdentity"]);
    assert_eq!(calls.iter().map(|c| &*c.key).collect::<Vec<_>>(), [ID, ID, "ASIA0"]);
    assert!(calls.iter().all(|c| c.region == "eu-west-1") && calls[1].body.contains("ExternalId=shared-id"));
}

#[tokio::test]
async fn files_are_read_again_after_an_hour_and_when_aws_refuses_the_keys() {
    let files = Files::new();
    files.credentials(ID);
    let stand = files.stand(answers).await;
    let open = || async { stand.sessions.open(&profile("base")).await.ok().unwrap() };
    let first = open().await;
    files.credentials(OTHER);
    stand.pass(3599);
    assert!(Arc::ptr_eq(&first, &open().await));
    stand.pass(1);
    let second = open().await;
    files.credentials(ID);
    stand.pass(60);
    stand.sessions.report(&profile("base"), &failed(Kind::Credentials));
    let third = open().await;
    assert!(!Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&second, &third));
    assert_eq!(stand.sts.calls().iter().map(|c| &*c.key).collect::<Vec<_>>(), [ID, OTHER, ID]);
}

#[tokio::test]
async fn what_is_wrong_with_a_profile_is_told_and_no_call_is_made() {
    let files = Files::new();
    files.credentials(ID);
    let stand = files.stand(answers).await;
    let problem = stand.sessions.open(&profile("nobody")).await.err().unwrap();
    assert_eq!((problem.kind, problem.reason()), (ProblemKind::ProfileMissing, "ProfileNotFound"));
    assert!(problem.message.contains("nobody"), "{problem}");
    let ran = files.0.join("ran");
    let process = format!("[base]\ncredential_process = /usr/bin/touch {}\n", ran.display());
    fs::write(files.0.join("credentials"), process).unwrap();
    stand.pass(30);
    let problem = stand.sessions.open(&profile("prod")).await.err().unwrap();
    assert_eq!((problem.kind, problem.reason()), (ProblemKind::ProfileInvalid, "ProfileInvalid"));
    assert!(problem.message.contains("credential_process") && !ran.exists(), "{problem}");
    fs::write(files.0.join("credentials"), "[base]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n").unwrap();
    stand.pass(30);
    let problem = stand.sessions.open(&profile("base")).await.err().unwrap();
    assert_eq!(problem.kind, ProblemKind::Credentials);
    assert!(problem.message.contains("aws_secret_access_key"), "{problem}");
    assert_eq!(stand.sts.calls().len(), 0, "AWS was called");
}
