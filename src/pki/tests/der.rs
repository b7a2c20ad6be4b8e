//! Certificates and requests put together byte by byte, so that anything can be wrong with them.

use super::SCENE;
use crate::pki::{key::PrivateKey, pem};
use rcgen::SigningKey;

/// A value with its tag and length (X.690, DER).
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..128 => out.push(u8::try_from(short).unwrap()),
        long => {
            let bytes: Vec<u8> = long.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap());
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

/// An object identifier: its content, as it stands in DER.
fn oid(content: &[u8]) -> Vec<u8> {
    tlv(0x06, &[content])
}

/// An extension that is not critical.
pub(super) fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(id), &tlv(0x04, &[value])])
}

/// Subject alternative names: DNS names.
pub(super) fn dns_names<S: AsRef<[u8]>>(names: impl IntoIterator<Item = S>) -> Vec<u8> {
    let names: Vec<Vec<u8>> = names.into_iter().map(|name| tlv(0x82, &[name.as_ref()])).collect();
    extension(&[0x55, 0x1d, 0x11], &tlv(0x30, &[&names.concat()]))
}

/// A name of attributes: type (last arc under 2.5.4), tag and value.
pub(super) fn name(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let sets = attributes
        .iter()
        .map(|(kind, tag, value)| tlv(0x31, &[&sequence(&[&oid(&[0x55, 4, *kind]), &tlv(*tag, &[value])])]));
    tlv(0x30, &[&sets.collect::<Vec<_>>().concat()])
}

/// A name with this common name.
pub(super) fn common_name(value: &str) -> Vec<u8> {
    name(&[(3, 0x0c, value.as_bytes())])
}

/// A signed thing: its content, an algorithm and a signature.
fn signed(content: &[u8], key: &PrivateKey) -> Vec<u8> {
    let signature = key.pair().sign(content).unwrap();
    sequence(&[content, &ecdsa_with_sha256(), &tlv(0x03, &[&[0], &signature])])
}

fn ecdsa_with_sha256() -> Vec<u8> {
    sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])])
}

/// What a certificate is made of, each part in DER.
pub(super) struct Parts {
    pub(super) version: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) validity: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
}

/// A certificate from the scene's CA for its key; `change` puts something else in it. DER.
pub(super) fn certificate(change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let mut parts = Parts {
        version: vec![0xa0, 3, 2, 1, 2],
        serial: vec![2, 1, 7],
        algorithm: ecdsa_with_sha256(),
        issuer: SCENE.sub.certificate.subject_raw.clone(),
        validity: validity(b"260601000000Z", b"260901000000Z"),
        subject: common_name("a.example.com"),
        public_key: SCENE.key.public_key_der().to_vec(),
        extensions: vec![],
    };
    change(&mut parts);
    let extensions = match &*parts.extensions.concat() {
        [] => vec![],
        all => tlv(0xa3, &[&sequence(&[all])]),
    };
    let Parts { version, serial, algorithm, issuer, validity, subject, public_key, .. } = &parts;
    let content = sequence(&[version, serial, algorithm, issuer, validity, subject, public_key, &extensions]);
    signed(&content, &SCENE.sub.key)
}

/// Two times of the kind UTCTime.
pub(super) fn validity(from: &[u8], to: &[u8]) -> Vec<u8> {
    sequence(&[&tlv(0x17, &[from]), &tlv(0x17, &[to])])
}

/// A request by a key of this kind (SubjectPublicKeyInfo, DER), with these extensions; PEM. The scene's key signs it.
pub(super) fn request(subject: &[u8], public_key: &[u8], extensions: &[Vec<u8>]) -> String {
    let asked = match &*extensions.concat() {
        [] => vec![],
        all => sequence(&[&oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14]), &tlv(0x31, &[&sequence(&[all])])]),
    };
    let content = sequence(&[&[2, 1, 0], subject, public_key, &tlv(0xa0, &[&asked])]);
    pem::encode("CERTIFICATE REQUEST", &signed(&content, &SCENE.key))
}

/// An RSA public key of so many bits, with this exponent.
pub(super) fn rsa_key(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let modulus = [&[0][..], &vec![0xf1; bits / 8]].concat();
    let key = sequence(&[&tlv(2, &[&modulus]), &tlv(2, &[exponent])]);
    let algorithm = sequence(&[&oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), &[5, 0]]);
    sequence(&[&algorithm, &tlv(3, &[&[0], &key])])
}

/// A public key on a curve: the curve's OID, DER content, and the length of a coordinate.
pub(super) fn ec_key(curve: &[u8], coordinate: usize) -> Vec<u8> {
    let algorithm = sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), &oid(curve)]);
    sequence(&[&algorithm, &tlv(3, &[&[0, 4], &vec![0x11; 2 * coordinate]])])
}
