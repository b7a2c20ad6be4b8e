use super::*;
use crate::{
    aws::{
        error::Kind,
        fake::{FakeAws, HandClock},
    },
    clock::Clock,
    pki::algorithm::KeyAlgorithm,
};

const ACCOUNT: &str = "111122223333";
const LIST: &str = "acm-pca:ListCertificateAuthorities";
const DESCRIBE: &str = "acm-pca:DescribeCertificateAuthority";
const READ: &str = "acm-pca:GetCertificateAuthorityCertificate";

fn region() -> Region {
    "eu-west-1".parse().unwrap()
}

fn arn(id: u8) -> AuthorityArn {
    format!("arn:aws:acm-pca:eu-west-1:{ACCOUNT}:certificate-authority/{id}").parse().unwrap()
}

fn authority(id: u8, name: &str) -> Authority {
    Authority {
        arn: arn(id),
        region: region(),
        common_name: Some(name.into()),
        state: AuthorityState::Active,
        state_name: "ACTIVE".into(),
        algorithm: Some(KeyAlgorithm::EcPrime256v1),
        algorithm_name: "EC_prime256v1".into(),
        short_lived: false,
        not_after: Some("2036-01-01T00:00:00Z".parse().unwrap()),
    }
}

fn certificate() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(vec!["ca.example.com".into()]).unwrap().self_signed(&key).unwrap().pem()
}

struct Stand {
    authorities: Authorities,
    aws: FakeAws,
    clock: HandClock,
}

impl Stand {
    fn with(authorities: Vec<Authority>) -> Self {
        Self::of(FakeAws::new(ACCOUNT), authorities)
    }

    fn of(aws: FakeAws, authorities: Vec<Authority>) -> Self {
        aws.world().authorities = authorities;
        aws.world().authority_certificate = certificate();
        Self { authorities: Authorities::default(), aws, clock: HandClock::at("2026-01-01T00:00:00Z") }
    }

    async fn by_name(&self, name: &str) -> Result<AuthorityArn, String> {
        self.authorities.by_name(&self.aws, &region(), name, self.clock.now()).await.unwrap()
    }

    async fn known(&self, id: u8, again: bool) -> Result<KnownAuthority, Refusal> {
        self.authorities.known(&self.aws, &arn(id), again, self.clock.now()).await.unwrap()
    }
}

#[tokio::test]
async fn a_name_that_one_ca_has_is_found_and_remembered_for_a_minute() {
    let s = Stand::with(vec![authority(1, "Root"), authority(2, "Web")]);
    assert_eq!(s.by_name("Web").await, Ok(arn(2)));
    s.clock.pass(59);
    assert_eq!(s.by_name("Root").await, Ok(arn(1)));
    assert_eq!(s.aws.count(LIST), 1);
    s.clock.pass(1);
    assert_eq!(s.by_name("Web").await, Ok(arn(2)));
    assert_eq!(s.aws.count(LIST), 2);
}

#[tokio::test]
async fn a_ca_that_is_gone_has_no_name_and_one_that_is_disabled_has() {
    let state = |id, state| Authority { state, ..authority(id, "Web") };
    let s = Stand::with(vec![state(1, AuthorityState::Gone), state(2, AuthorityState::Disabled)]);
    assert_eq!(s.by_name("Web").await, Ok(arn(2)));
}

#[tokio::test]
async fn a_name_of_none_or_of_several_tells_a_person_to_use_the_arn() {
    let s = Stand::with(vec![authority(2, "Web"), authority(1, "Web")]);
    let several = s.by_name("Web").await.unwrap_err();
    assert!(several.contains(&format!("{}, {}", arn(1), arn(2))) && several.contains("certificateAuthority.arn"));
    let none = s.by_name("web").await.unwrap_err();
    assert!(none.contains("\"web\"") && none.contains("certificateAuthority.arn") && none.contains("eu-west-1"));
    assert_eq!(s.aws.count(LIST), 1);
}

#[tokio::test]
async fn of_very_many_with_one_name_not_all_are_told() {
    let s = Stand::with((100..200).map(|id| authority(id, "Web")).collect());
    let message = s.by_name("Web").await.unwrap_err();
    assert!(message.contains(" 100 ") && message.ends_with("certificate-authority/119, and more"), "{message}");
}

#[tokio::test]
async fn a_name_that_was_missing_is_looked_for_again_soon() {
    let s = Stand::with(vec![]);
    s.by_name("Web").await.unwrap_err();
    s.aws.world().authorities.push(authority(1, "Web"));
    s.by_name("Web").await.unwrap_err();
    s.clock.pass(10);
    assert_eq!(s.by_name("Web").await, Ok(arn(1)));
}

#[tokio::test]
async fn names_are_those_of_the_account_and_region() {
    let elsewhere = Authority { region: "us-east-1".parse().unwrap(), ..authority(1, "Web") };
    let s = Stand::with(vec![elsewhere]);
    s.by_name("Web").await.unwrap_err();
    let other = FakeAws::new("444455556666");
    other.world().authorities.push(authority(2, "Web"));
    let found = s.authorities.by_name(&other, &region(), "Web", s.clock.now()).await.unwrap();
    assert_eq!(found, Ok(arn(2)));
}

