//! The blobs of ImportCertificate: sizes, base64, and PEM blocks.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use x509_parser::pem::Pem;

use super::{invalid, is_set};
use crate::api::ApiError;

/// A private key in DER, in the format its PEM label named.
pub(super) enum KeyDer {
    /// `PRIVATE KEY`: PKCS #8, either algorithm.
    Pkcs8(Vec<u8>),
    /// `RSA PRIVATE KEY`: PKCS #1.
    Pkcs1(Vec<u8>),
    /// `EC PRIVATE KEY`: SEC 1.
    Sec1(Vec<u8>),
}

/// The text of a blob field, or None if the field is absent. `most` is the model's limit on the decoded bytes.
pub(super) fn text(body: &Value, field: &str, most: usize) -> Result<Option<String>, ApiError> {
    if !is_set(body, field) {
        return Ok(None);
    }
    let garbled = || ApiError::new("SerializationException", format!("{field} is not a base64 string"));
    let bytes = STANDARD.decode(body[field].as_str().ok_or_else(garbled)?).map_err(|_| garbled())?;
    let (lead, tail) = field.split_at(1);
    let place = format!(
        "1 validation error detected: Value at '{}{tail}' failed to satisfy constraint: Member must have length",
        lead.to_lowercase()
    );
    match bytes.len() {
        0 => Err(invalid(format!("{place} greater than or equal to 1"))),
        n if n > most => Err(invalid(format!("{place} less than or equal to {most}"))),
        _ => String::from_utf8(bytes).map(Some).map_err(|_| invalid(format!("{field} is not in PEM format."))),
    }
}

/// The same for a field that must be there.
pub(super) fn required_text(body: &Value, field: &str, most: usize) -> Result<String, ApiError> {
    text(body, field, most)?.ok_or_else(|| {
        invalid(format!(
            "1 validation error detected: Value null at '{field}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// The certificates of a PEM text, in order; at least one, and nothing but certificates.
pub(super) fn certificates(text: &str, field: &str) -> Result<Vec<Vec<u8>>, ApiError> {
    let blocks = blocks(text, field)?;
    if blocks.iter().any(|block| block.label != "CERTIFICATE") {
        return Err(invalid(format!("{field} holds a PEM block that is not a certificate.")));
    }
    Ok(blocks.into_iter().map(|block| block.contents).collect())
}

/// The one unencrypted private key of a PEM text; a block of EC parameters before it, as OpenSSL writes, is passed over.
pub(super) fn private_key(text: &str) -> Result<KeyDer, ApiError> {
    let encrypted =
        |line: &str| line.contains("ENCRYPTED") && (line.starts_with("-----BEGIN ") || line.starts_with("Proc-Type:"));
    if text.lines().any(encrypted) {
        return Err(invalid("The private key is encrypted. You must specify a private key that is unencrypted."));
    }
    let mut keys: Vec<Pem> = blocks(text, "PrivateKey")?;
    keys.retain(|block| block.label != "EC PARAMETERS");
    let (Some(key), true) = (keys.pop(), keys.is_empty()) else {
        return Err(invalid("The private key field must hold exactly one private key."));
    };
    match key.label.as_str() {
        "PRIVATE KEY" => Ok(KeyDer::Pkcs8(key.contents)),
        "RSA PRIVATE KEY" => Ok(KeyDer::Pkcs1(key.contents)),
        "EC PRIVATE KEY" => Ok(KeyDer::Sec1(key.contents)),
        _ => Err(invalid("The private key is not supported.")),
    }
}

fn blocks(text: &str, field: &str) -> Result<Vec<Pem>, ApiError> {
    let malformed = || invalid(format!("{field} is not in PEM format."));
    if text.lines().any(|line| line.ends_with([' ', '\t'])) {
        return Err(malformed());
    }
    let blocks: Vec<Pem> = Pem::iter_from_buffer(text.as_bytes()).collect::<Result<_, _>>().map_err(|_| malformed())?;
    if blocks.is_empty() { Err(malformed()) } else { Ok(blocks) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    // ACM service model, ImportCertificate: certificate 1..32768, privateKey 1..5120, chain 1..2097152 bytes.
    #[test]
    fn limits_count_decoded_bytes() {
        let body = |n: usize| json!({ "PrivateKey": STANDARD.encode(vec![b'a'; n]) });
        assert!(text(&body(5120), "PrivateKey", 5120).is_ok());
        let error = text(&body(5121), "PrivateKey", 5120).unwrap_err();
        assert_eq!(error.code, "ValidationException");
        assert!(error.message.contains("'privateKey'"), "{}", error.message);
        assert!(error.message.ends_with("less than or equal to 5120"), "{}", error.message);
        assert_eq!(text(&body(0), "PrivateKey", 5120).unwrap_err().code, "ValidationException");
    }

    // AWS JSON 1.1 protocol: a blob is a base64 string; null is absent.
    #[test]
    fn blobs_are_base64() {
        assert_eq!(
            text(&json!({ "Certificate": "%%" }), "Certificate", 10).unwrap_err().code,
            "SerializationException"
        );
        assert_eq!(text(&json!({ "Certificate": 1 }), "Certificate", 10).unwrap_err().code, "SerializationException");
        assert_eq!(text(&json!({ "Certificate": null }), "Certificate", 10).unwrap(), None);
        assert_eq!(required_text(&json!({}), "Certificate", 10).unwrap_err().code, "ValidationException");
    }

    // ACM API reference, ImportCertificate: the private key is not encrypted.
    #[test]
    fn encrypted_keys_are_refused() {
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        for text in [legacy, &KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")] {
            let error = private_key(text).err().unwrap();
            assert!(error.message.contains("encrypted"), "{}", error.message);
        }
    }

    // ACM user guide, Certificate and key format for importing: one key; PEM only.
    #[test]
    fn the_key_field_holds_one_key() {
        assert!(matches!(private_key(KEY), Ok(KeyDer::Pkcs8(_))));
        assert!(matches!(private_key(&KEY.replace("PRIVATE", "RSA PRIVATE")), Ok(KeyDer::Pkcs1(_))));
        let parameters = "-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----\n";
        let sec1 = KEY.replace("PRIVATE", "EC PRIVATE");
        assert!(matches!(private_key(&format!("{parameters}{sec1}")), Ok(KeyDer::Sec1(_))));
        assert!(private_key(&format!("{KEY}{KEY}")).is_err());
        assert!(private_key(parameters).is_err());
        assert!(private_key("not PEM").is_err());
        assert!(private_key(&KEY.replace("PRIVATE", "PUBLIC")).is_err());
    }

    // ACM user guide, Certificate and key format for importing: certificates are PEM.
    #[test]
    fn certificate_fields_hold_certificates_only() {
        assert!(certificates("", "Certificate").is_err());
        assert!(certificates(KEY, "Certificate").is_err());
        let one = KEY.replace("PRIVATE KEY", "CERTIFICATE");
        assert_eq!(certificates(&format!("{one}{one}"), "CertificateChain").unwrap().len(), 2);
        assert!(certificates(&one[..40], "Certificate").is_err(), "cut short");
    }

    // ACM user guide, Certificate and key format for importing: a space at the end of a line spoils the file.
    #[test]
    fn lines_end_without_spaces() {
        let one = KEY.replace("PRIVATE KEY", "CERTIFICATE");
        assert!(certificates(&one.replace("AAAA", "AAAA "), "Certificate").is_err());
        assert!(certificates(&one.replace('\n', "\r\n"), "Certificate").is_ok());
    }
}
