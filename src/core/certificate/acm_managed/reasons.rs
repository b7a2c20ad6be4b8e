//! Why ACM could not issue or renew, for people (ACM API reference, FailureReason; ACM user guide, "Troubleshoot").

use crate::text::plain;

/// The longest word of AWS that a message repeats, in bytes.
const LONGEST_WORD: usize = 64;

/// What a failure reason means, and what to do.
#[must_use]
pub fn told(reason: &str) -> String {
    let what = match reason {
        "PCA_ACCESS_DENIED" => {
            "the private CA does not let ACM issue from it: give ACM that permission (acm-pca:CreatePermission for \
             acm.amazonaws.com with IssueCertificate, GetCertificate and ListPermissions; a CA of another account needs a \
             resource policy)"
        }
        "PCA_INVALID_STATE" => "the private CA is not active: enable it, or renew its own certificate",
        "PCA_INVALID_DURATION" => {
            "the private CA does not sign for as long as ACM's certificates last, which is 395 days: it ends before, or is in \
             short-lived mode; renew it, or use another CA"
        }
        "PCA_LIMIT_EXCEEDED" => "the private CA has issued as many certificates as AWS allows it: ask AWS for more",
        "PCA_NAME_CONSTRAINTS_VALIDATION" => {
            "the name constraints of the private CA do not allow these names: use another CA, or other names in another \
             Certificate"
        }
        "PCA_RESOURCE_NOT_FOUND" | "PCA_INVALID_ARN" => {
            "ACM does not find the private CA: it was deleted, lies in another region, or is not shared any more"
        }
        "PCA_INVALID_ARGS" => {
            "the private CA refuses what ACM asked it for: its key may be of another family than was asked for"
        }
        "PCA_REQUEST_FAILED" => "the private CA could not sign: look at it in AWS Private CA",
        "SLR_NOT_FOUND" => {
            "the private CA is in another account, and the service-linked role AWSServiceRoleForCertificateManager is missing: \
             let it be made (iam:CreateServiceLinkedRole)"
        }
        "DOMAIN_NOT_ALLOWED" | "INVALID_PUBLIC_DOMAIN" | "CAA_ERROR" | "ADDITIONAL_VERIFICATION_REQUIRED" => {
            "ACM does not issue for these names"
        }
        "" => return "ACM tells no reason".into(),
        _ => "see \"Troubleshoot\" in the ACM user guide",
    };
    format!("{what} ({})", plain(reason, LONGEST_WORD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_about_a_private_ca_says_what_to_do() {
        for reason in [
            "PCA_LIMIT_EXCEEDED",
            "PCA_INVALID_ARN",
            "PCA_INVALID_STATE",
            "PCA_REQUEST_FAILED",
            "PCA_NAME_CONSTRAINTS_VALIDATION",
            "PCA_RESOURCE_NOT_FOUND",
            "PCA_INVALID_ARGS",
            "PCA_INVALID_DURATION",
            "PCA_ACCESS_DENIED",
            "SLR_NOT_FOUND",
        ] {
            let told = told(reason);
            assert!(told.contains("private CA") && told.contains(reason) && !told.contains("Troubleshoot"), "{told}");
        }
        assert!(told("SOMETHING_NEW").contains("SOMETHING_NEW"));
        assert!(!told("").is_empty());
    }
}
