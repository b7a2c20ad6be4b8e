//! A certificate and those above it.

use super::{Problem, certificate::Certificate};

/// The most certificates above a leaf. Private CA hierarchies have at most five levels (Private CA user guide).
const DEEPEST: usize = 10;
/// The most certificates that a chain is looked for in.
const LARGEST_POOL: usize = 200;
/// The most signatures that are checked for one chain. Only certificates of the issuer's name are tried: that is one a
/// level, or a few where a CA was renewed.
const MOST_CHECKS: usize = 50;

/// A certificate with those above it: each is signed by the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The certificate itself.
    pub leaf: Certificate,
    /// Its issuer, the issuer's issuer and so on, without the root.
    pub intermediates: Vec<Certificate>,
    /// The root, if the chain has one: a certificate that names itself as its issuer.
    pub root: Option<Certificate>,
}

impl Chain {
    /// Finds the chain of a leaf in a pool of certificates in any order. What does not belong to it is left out.
    ///
    /// # Errors
    /// If the pool has none that signed the leaf, or is too large.
    pub fn order(leaf: Certificate, pool: Vec<Certificate>) -> Result<Self, Problem> {
        if pool.len() > LARGEST_POOL {
            return Err(Problem::new(format!("there are more than {LARGEST_POOL} certificates")));
        }
        let mut pool: Vec<Certificate> = pool.into_iter().filter(|certificate| certificate.der != leaf.der).collect();
        let given = pool.len();
        let mut above: Vec<Certificate> = Vec::new();
        let mut checks = 0;
        loop {
            let last = above.last().unwrap_or(&leaf);
            if last.is_self_issued() {
                break;
            }
            let named = pool.iter().enumerate().filter(|(_, issuer)| last.issuer_raw == issuer.subject_raw);
            let mut tried = named.take(MOST_CHECKS - checks).inspect(|_| checks += 1);
            let found = tried.find(|(_, issuer)| last.verify_signed_by(issuer).is_ok()).map(|(index, _)| index);
            let Some(index) = found else {
                if checks == MOST_CHECKS {
                    return Err(Problem::new("too many of the certificates with it have the name of its issuer"));
                }
                break;
            };
            // Whoever signed two of the chain is taken once, so this ends.
            let issuer = pool.swap_remove(index);
            pool.retain(|other| other.der != issuer.der);
            above.push(issuer);
            if above.len() > DEEPEST {
                return Err(too_deep());
            }
        }
        if above.is_empty() && given > 0 && !leaf.is_self_issued() {
            return Err(Problem::new("none of the certificates with it signed it"));
        }
        Ok(Self::of(leaf, above))
    }

    /// Checks that the certificates stand in order: each signed the one before it, and the first of them the leaf.
    ///
    /// # Errors
    /// If one did not.
    pub fn in_order(leaf: Certificate, above: Vec<Certificate>) -> Result<Self, Problem> {
        if above.len() > DEEPEST {
            return Err(too_deep());
        }
        let mut before = &leaf;
        for (index, issuer) in above.iter().enumerate() {
            if before.is_self_issued() {
                return Err(Problem::new(format!("certificate {} of the chain stands behind its end", index + 1)));
            }
            let told =
                |e| Problem::new(format!("certificate {} of the chain did not sign the one before it: {e}", index + 1));
            before.verify_signed_by(issuer).map_err(told)?;
            before = issuer;
        }
        if before.is_self_issued() {
            before.verify_signed_by(before).map_err(|e| Problem::new(format!("the root did not sign itself: {e}")))?;
        }
        Ok(Self::of(leaf, above))
    }

    fn of(leaf: Certificate, mut above: Vec<Certificate>) -> Self {
        let root = above.pop_if(|last| last.is_self_issued());
        Self { leaf, intermediates: above, root }
    }

    /// The certificates above the leaf, its issuer first.
    pub fn above(&self) -> impl Iterator<Item = &Certificate> {
        self.intermediates.iter().chain(&self.root)
    }

    /// The leaf and the intermediates, PEM: what a server sends.
    #[must_use]
    pub fn tls_crt(&self) -> String {
        std::iter::once(&self.leaf).chain(&self.intermediates).map(Certificate::to_pem).collect()
    }

    /// The root, PEM: what a client trusts. Without a root, the highest certificate there is; empty if there is none.
    #[must_use]
    pub fn ca_crt(&self) -> String {
        self.above().last().map(Certificate::to_pem).unwrap_or_default()
    }

    /// What ACM takes as the chain: everything above the leaf, the root last; none if there is nothing.
    #[must_use]
    pub fn acm_chain(&self) -> Option<String> {
        let chain: String = self.above().map(Certificate::to_pem).collect();
        (!chain.is_empty()).then_some(chain)
    }
}

fn too_deep() -> Problem {
    Problem::new(format!("the chain has more than {DEEPEST} certificates"))
}
