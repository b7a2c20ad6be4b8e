//! The private CAs, remembered for minutes: many Certificates share few CAs, and a CA hardly changes.

use super::{
    error::AwsError,
    port::{Authority, AuthorityState, Aws},
};
use crate::{
    api::names::{AccountId, AuthorityArn, Region},
    core::{
        access::Refusal,
        authority::{KnownAuthority, problem},
    },
    pki::{
        certificate::{Certificate, parse_pem, parse_pem_bundle},
        chain::Chain,
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// What AWS said of a CA is used for so long.
pub const LASTS: SignedDuration = SignedDuration::from_mins(1);

/// An answer that stands in somebody's way is used for so long only: the cure may come at any time.
pub const REFUSAL_LASTS: SignedDuration = SignedDuration::from_secs(10);

/// The most ARNs that a message tells.
const MOST_TOLD: usize = 20;

/// The private CAs that the accounts may use.
#[derive(Default)]
pub struct Authorities {
    lists: Slots<(AccountId, Region), Listed>,
    /// By the account that asks, too: what one may see of another's CA is no business of a third.
    seen: Slots<(AccountId, AuthorityArn), Seen>,
}

/// The CAs of a place that are not gone.
struct Listed {
    at: Timestamp,
    authorities: Vec<(Option<String>, AuthorityArn)>,
}

/// A CA as it was seen.
struct Seen {
    at: Timestamp,
    result: Result<KnownAuthority, Refusal>,
}

impl Authorities {
    /// The ARN of the one CA of an account (that of `aws`) and region with this common name, whatever its state unless
    /// it failed or was deleted. What was found is used for a minute. The inner error is for a person: there is no
    /// such CA, or more than one.
    ///
    /// # Errors
    /// Those of the list.
    pub async fn by_name(
        &self,
        aws: &dyn Aws,
        region: &Region,
        name: &str,
        now: Timestamp,
    ) -> Result<Result<AuthorityArn, String>, AwsError> {
        let account = &aws.identity().account;
        let slot = self.lists.slot((account.clone(), region.clone()));
        let mut slot = slot.lock().await;
        if let Some(listed) = &*slot {
            let arns = listed.named(name);
            let lasts = if arns.len() == 1 { LASTS } else { REFUSAL_LASTS };
            if age(listed.at, now) < lasts {
                return Ok(the_one(arns, account, region, name));
            }
        }
        let authorities = aws.list_authorities(region).await?;
        let authorities = authorities.into_iter().filter(|a| a.state != AuthorityState::Gone);
        let listed = Listed { at: now, authorities: authorities.map(|a| (a.common_name, a.arn)).collect() };
        Ok(the_one(slot.insert(listed).named(name), account, region, name))
    }

    /// A CA and its certificate. What was seen is used for a minute, unless `again` asks to look once more. The
    /// inner error says why nothing can be signed by it whatever is wanted: it has no certificate yet or is gone, or
    /// its key or certificate is of a kind that is not known here.
    ///
    /// # Errors
    /// Those of describing the CA and of reading its certificate.
    pub async fn known(
        &self,
        aws: &dyn Aws,
        arn: &AuthorityArn,
        again: bool,
        now: Timestamp,
    ) -> Result<Result<KnownAuthority, Refusal>, AwsError> {
        let slot = self.seen.slot((aws.identity().account.clone(), arn.clone()));
        let mut slot = slot.lock().await;
        if let Some(seen) = slot.as_ref().filter(|_| !again) {
            let signs = seen.result.as_ref().is_ok_and(|known| known.authority.state == AuthorityState::Active);
            if age(seen.at, now) < if signs { LASTS } else { REFUSAL_LASTS } {
                return Ok(seen.result.clone());
            }
        }
        let authority = aws.describe_authority(arn).await?;
        let before = slot.as_ref().and_then(|seen| seen.result.as_ref().ok());
        // A CA gets another certificate when its own is renewed, and then that ends later.
        let unchanged = before
            .filter(|b| b.authority.not_after == authority.not_after)
            .map(|b| (b.certificate.clone(), b.above.clone()));
        let result = match (unsuitable(&authority, now), unchanged) {
            (Some(refusal), _) => Err(refusal),
            (None, Some((certificate, above))) => Ok(KnownAuthority { authority, certificate, above }),
            (None, None) => {
                read(aws, arn).await?.map(|(certificate, above)| KnownAuthority { authority, certificate, above })
            }
        };
        Ok(slot.insert(Seen { at: now, result }).result.clone())
    }
}

impl Listed {
    fn named(&self, name: &str) -> Vec<AuthorityArn> {
        self.authorities.iter().filter(|(n, _)| n.as_deref() == Some(name)).map(|(_, arn)| arn.clone()).collect()
    }
}

/// The one CA, or what to tell a person who named none or several.
fn the_one(
    mut arns: Vec<AuthorityArn>,
    account: &AccountId,
    region: &Region,
    name: &str,
) -> Result<AuthorityArn, String> {
    arns.sort();
    match &*arns {
        [arn] => Ok(arn.clone()),
        [] => Err(format!(
            "account {account} has no private CA with the common name {name:?} in {region}: correct the name, or name the \
             CA by its ARN (certificateAuthority.arn), as one that another account shares must be"
        )),
        _ => {
            let told: Vec<&str> = arns.iter().take(MOST_TOLD).map(AuthorityArn::as_str).collect();
            let more = if arns.len() > MOST_TOLD { ", and more" } else { "" };
            Err(format!(
                "account {account} has {} private CAs with the common name {name:?} in {region}: name one by its ARN \
                 (certificateAuthority.arn): {}{more}",
                arns.len(),
                told.join(", ")
            ))
        }
    }
}

/// Why a CA is of no use now, whatever is wanted of it; one in these states may have no certificate to read.
fn unsuitable(authority: &Authority, now: Timestamp) -> Option<Refusal> {
    let without_certificate = matches!(authority.state, AuthorityState::NotReady | AuthorityState::Gone);
    if without_certificate || authority.algorithm.is_none() { problem(authority, now, now) } else { None }
}

/// A CA's own certificate, and what stands above it.
type Own = (Arc<Certificate>, Arc<[Certificate]>);

async fn read(aws: &dyn Aws, arn: &AuthorityArn) -> Result<Result<Own, Refusal>, AwsError> {
    let pem = aws.authority_certificate(arn).await?;
    let certificate = match parse_pem(&pem.certificate) {
        Ok(certificate) => certificate,
        Err(error) => {
            let message = format!("the certificate of the private CA {arn} can't be read: {error}; name another CA");
            return Ok(Err(Refusal { reason: "AuthorityUnsupported", message }));
        }
    };
    // It serves to complete the chains of what the CA signs: one that is none is left out.
    let chain = parse_pem_bundle(&pem.chain).and_then(|above| Chain::in_order(certificate.clone(), above));
    let above = chain.map_or_else(|_| Arc::default(), |chain| chain.above().cloned().collect());
    Ok(Ok((Arc::new(certificate), above)))
}

/// How long ago; a time to come, which a clock that was set back leaves, is as far off as it is.
fn age(at: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(at).abs()
}

/// A place for a value for each key. It is locked over the call that fills it, so that all who ask at once share the
/// call, and nobody waits for another key's.
struct Slots<K, V>(Mutex<HashMap<K, Slot<V>>>);

type Slot<V> = Arc<tokio::sync::Mutex<Option<V>>>;

impl<K, V> Default for Slots<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Slots<K, V> {
    fn slot(&self, key: K) -> Slot<V> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key) {
            return slot.clone();
        }
        // Keys that nothing was found under go, so that wrong names in objects do not fill the memory.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|value| value.is_some()));
        slots.entry(key).or_default().clone()
    }
}

#[cfg(test)]
mod tests;