#[tokio::test]
async fn a_ca_is_remembered_for_a_minute_and_looked_at_again_on_demand() {
    let s = Stand::with(vec![authority(1, "Web")]);
    assert_eq!(s.known(1, false).await.unwrap().authority, authority(1, "Web"));
    s.clock.pass(59);
    s.known(1, false).await.unwrap();
    assert_eq!(s.aws.count(DESCRIBE), 1);
    s.aws.world().authorities[0].state = AuthorityState::Disabled;
    assert_eq!(s.known(1, true).await.unwrap().authority.state, AuthorityState::Disabled);
    // What stands in the way may be over at any time.
    s.clock.pass(9);
    s.known(1, false).await.unwrap();
    assert_eq!(s.aws.count(DESCRIBE), 2);
    s.clock.pass(1);
    s.known(1, false).await.unwrap();
    assert_eq!((s.aws.count(DESCRIBE), s.aws.count(READ)), (3, 1));
}

#[tokio::test]
async fn the_certificate_is_read_again_when_the_ca_got_another_end() {
    let s = Stand::with(vec![authority(1, "Web")]);
    let before = s.known(1, false).await.unwrap().certificate;
    s.aws.world().authority_certificate = certificate();
    assert_eq!(s.known(1, true).await.unwrap().certificate.der, before.der);
    s.aws.world().authorities[0].not_after = Some("2037-01-01T00:00:00Z".parse().unwrap());
    assert_ne!(s.known(1, true).await.unwrap().certificate.der, before.der);
    assert_eq!(s.aws.count(READ), 2);
}

#[tokio::test]
async fn each_account_sees_a_ca_for_itself() {
    let s = Stand::with(vec![authority(1, "Web")]);
    s.known(1, false).await.unwrap();
    let other = FakeAws::new("444455556666");
    let denied = s.authorities.known(&other, &arn(1), false, s.clock.now()).await;
    assert_eq!(denied.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn a_key_or_certificate_that_is_not_known_is_refused() {
    let unknown = Authority { algorithm: None, algorithm_name: "ML_DSA_44".into(), ..authority(1, "Web") };
    let s = Stand::with(vec![unknown, authority(2, "Web")]);
    let refusal = s.known(1, false).await.unwrap_err();
    assert!(refusal.reason == "AuthorityUnsupported" && refusal.message.contains("ML_DSA_44"), "{}", refusal.message);
    s.aws.world().authority_certificate = "nothing of the kind".into();
    let refusal = s.known(2, false).await.unwrap_err();
    assert!(refusal.reason == "AuthorityUnsupported" && refusal.message.contains(arn(2).as_str()));
}

#[tokio::test]
async fn a_ca_without_a_certificate_is_refused_until_it_has_one() {
    let waiting = Authority { state: AuthorityState::NotReady, not_after: None, ..authority(1, "Web") };
    let s = Stand::with(vec![waiting]);
    assert_eq!(s.known(1, false).await.unwrap_err().reason, "AuthorityNotReady");
    s.aws.world().authorities = vec![authority(1, "Web")];
    assert_eq!(s.known(1, false).await.unwrap_err().reason, "AuthorityNotReady");
    assert_eq!((s.aws.count(DESCRIBE), s.aws.count(READ)), (1, 0));
    s.clock.pass(10);
    s.known(1, false).await.unwrap();
}

#[tokio::test]
async fn those_who_ask_at_once_share_the_calls_and_wait_for_no_other_ca() {
    let s = Stand::of(FakeAws::gated(ACCOUNT), vec![authority(1, "Web"), authority(2, "Web")]);
    let other = FakeAws::new(ACCOUNT);
    other.world().authorities = vec![authority(2, "Web")];
    other.world().authority_certificate = certificate();
    let rest = async {
        s.authorities.known(&other, &arn(2), false, s.clock.now()).await.unwrap().unwrap();
        s.aws.gate.add_permits(1);
    };
    let (a, b, ()) = tokio::join!(s.known(1, false), s.known(1, false), rest);
    assert!(a.is_ok() && b.is_ok());
    assert_eq!((s.aws.count(DESCRIBE), s.aws.count(READ)), (1, 1));
}

#[tokio::test]
async fn a_failed_call_is_no_answer() {
    let s = Stand::with(vec![authority(1, "Web")]);
    s.aws.world().failure = Some(Kind::Throttled);
    let failed = s.authorities.known(&s.aws, &arn(1), false, s.clock.now()).await;
    assert_eq!(failed.unwrap_err().kind, Kind::Throttled);
    s.known(1, false).await.unwrap();
    s.aws.world().failure = Some(Kind::Throttled);
    assert!(s.authorities.by_name(&s.aws, &region(), "Web", s.clock.now()).await.is_err());
    assert_eq!(s.by_name("Web").await, Ok(arn(1)));
}

#[tokio::test]
async fn arns_that_nothing_was_found_under_cost_no_memory() {
    let s = Stand::with(vec![authority(1, "Web")]);
    s.known(1, false).await.unwrap();
    for id in 2..50 {
        assert!(s.authorities.known(&s.aws, &arn(id), false, s.clock.now()).await.is_err());
    }
    assert_eq!(s.authorities.seen.0.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_what_was_seen() {
    let s = Stand::with(vec![authority(1, "Web")]);
    s.known(1, false).await.unwrap();
    s.clock.pass(-3600);
    s.known(1, false).await.unwrap();
    assert_eq!(s.aws.count(DESCRIBE), 2);
}
