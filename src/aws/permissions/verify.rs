//! Finds out what an account's identity may do, without side effects.

use super::{On, learned::All};
use crate::{
    api::names::{CertificateArn, IssuedArn},
    aws::{
        error::{AwsError, Kind},
        port::Aws,
    },
    core::permissions::{Needs, Proofs, questions},
};

/// An id that nothing has.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// What IAM said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What it knows.
    pub proofs: Proofs,
    /// Why it could not be asked.
    pub refusal: Option<AwsError>,
}

impl Answer {
    /// Whether asking again soon may give more.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.refusal.as_ref().is_some_and(|error| matches!(error.kind, Kind::Transient | Kind::Throttled))
    }
}

/// Asks IAM, if there is a principal to ask for. What it does not tell, the harmless reads show: they are made, and what
/// comes of them is learned like that of every call. `known` needs no call.
pub async fn verify(aws: &dyn Aws, principal: Option<&str>, cluster: &str, needs: &Needs, known: &All) -> Answer {
    let mut answer = Answer::default();
    if let Some(principal) = principal {
        for (region, question) in questions(needs, principal, cluster) {
            match aws.simulate(&question).await {
                Ok(verdicts) => {
                    for verdict in verdicts.into_iter().filter(|v| v.allowed || v.missing.is_empty()) {
                        let Some(action) = question.actions.iter().find(|action| **action == verdict.action) else {
                            continue;
                        };
                        // Several CAs: each of them has to be allowed.
                        let all = answer.proofs.entry((*action, region.clone())).or_insert(true);
                        *all &= verdict.allowed;
                    }
                }
                Err(error) => {
                    answer.refusal = Some(error);
                    break;
                }
            }
        }
    }
    let unknown = |action: &'static str, region: &crate::api::names::Region| {
        let key = (action, region.clone());
        !answer.proofs.contains_key(&key) && !known.contains_key(&key)
    };
    for (permission, region) in needs.actions().filter(|(p, region)| unknown(p.action, region)) {
        match permission.on {
            On::Certificate => {
                let nobody =
                    format!("arn:{}:acm:{region}:{}:certificate/{NOBODY}", region.partition(), aws.identity().account);
                let arn: Option<CertificateArn> =
                    needs.certificates.get(region).cloned().or_else(|| nobody.parse().ok());
                let Some(arn) = arn else { continue };
                // Errors are learned from, too.
                match permission.action {
                    "acm:DescribeCertificate" => drop(aws.describe_certificate(&arn).await),
                    "acm:GetCertificate" => drop(aws.certificate_body(&arn).await),
                    "acm:ListTagsForCertificate" => drop(aws.tags(&arn).await),
                    _ => {}
                }
            }
            On::Authority => {
                for authority in needs.authorities_in(region) {
                    match permission.action {
                        "acm-pca:DescribeCertificateAuthority" => drop(aws.describe_authority(authority).await),
                        "acm-pca:GetCertificateAuthorityCertificate" => {
                            drop(aws.authority_certificate(authority).await);
                        }
                        "acm-pca:GetCertificate" => {
                            let nothing: Option<IssuedArn> =
                                format!("{authority}/certificate/{}", NOBODY.replace('-', "")).parse().ok();
                            if let Some(arn) = nothing {
                                drop(aws.issued(&arn).await);
                            }
                        }
                        _ => {}
                    }
                }
            }
            On::All | On::Role | On::MemberRole | On::StoredSecret | On::Key | On::Identity => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aws::fake::FakeAws, core::permissions::tests::needs};

    const ME: &str = "arn:aws:iam::111122223333:role/issuer";

    #[tokio::test]
    async fn iam_is_asked_and_then_no_other_call_is_made() {
        let aws = FakeAws::new("111122223333");
        aws.world().denied.insert("acm:ImportCertificate");
        let needs = needs();
        let answer = verify(&aws, Some(ME), "cluster", &needs, &All::new()).await;
        for (permission, region) in needs.actions() {
            let allowed = permission.action != "acm:ImportCertificate";
            assert_eq!(answer.proofs.get(&(permission.action, region.clone())), Some(&allowed), "{permission:?}");
        }
        assert!(aws.world().calls.iter().all(|(action, _)| *action == "iam:SimulatePrincipalPolicy"));
        assert_eq!(aws.world().calls.len(), 3, "lists, the CA, certificates");
    }

    #[tokio::test]
    async fn where_iam_may_not_be_asked_reads_are_tried_once_and_nothing_is_changed() {
        let aws = FakeAws::new("111122223333");
        aws.world().denied.insert("iam:SimulatePrincipalPolicy");
        let answer = verify(&aws, Some(ME), "cluster", &needs(), &All::new()).await;
        assert_eq!(answer.refusal.as_ref().map(|e| e.kind), Some(Kind::AccessDenied));
        assert!(answer.proofs.is_empty() && !answer.passes());
        let calls: Vec<&str> = aws.world().calls.iter().map(|(action, _)| *action).collect();
        assert_eq!(
            calls,
            [
                "iam:SimulatePrincipalPolicy",
                "acm-pca:DescribeCertificateAuthority",
                "acm-pca:GetCertificateAuthorityCertificate",
                "acm-pca:GetCertificate",
                "acm:DescribeCertificate",
                "acm:GetCertificate",
                "acm:ListTagsForCertificate",
            ]
        );
    }
}
