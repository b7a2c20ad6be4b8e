//! PEM, bounded. Text between the blocks is allowed (RFC 7468, section 5.2). Every buffer is wiped: it may hold a key.

use super::Problem;
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// One block: its label and what it holds.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// The blocks of a text, in order.
pub(super) fn blocks(text: &str, most_bytes: usize) -> Result<Vec<Block<'_>>, Problem> {
    if text.len() > most_bytes {
        return Err(Problem::new(format!("it has {} bytes, more than the {most_bytes} that are allowed", text.len())));
    }
    if text.contains('\0') {
        return Err(Problem::new("it contains a NUL byte, so it is no PEM text"));
    }
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let broken = || Problem::new(format!("it is no valid PEM: block {} does not end", blocks.len() + 1));
        let (label, begun) = begun.split_once("-----").filter(|(label, _)| label.len() <= 64).ok_or_else(broken)?;
        let (body, after) = begun.split_once("-----END ").ok_or_else(broken)?;
        rest = after.strip_prefix(label).and_then(|after| after.strip_prefix("-----")).ok_or_else(broken)?;
        if body.contains("Proc-Type:") {
            return Err(Problem::new("it is encrypted: only unencrypted PEM can be used"));
        }
        let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
        base64.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        let mut der = Zeroizing::new(Vec::new());
        let no_base64 = |_| Problem::new(format!("it is no valid PEM: block {} is no Base64", blocks.len() + 1));
        STANDARD.decode_vec(&*base64, &mut der).map_err(no_base64)?;
        blocks.push(Block { label, der });
    }
    Ok(blocks)
}

/// One block.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    // Room for all of it: growing would leave copies behind.
    let mut text = String::with_capacity(encoded_length(label, der.len()));
    text.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.extend([line, "\n"]);
        rest = after;
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

/// How many bytes `encode` makes of so many.
pub(super) fn encoded_length(label: &str, der: usize) -> usize {
    let base64 = der.div_ceil(3) * 4;
    base64 + base64.div_ceil(64) + 2 * label.len() + "-----BEGIN -----\n-----END -----\n".len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_back() {
        for size in [1, 47, 48, 49, 1000] {
            let der = vec![7; size];
            let text = encode("SOME THING", &der);
            assert_eq!(text.len(), encoded_length("SOME THING", size));
            let text = format!("before\r\n{}between\n{text}after", text.replace('\n', "\r\n"));
            let blocks = blocks(&text, 10_000).unwrap();
            assert_eq!(blocks.len(), 2);
            assert!(blocks.iter().all(|block| block.label == "SOME THING" && *block.der == der));
        }
    }

    #[test]
    fn broken_blocks() {
        for bad in [
            "-----BEGIN ",
            "-----BEGIN A-----",
            "-----BEGIN A-----\nAAAA\n-----END B-----",
            "-----BEGIN A-----\nAAA\n-----END A-----",
            "-----BEGIN A-----\nAA\n-----BEGIN A-----\n-----END A-----",
            "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END A-----",
            "-----BEGIN A-----\nAA\0A\n-----END A-----",
            "-----END A----------BEGIN A-----",
        ] {
            assert!(blocks(bad, 1000).is_err(), "{bad:?}");
        }
        assert!(blocks("12345", 4).is_err());
    }
}
