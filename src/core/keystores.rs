//! Keystores in a Secret: whether they are as the spec wants them, and how they get there.
//!
//! Salts are random, so a keystore can't be made again to be compared. What stands in an annotation instead is a keyed digest
//! of it, its password, the certificate and the profile. The private key is the key of the digest: nobody can try passwords
//! without it, and nothing that somebody put into the Secret has to be opened.

use super::{
    hex,
    secret::{KeyPair, SecretObject},
};
use crate::{
    api::certificate::{KeystoreProfile, Keystores},
    pki::keystore::{self, Profile},
};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// The keystore, as cert-manager calls it.
pub const KEYSTORE: &str = "keystore.p12";
/// The truststore, as cert-manager calls it.
pub const TRUSTSTORE: &str = "truststore.p12";
/// Annotation on a Secret: the keystores in it are ours, and this is their digest.
pub const ANNOTATION: &str = "arnkeeper.dev/keystores";
/// Version of the digest; of another version, keystores are written anew.
const VERSION: &str = "v1:";
/// The longest password, characters.
const LONGEST: usize = 1024;

/// A keystore's password. It has no `Debug`, and wipes its memory.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Reads it out of a Secret.
    ///
    /// # Errors
    /// What is wrong, for a person; the password is never repeated.
    pub fn read(secret: Option<&SecretObject>, name: &str, key: &str) -> Result<Self, String> {
        let told = |what: &str| format!("the password of the keystores, key {key:?} of the Secret {name:?}: {what}");
        let secret = secret.ok_or_else(|| told("there is no such Secret in this namespace: make it"))?;
        let bytes = secret
            .bytes(key)
            .ok_or_else(|| told("the Secret has no such key: put it there, or correct passwordSecretRef.key"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| told("it is not text"))?;
        if text.is_empty() || text.len() > LONGEST {
            return Err(told("it has to have 1 to 1024 characters"));
        }
        if text.ends_with(['\n', '\r']) {
            return Err(told("it ends with a newline: make it with kubectl create secret --from-literal"));
        }
        // com.sun.crypto.provider.PBEKey: "Password is not ASCII".
        if !text.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
            return Err(told("Java takes only printable ASCII characters"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

fn profile(keystores: &Keystores) -> Profile {
    match keystores.pkcs12.profile {
        KeystoreProfile::Modern2023 => Profile::Modern2023,
        KeystoreProfile::LegacyDES => Profile::LegacyDES,
    }
}

/// The digest of the keystores that a Secret holds, if it holds any.
fn digest(secret: &SecretObject, pair: &KeyPair, password: &Password, keystores: &Keystores) -> Option<String> {
    let keystore = secret.bytes(KEYSTORE)?;
    // The one form that stays the same however the key is written.
    let key = hmac::Key::new(hmac::HMAC_SHA256, pair.key.to_acm_pem().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    let profile = format!("{:?}", profile(keystores));
    let chain = std::iter::once(&pair.chain.leaf).chain(pair.chain.above()).map(|c| &*c.der);
    let truststore = secret.bytes(TRUSTSTORE).unwrap_or_default();
    for part in [profile.as_bytes(), password.0.as_bytes(), keystore, truststore].into_iter().chain(chain) {
        // Each with its length, so that no two lists of parts look alike.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    Some(format!("{VERSION}{}", hex(context.sign().as_ref(), 32)))
}

/// Whether the Secret holds the keystores that the spec wants, for this pair and password.
#[must_use]
pub fn are_current(secret: &SecretObject, pair: &KeyPair, password: &Password, keystores: &Keystores) -> bool {
    digest(secret, pair, password, keystores).is_some_and(|digest| secret.annotation(ANNOTATION) == Some(&digest))
}

/// Whether there are keystores of ours.
#[must_use]
pub fn are_ours(secret: &SecretObject) -> bool {
    secret.annotation(ANNOTATION).is_some()
}

/// Puts keystores into the Secret, unless it holds the right ones.
///
/// # Errors
/// If they can't be written; no key is quoted.
pub fn put(
    secret: &mut SecretObject,
    pair: &KeyPair,
    password: &Password,
    keystores: &Keystores,
) -> Result<(), String> {
    if are_current(secret, pair, password, keystores) {
        return Ok(());
    }
    let profile = profile(keystores);
    let store = keystore::keystore(&pair.key, &pair.chain, &password.0, profile).map_err(|e| e.to_string())?;
    let trusted = keystore::truststore(&pair.chain, &password.0, profile).map_err(|e| e.to_string())?;
    secret.set_bytes(KEYSTORE, Some(store));
    secret.set_bytes(TRUSTSTORE, trusted);
    let digest = digest(secret, pair, password, keystores);
    secret.set_annotation(ANNOTATION, digest);
    Ok(())
}

/// Takes keystores of ours out of the Secret.
pub fn remove(secret: &mut SecretObject) {
    if are_ours(secret) {
        secret.set_bytes(KEYSTORE, None);
        secret.set_bytes(TRUSTSTORE, None);
        secret.set_annotation(ANNOTATION, None);
    }
}
