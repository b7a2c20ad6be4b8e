//! The way of a key from ACM into the Secret. The old pair stays there until the new one was looked through.

use super::{Way, wants_secret};
use crate::{
    api::names::CertificateArn,
    aws::port::Exported,
    core::{
        access::Refusal,
        backoff::FOR_A_PERSON,
        certificate::{Next, Observed, Read, Write, believed, repair::EVERY, under_arn::READ_BACK, wanted, write},
        secret::{KeyPair, SecretObject},
    },
    pki::{
        certificate::{Serial, parse_pem, parse_pem_bundle},
        chain::Chain,
        verify::verify_key_pair,
    },
};
use jiff::Timestamp;

impl Way<'_> {
    /// What has to happen until the Secret holds the certificate with this serial number, if anything.
    pub(super) fn export(&self, arn: &CertificateArn, serial: &Serial) -> Option<Next> {
        let o = self.o;
        if !wants_secret(&o.certificate.spec) {
            return None;
        }
        let Some(secret) = &o.secret else { return Some(Next::Read(Read::Secret)) };
        if let Some(next) = self.no_place(secret.as_ref()) {
            return Some(next);
        }
        if self.holds(Some(&serial.to_string())) {
            return None;
        }
        // Who changes the Secret again and again is answered once in so long.
        let since = o.memory.repaired.map(|at| self.now.duration_since(at).abs()).filter(|since| *since < EVERY);
        if let Some(since) = since.filter(|_| is_known(o, serial) && o.exported.is_none()) {
            return Some(Next::Quiet(EVERY - since));
        }
        let unusable = |message: &str| {
            let message = format!(
                "what ACM exported of {arn} can't be used, so the Secret {:?} stays as it is: {message}",
                o.certificate.spec.secret.name
            );
            Some(Next::Stalled(Refusal { reason: "ExportUnusable", message }, FOR_A_PERSON))
        };
        let pair = match &o.exported {
            None => return Some(Next::Read(Read::Export(self.target.name.clone(), arn.clone()))),
            Some(Err(message)) => return unusable(message),
            Some(Ok(pair)) => pair,
        };
        if pair.chain.leaf.serial != *serial {
            let message = format!("ACM exported another certificate of {arn} than it shows: it is looked at again");
            return Some(Next::Wait(Refusal { reason: "NotReadBack", message }, READ_BACK));
        }
        match problem(o, pair, self.now) {
            Some(message) => unusable(&message),
            None => Some(Next::Write(Write::Exported(next_revision(o, serial)))),
        }
    }
}

/// Whether the stored status tells of this certificate in the Secret already.
fn is_known(o: &Observed, serial: &Serial) -> bool {
    o.certificate.status.as_ref().and_then(|s| s.serial_number.as_deref()) == Some(&*serial.to_string())
}

/// What was exported was written, and the Secret is in view as it was stored. What something on the way made of it is told, and
/// not written again at once.
pub fn note_written(o: &mut Observed, now: Timestamp) {
    let Some(Ok(pair)) = o.exported.take() else { return };
    let serial = &pair.chain.leaf.serial;
    if o.current().is_none_or(|held| held.chain.leaf.serial != *serial) {
        let message =
            "the API server stored something else than what was written: see which webhook or policy changes it";
        o.exported = Some(Err(message.into()));
    } else if is_known(o, serial) {
        o.memory.repaired = Some(now);
    }
    // Exported, it may be renewed: that is to be seen.
    o.targets.values_mut().for_each(|seen| seen.installed = None);
}

/// The revision that a certificate is: one that was told of already keeps its number.
fn next_revision(o: &Observed, serial: &Serial) -> i64 {
    let status = o.certificate.status.as_ref();
    let stored = believed(status.and_then(|s| s.revision));
    let known = status.and_then(|s| s.serial_number.as_deref()) == Some(&*serial.to_string());
    if known { stored.max(1) } else { stored + 1 }
}

/// What ACM exported, as a pair; its chain in order.
///
/// # Errors
/// A sentence that says what is wrong; never a key.
pub fn read(exported: Exported) -> Result<KeyPair, String> {
    let Exported { certificate, chain, key } = exported;
    let leaf = parse_pem(&certificate).map_err(|e| format!("the certificate: {e}"))?;
    let above = parse_pem_bundle(&chain).map_err(|e| format!("the chain: {e}"))?;
    if above.is_empty() {
        return Err("the chain is empty".into());
    }
    let key = key.map_err(|e| format!("the key: {e}"))?;
    verify_key_pair(&key, &leaf).map_err(|e| e.to_string())?;
    let chain = Chain::in_order(leaf, above).map_err(|e| e.to_string())?;
    Ok(KeyPair { chain, key })
}

/// What is wrong with a pair that was exported.
fn problem(o: &Observed, pair: &KeyPair, now: Timestamp) -> Option<String> {
    let leaf = &pair.chain.leaf;
    if leaf.is_ca {
        return Some("the certificate is a CA's".into());
    }
    if !wanted::names_fit(&o.certificate.spec, leaf) {
        return Some("the certificate does not have the names of spec.subject".into());
    }
    if now < leaf.not_before || now >= leaf.not_after {
        return Some(format!("the certificate is valid from {} to {}", leaf.not_before, leaf.not_after));
    }
    None
}

/// The Secret with what was exported.
///
/// # Errors
/// If there is nothing, or a keystore can't be written.
pub fn secret(o: &Observed, revision: i64) -> Result<SecretObject, String> {
    let Some(Ok(pair)) = &o.exported else { return Err("nothing was exported".into()) };
    let mut secret = write::put(o, write::content(o, pair, revision, None));
    write::put_keystores(o, pair, &mut secret)?;
    Ok(secret)
}
