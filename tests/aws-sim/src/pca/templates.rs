//! The certificate templates and what they put into a certificate.
//!
//! After the Private CA User Guide, "Understanding certificate templates": what the template itself fixes wins over
//! what the API call passes, and that wins over what the request asks for.

use super::x509::{self, Extension};
use crate::api::ApiError;

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Whether ApiPassthrough is read.
    pub from_api: bool,
    /// Whether the request's other extensions are copied.
    pub from_request: bool,
    /// Whether the certificate is signed by its own key.
    pub root: bool,
    /// Whether the certificate is an authority's.
    pub authority: bool,
    /// Basic constraints, key usage and extended key usage that the template fixes.
    pub fixed: Vec<Extension>,
    /// The name, without the ARN's start and the version.
    pub name: String,
}

const SERVER: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
const CODE_SIGNING: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 3];
const OCSP_SIGNING: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 9];

/// Names of key usages in IssueCertificate's ApiPassthrough, in the order of RFC 5280's bits.
pub const KEY_USAGES: [&str; 9] = [
    "DigitalSignature",
    "NonRepudiation",
    "KeyEncipherment",
    "DataEncipherment",
    "KeyAgreement",
    "KeyCertSign",
    "CRLSign",
    "EncipherOnly",
    "DecipherOnly",
];

/// Takes a template's ARN apart; `None` names the default. `ValidationException` when there is no such template.
pub fn find(arn: Option<&str>) -> Result<Template, ApiError> {
    let arn = arn.unwrap_or("arn:aws:acm-pca:::template/EndEntityCertificate/V1");
    let unknown = || ApiError::new("ValidationException", format!("The template {arn} is not valid"));
    let (start, rest) = arn.split_once(":acm-pca:::template/").ok_or_else(unknown)?;
    if !matches!(start, "arn:aws" | "arn:aws-cn" | "arn:aws-us-gov") {
        return Err(unknown());
    }
    let name = rest.strip_suffix("/V1").ok_or_else(unknown)?;
    let (stem, from_api, from_request) = passthrough(name);
    let (stem, critical) = match stem.strip_suffix("_CriticalBasicConstraints") {
        Some(stem) => (stem, true),
        None => (stem, false),
    };
    let (stem, path) = path_length(stem);
    let passes = from_api || from_request;

    let usage: &[usize] = &[0, 2];
    let end = |bits: &[usize], kinds: &[&[u64]], strict: bool| {
        let kinds: Vec<Vec<u64>> = kinds.iter().map(|kind| kind.to_vec()).collect();
        vec![
            x509::basic_constraints(false, None, false),
            x509::key_usage(bits),
            x509::extended_key_usage(&kinds, strict),
        ]
    };
    let signing = || vec![x509::basic_constraints(true, path, true), x509::key_usage(&[0, 5, 6])];
    let (fixed, authority) = match stem {
        "EndEntityCertificate" => (end(usage, &[SERVER, CLIENT], false), false),
        "EndEntityClientAuthCertificate" => (end(usage, &[CLIENT], false), false),
        "EndEntityServerAuthCertificate" => (end(usage, &[SERVER], false), false),
        "CodeSigningCertificate" => (end(&[0], &[CODE_SIGNING], true), false),
        "OCSPSigningCertificate" => (end(&[0], &[OCSP_SIGNING], true), false),
        "BlankEndEntityCertificate" if passes => (vec![x509::basic_constraints(false, None, critical)], false),
        "RootCACertificate" if !from_request => (signing(), true),
        "BlankRootCACertificate" if from_api && !from_request => {
            (vec![x509::basic_constraints(true, path, true)], true)
        }
        "SubordinateCACertificate" if path.is_some() => (signing(), true),
        "BlankSubordinateCACertificate" if path.is_some() && passes => {
            (vec![x509::basic_constraints(true, path, true)], true)
        }
        _ => return Err(unknown()),
    };
    let odd_critical = critical && stem != "BlankEndEntityCertificate";
    let odd_path = path.is_some() && (!authority || stem == "RootCACertificate");
    if odd_critical || odd_path {
        return Err(unknown());
    }
    let root = stem.ends_with("RootCACertificate");
    Ok(Template { from_api, from_request, root, authority, fixed, name: name.to_owned() })
}

impl Template {
    /// Whether another account that shares the authority may use it
    /// (Private CA User Guide, "Policies for cross-account access").
    pub fn is_for_sharers(&self) -> bool {
        matches!(
            self.name.as_str(),
            "EndEntityCertificate"
                | "EndEntityClientAuthCertificate"
                | "EndEntityServerAuthCertificate"
                | "BlankEndEntityCertificate_APIPassthrough"
                | "BlankEndEntityCertificate_APICSRPassthrough"
                | "SubordinateCACertificate_PathLen0"
        )
    }
}

fn passthrough(name: &str) -> (&str, bool, bool) {
    let suffixes =
        [("_APICSRPassthrough", true, true), ("_APIPassthrough", true, false), ("_CSRPassthrough", false, true)];
    suffixes
        .into_iter()
        .find_map(|(suffix, api, request)| Some((name.strip_suffix(suffix)?, api, request)))
        .unwrap_or((name, false, false))
}

fn path_length(stem: &str) -> (&str, Option<u8>) {
    match stem.rsplit_once("_PathLen") {
        Some((stem, length @ ("0" | "1" | "2" | "3"))) => (stem, length.parse().ok()),
        _ => (stem, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Result<Template, ApiError> {
        find(Some(&format!("arn:aws:acm-pca:::template/{name}/V1")))
    }

    /// Private CA User Guide, "Template definitions": the templates that exist, and some that do not.
    #[test]
    fn only_documented_templates_exist() {
        for name in [
            "EndEntityCertificate",
            "EndEntityServerAuthCertificate_CSRPassthrough",
            "BlankEndEntityCertificate_APIPassthrough",
            "BlankEndEntityCertificate_CSRPassthrough",
            "BlankEndEntityCertificate_APICSRPassthrough",
            "BlankEndEntityCertificate_CriticalBasicConstraints_CSRPassthrough",
            "RootCACertificate",
            "RootCACertificate_APIPassthrough",
            "BlankRootCACertificate_PathLen1_APIPassthrough",
            "SubordinateCACertificate_PathLen0",
            "SubordinateCACertificate_PathLen3_APICSRPassthrough",
            "BlankSubordinateCACertificate_PathLen2_CSRPassthrough",
            "CodeSigningCertificate",
            "OCSPSigningCertificate_APIPassthrough",
        ] {
            assert!(named(name).is_ok(), "{name}");
        }
        for name in [
            "BlankEndEntityCertificate",
            "SubordinateCACertificate",
            "SubordinateCACertificate_PathLen4",
            "RootCACertificate_CSRPassthrough",
            "EndEntityCertificate_PathLen0",
            "EndEntityCertificate_CriticalBasicConstraints_APIPassthrough",
            "Nonsense",
        ] {
            assert_eq!(named(name).unwrap_err().code, "ValidationException", "{name}");
        }
        assert!(find(Some("arn:aws:acm-pca:::template/EndEntityCertificate/V2")).is_err());
        assert_eq!(find(None), named("EndEntityCertificate"));
    }

    /// Private CA User Guide, "Cross-account access": sharers issue from a short list of templates.
    #[test]
    fn sharers_have_fewer_templates() {
        assert!(named("EndEntityCertificate").unwrap().is_for_sharers());
        assert!(!named("RootCACertificate").unwrap().is_for_sharers());
        assert!(!named("EndEntityCertificate_CSRPassthrough").unwrap().is_for_sharers());
    }
}
