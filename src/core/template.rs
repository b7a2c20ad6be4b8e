//! Which template of the private CA signs for which usages.

use crate::api::{
    names::{InvalidName, Region, TemplateArn},
    shared::Usage,
};
use std::collections::BTreeSet;

/// The template for these usages, and whether the CSR has to carry them itself.
///
/// The base templates take usages from themselves, never from the CSR; `BlankEndEntityCertificate_CSRPassthrough/V1`
/// copies the CSR's (Private CA user guide, "Understanding certificate templates").
///
/// # Errors
/// If the partition makes no well-formed template ARN.
pub fn for_usages(usages: &[Usage], region: &Region) -> Result<(TemplateArn, bool), InvalidName> {
    use Usage::{ClientAuth, DigitalSignature, KeyEncipherment, ServerAuth};
    let wanted: BTreeSet<Usage> = usages.iter().copied().collect();
    let common = BTreeSet::from([DigitalSignature, KeyEncipherment]);
    let extended: Vec<Usage> = wanted.difference(&common).copied().collect();
    let has_common = wanted.is_superset(&common);
    let (name, passthrough) = match extended[..] {
        [] if wanted.is_empty() => ("EndEntityCertificate", false),
        [ServerAuth, ClientAuth] if has_common => ("EndEntityCertificate", false),
        [ServerAuth] if has_common => ("EndEntityServerAuthCertificate", false),
        [ClientAuth] if has_common => ("EndEntityClientAuthCertificate", false),
        _ => ("BlankEndEntityCertificate_CSRPassthrough", true),
    };
    let arn = format!("arn:{}:acm-pca:::template/{name}/V1", region.partition()).parse()?;
    Ok((arn, passthrough))
}

/// What a certificate is for if nobody says.
pub const DEFAULT_USAGES: [Usage; 4] =
    [Usage::DigitalSignature, Usage::KeyEncipherment, Usage::ServerAuth, Usage::ClientAuth];

/// Whether a template copies extensions out of the CSR.
#[must_use]
pub fn copies_csr(template: &TemplateArn) -> bool {
    template.as_str().contains("CSRPassthrough")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(usages: &[Usage]) -> String {
        let (arn, _) = for_usages(usages, &"eu-west-1".parse().unwrap()).unwrap();
        arn.as_str().rsplit_once("template/").unwrap().1.to_owned()
    }

    #[test]
    fn usages_choose_the_template() {
        use Usage::{ClientAuth, CodeSigning, DigitalSignature, KeyEncipherment, ServerAuth};
        assert_eq!(chosen(&[]), "EndEntityCertificate/V1");
        assert_eq!(chosen(&DEFAULT_USAGES), "EndEntityCertificate/V1");
        assert_eq!(chosen(&[ServerAuth, KeyEncipherment, DigitalSignature]), "EndEntityServerAuthCertificate/V1");
        assert_eq!(chosen(&[ClientAuth, KeyEncipherment, DigitalSignature]), "EndEntityClientAuthCertificate/V1");
        assert_eq!(chosen(&[ServerAuth]), "BlankEndEntityCertificate_CSRPassthrough/V1");
        assert_eq!(chosen(&[DigitalSignature, CodeSigning]), "BlankEndEntityCertificate_CSRPassthrough/V1");
    }

    #[test]
    fn a_template_lies_in_the_partition_of_its_region() {
        let (arn, _) = for_usages(&[], &"us-gov-west-1".parse().unwrap()).unwrap();
        assert_eq!(arn.as_str(), "arn:aws-us-gov:acm-pca:::template/EndEntityCertificate/V1");
    }
}
