//! Access keys out of a Secret of the cluster, or of a secrets manager.

use crate::api::account::FieldNames;
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

/// What the fields are called.
pub struct Names {
    pub(super) id: String,
    pub(super) secret: String,
    token: String,
}

impl Default for Names {
    fn default() -> Self {
        Self { id: ACCESS_KEY_ID.into(), secret: SECRET_ACCESS_KEY.into(), token: SESSION_TOKEN.into() }
    }
}

impl From<&FieldNames> for Names {
    fn from(given: &FieldNames) -> Self {
        let or = |name: &Option<String>, usual: &str| name.clone().unwrap_or_else(|| usual.to_owned());
        Self {
            id: or(&given.access_key_id, ACCESS_KEY_ID),
            secret: or(&given.secret_access_key, SECRET_ACCESS_KEY),
            token: or(&given.session_token, SESSION_TOKEN),
        }
    }
}

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
    pub fn parse(data: BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        Self::parse_named(data, &Names::default())
    }

    /// The same, with other names of the fields.
    ///
    /// # Errors
    /// What is wrong with it, for a person; no value is repeated.
    pub fn parse_named(mut data: BTreeMap<String, Vec<u8>>, names: &Names) -> Result<Self, String> {
        let read = Self::read(&data, names);
        data.values_mut().for_each(Zeroize::zeroize);
        read
    }

    fn read(data: &BTreeMap<String, Vec<u8>>, names: &Names) -> Result<Self, String> {
        let Names { id: id_name, secret: secret_name, token: token_name } = names;
        let id = value(data, id_name)?.ok_or_else(|| missing(id_name, names))?;
        let secret = value(data, secret_name)?.ok_or_else(|| missing(secret_name, names))?;
        let token = value(data, token_name)?;
        // STS API reference, Credentials: 16 to 128 characters of \w.
        if !(16..=128).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!(
                "{id_name} is not an access key id, which is 16 to 128 letters and digits such as AKIAIOSFODNN7EXAMPLE"
            ));
        }
        if !(16..=256).contains(&secret.len()) {
            return Err(format!("{secret_name} is not a secret access key, which has 40 characters"));
        }
        if id.starts_with("ASIA") && token.is_none() {
            return Err(format!("{id_name} is one of temporary credentials (ASIA…), so {token_name} is needed too"));
        }
        Ok(Self { id, secret, token })
    }

    /// The keys as the SDK takes them; it wipes its copies too.
    #[must_use]
    pub fn to_sdk(&self) -> Credentials {
        Credentials::new(&**self.id, &**self.secret, self.token.as_ref().map(|t| t.to_string()), None, "Secret")
    }
}

fn missing(key: &str, names: &Names) -> String {
    let Names { id, secret, token } = names;
    format!("there is no {key} in it: it needs {id} and {secret}, and {token} for temporary credentials")
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
