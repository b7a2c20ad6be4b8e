//! Whether what came back is what was asked for.

use super::{
    Problem,
    certificate::{Certificate, parse_pem, parse_pem_bundle},
    chain::Chain,
    csr::Csr,
    key::PrivateKey,
    names::{Names, dns_name},
};
use jiff::Timestamp;

/// The longest certificate that is taken, in bytes of PEM (ACM API reference, ImportCertificate, Certificate).
const LONGEST_CERTIFICATE: usize = 32_768;
/// The longest chain that is taken: ten certificates of that length. It has to fit into a Secret and into a status.
const LONGEST_CHAIN: usize = 10 * LONGEST_CERTIFICATE;

/// Checks a certificate that a CA returned for a request: key, names, dates, signatures, and that it is this CA's.
///
/// The CA's certificate may have been renewed in between, so it counts as the same if name and key are.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn verify_issued(
    certificate: &str,
    chain: &str,
    csr: &Csr,
    authority: &Certificate,
    now: Timestamp,
) -> Result<Chain, Problem> {
    for (name, text, most) in
        [("the certificate", certificate, LONGEST_CERTIFICATE), ("the chain", chain, LONGEST_CHAIN)]
    {
        if text.len() > most {
            return Err(Problem::new(format!("{name} has {} bytes, more than the {most} that are taken", text.len())));
        }
    }
    let leaf = parse_pem(certificate).map_err(|e| Problem::new(format!("the certificate: {e}")))?;
    let above = parse_pem_bundle(chain).map_err(|e| Problem::new(format!("the chain: {e}")))?;
    if leaf.public_key != csr.public_key {
        return Err(Problem::new("the certificate is for another key than the request's"));
    }
    if leaf.is_ca {
        return Err(Problem::new("the certificate is a CA's"));
    }
    check_names(&leaf, csr)?;
    let Some(issuer) = above.first() else {
        return Err(Problem::new("the chain is empty"));
    };
    if issuer.public_key != authority.public_key || issuer.subject_raw != authority.subject_raw {
        return Err(Problem::new("the chain does not begin with the private CA's own certificate"));
    }
    if leaf.not_after > issuer.not_after {
        return Err(Problem::new(format!(
            "the certificate ends at {}, after the private CA does ({})",
            leaf.not_after, issuer.not_after
        )));
    }
    check_dates("the certificate", &leaf, now)?;
    for (index, issuer) in above.iter().enumerate() {
        let name = format!("certificate {} of the chain", index + 1);
        if !issuer.is_ca {
            return Err(Problem::new(format!("{name} is no CA's")));
        }
        check_dates(&name, issuer, now)?;
    }
    Chain::in_order(leaf, above)
}

/// Puts back what was cut off a chain: whatever stands above the CA in its own chain, and not in this one.
///
/// # Errors
/// If it does not fit.
pub fn complete(chain: Chain, above_authority: &[Certificate]) -> Result<Chain, Problem> {
    let known = chain.above().count().saturating_sub(1);
    if chain.root.is_some() || above_authority.len() <= known {
        return Ok(chain);
    }
    let mut above = chain.intermediates;
    above.extend_from_slice(above_authority.get(known..).unwrap_or_default());
    Chain::in_order(chain.leaf, above)
        .map_err(|e| Problem::new(format!("the chain is cut off, and the CA's own chain: {e}")))
}

/// All alternative names that were asked for, and no name besides. One that is missing would be asked and paid for again
/// and again; AWS Private CA takes them from the request with every template.
fn check_names(leaf: &Certificate, csr: &Csr) -> Result<(), Problem> {
    if leaf.has_other_names {
        return Err(Problem::new("the certificate has a name that was not asked for, of a kind that is not supported"));
    }
    let mut allowed = csr.names.clone();
    if let Some(name) = csr.common_name.as_deref().and_then(|name| dns_name(name).ok()) {
        allowed.dns.insert(name);
    }
    let list = |names: &Names, other: &Names| names.beyond(other).join(", ");
    if !leaf.names.is_subset_of(&allowed) {
        return Err(Problem::new(format!(
            "the certificate has names that were not asked for: {}",
            list(&leaf.names, &allowed)
        )));
    }
    if !csr.names.is_subset_of(&leaf.names) {
        return Err(Problem::new(format!(
            "the certificate lacks names that were asked for: {}",
            list(&csr.names, &leaf.names)
        )));
    }
    match &leaf.common_name {
        None if leaf.names.is_empty() => Err(Problem::new("the certificate has no name")),
        Some(name) if csr.common_name.as_ref() != Some(name) => {
            Err(Problem::new(format!("the certificate has a common name that was not asked for: {name:?}")))
        }
        _ => Ok(()),
    }
}

fn check_dates(name: &str, certificate: &Certificate, now: Timestamp) -> Result<(), Problem> {
    let Certificate { not_before, not_after, .. } = certificate;
    if now < *not_before {
        return Err(Problem::new(format!("{name} is valid only from {not_before} on")));
    }
    if now >= *not_after {
        return Err(Problem::new(format!("{name} ended at {not_after}")));
    }
    Ok(())
}

/// Checks that a certificate is for this key.
///
/// # Errors
/// If it is for another one.
pub fn verify_key_pair(key: &PrivateKey, certificate: &Certificate) -> Result<(), Problem> {
    if key.public_key_der() == certificate.public_key {
        Ok(())
    } else {
        Err(Problem::new("the private key and the certificate do not belong together"))
    }
}
