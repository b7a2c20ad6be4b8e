//! PEM, bounded. Text between the blocks is allowed (RFC 7468, section 5.2).

use super::Problem;
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls_pki_types::pem::{PemObject, SectionKind};

/// The blocks of a text, in order.
pub(super) fn blocks(text: &str, most_bytes: usize) -> Result<Vec<(SectionKind, Vec<u8>)>, Problem> {
    if text.len() > most_bytes {
        return Err(Problem::new(format!("it has {} bytes, more than the {most_bytes} that are allowed", text.len())));
    }
    if text.contains('\0') {
        return Err(Problem::new("it contains a NUL byte, so it is no PEM text"));
    }
    let blocks = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Problem::new("it is no valid PEM: a block does not end, or is no Base64"))?;
    // The reader passes over labels that it does not know: here nothing is passed over.
    if blocks.len() != text.matches("-----BEGIN ").count() {
        return Err(Problem::new("it is no valid PEM: there is a block that can't be read"));
    }
    Ok(blocks)
}

/// One block.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = String::with_capacity(base64.len() + base64.len() / 64 + 64);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}
