//! Random names and numbers.

use base64::Engine as _;

use crate::api::ApiError;

/// Random bytes; an internal failure of AWS's kind when there are none.
pub fn bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut out = [0; N];
    aws_lc_rs::rand::fill(&mut out).map_err(|_| ApiError {
        code: "InternalFailure",
        message: "no random numbers".to_owned(),
        status: 500,
    })?;
    Ok(out)
}

/// The letter or digit of base 32 that a byte's low five bits name.
pub fn letter(byte: u8) -> char {
    char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(byte & 31)])
}

/// So many letters and digits, as in access key ids.
pub fn letters<const N: usize>() -> Result<String, ApiError> {
    Ok(bytes::<N>()?.into_iter().map(letter).collect())
}

/// So many random bytes in base 64.
pub fn base64<const N: usize>() -> Result<String, ApiError> {
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes::<N>()?))
}

/// A random UUID, as in the ARNs of authorities.
pub fn uuid() -> Result<String, ApiError> {
    let mut raw = bytes::<16>()?;
    raw[6] = raw[6] & 0x0f | 0x40;
    raw[8] = raw[8] & 0x3f | 0x80;
    let hex = hex(&raw);
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
