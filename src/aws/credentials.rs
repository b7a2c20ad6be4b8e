//! Access keys out of a Secret.

use aws_credential_types::Credentials;
use std::collections::BTreeMap;
use zeroize::{Zeroize, Zeroizing};

/// Key of the Secret that holds the access key id.
const ACCESS_KEY_ID: &str = "accessKeyId";
/// Key of the Secret that holds the secret access key.
const SECRET_ACCESS_KEY: &str = "secretAccessKey";
/// Key of the Secret that holds the session token of temporary credentials.
const SESSION_TOKEN: &str = "sessionToken";
/// The longest value that is read, bytes; session tokens have no fixed limit (STS API reference, Credentials).
const MOST_BYTES: usize = 16 * 1024;

/// Access keys. They have no `Debug`, and wipe their memory.
pub struct AccessKeys {
    id: Zeroizing<String>,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

impl AccessKeys {
    /// Reads the data of a Secret (already decoded), and wipes it. Unknown keys are passed over.
    ///
    /// # Errors
    /// What is wrong with it, for a person; no value is repeated.
    pub fn parse(mut data: BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        let read = Self::read(&data);
        data.values_mut().for_each(Zeroize::zeroize);
        read
    }

    fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        let id = value(data, ACCESS_KEY_ID)?.ok_or_else(|| missing(ACCESS_KEY_ID))?;
        let secret = value(data, SECRET_ACCESS_KEY)?.ok_or_else(|| missing(SECRET_ACCESS_KEY))?;
        let token = value(data, SESSION_TOKEN)?;
        // STS API reference, Credentials: 16 to 128 characters of \w.
        if !(16..=128).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!(
                "{ACCESS_KEY_ID} is not an access key id, which is 16 to 128 letters and digits such as AKIAIOSFODNN7EXAMPLE"
            ));
        }
        if !(16..=256).contains(&secret.len()) {
            return Err(format!("{SECRET_ACCESS_KEY} is not a secret access key, which has 40 characters"));
        }
        if id.starts_with("ASIA") && token.is_none() {
            return Err(format!(
                "{ACCESS_KEY_ID} is one of temporary credentials (ASIA…), so {SESSION_TOKEN} is needed too"
            ));
        }
        Ok(Self { id, secret, token })
    }

    /// The keys as the SDK takes them; it wipes its copies too.
    #[must_use]
    pub fn to_sdk(&self) -> Credentials {
        Credentials::new(&**self.id, &**self.secret, self.token.as_ref().map(|t| t.to_string()), None, "Secret")
    }
}

fn missing(key: &str) -> String {
    format!(
        "there is no {key} in it: it needs {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, and {SESSION_TOKEN} for temporary credentials"
    )
}

fn value(data: &BTreeMap<String, Vec<u8>>, key: &str) -> Result<Option<Zeroizing<String>>, String> {
    let Some(bytes) = data.get(key) else { return Ok(None) };
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{key} is not text (UTF-8)"))?;
    if text.is_empty() {
        return Err(format!("{key} is empty"));
    }
    if text.len() > MOST_BYTES {
        return Err(format!("{key} is longer than {MOST_BYTES} bytes"));
    }
    if text.ends_with('\n') {
        return Err(format!(
            "{key} ends with a newline: make it with printf instead of echo, or with kubectl create secret --from-literal"
        ));
    }
    if text.contains(char::is_whitespace) {
        return Err(format!(
            "{key} contains white space: make it with printf, or with kubectl create secret --from-literal"
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{key} contains characters that no AWS key has"));
    }
    Ok(Some(Zeroizing::new(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn parse(pairs: &[(&str, &[u8])]) -> Result<AccessKeys, String> {
        AccessKeys::parse(pairs.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec())).collect())
    }

    fn refusal(pairs: &[(&str, &[u8])]) -> String {
        let message = parse(pairs).err().unwrap();
        assert!(!message.contains("wJalr") && !message.contains("AKIAX"), "a key in the message: {message}");
        message
    }

    #[test]
    fn keys_are_read_with_and_without_a_session_token() {
        let keys =
            parse(&[(ACCESS_KEY_ID, ID.as_bytes()), (SECRET_ACCESS_KEY, SECRET.as_bytes())]).ok().unwrap().to_sdk();
        assert_eq!((keys.access_key_id(), keys.secret_access_key(), keys.session_token()), (ID, SECRET, None));
        let temporary = parse(&[
            (ACCESS_KEY_ID, b"ASIAIOSFODNN7EXAMPLE"),
            (SECRET_ACCESS_KEY, SECRET.as_bytes()),
            (SESSION_TOKEN, b"IQoJb3JpZ2luX2Vj=="),
            ("note", b"passed over\n"),
        ]);
        assert_eq!(temporary.ok().unwrap().to_sdk().session_token(), Some("IQoJb3JpZ2luX2Vj=="));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(refusal(&[(ACCESS_KEY_ID, ID.as_bytes())]).contains("no secretAccessKey"));
        assert!(refusal(&[(SECRET_ACCESS_KEY, SECRET.as_bytes())]).contains("no accessKeyId"));
        assert!(
            refusal(&[(ACCESS_KEY_ID, b""), (SECRET_ACCESS_KEY, SECRET.as_bytes())]).contains("accessKeyId is empty")
        );
        let id = (ACCESS_KEY_ID, "ASIAIOSFODNN7EXAMPLE".as_bytes());
        assert!(refusal(&[id, (SECRET_ACCESS_KEY, SECRET.as_bytes())]).contains("sessionToken is needed"));
    }

    #[test]
    fn a_newline_of_echo_is_explained() {
        let line = format!("{SECRET}\n");
        let message = refusal(&[(ACCESS_KEY_ID, ID.as_bytes()), (SECRET_ACCESS_KEY, line.as_bytes())]);
        assert!(
            message.contains("newline") && message.contains("printf") && message.contains("--from-literal"),
            "{message}"
        );
    }

    #[test]
    fn values_of_a_wrong_form_are_refused_without_being_repeated() {
        for (id, secret) in [
            (&b" AKIAIOSFODNN7EXAMPLE"[..], SECRET.as_bytes()),
            (b"AKIAXOSFODNN7\xffEXAMPLE", SECRET.as_bytes()),
            (b"AKIAX", SECRET.as_bytes()),
            (SECRET.as_bytes(), ID.as_bytes()),
            (ID.as_bytes(), b"wJalr"),
            (ID.as_bytes(), "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEÿ".as_bytes()),
        ] {
            refusal(&[(ACCESS_KEY_ID, id), (SECRET_ACCESS_KEY, secret)]);
        }
    }
}
