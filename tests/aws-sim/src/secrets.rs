//! AWS Secrets Manager: GetSecretValue.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{ApiError, Call};
use crate::identity::AccessKey;

/// What the KMS key of a secret does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Protection {
    /// It opens the secret.
    #[default]
    Usable,
    /// The caller may not use it.
    Denied,
    /// It is disabled or gone.
    Broken,
}

/// A secret.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Its text.
    pub string: Option<String>,
    /// Its bytes, in base 64.
    pub binary: Option<String>,
    /// It was scheduled for deletion.
    pub deleted: bool,
    /// What its key does.
    pub protection: Protection,
}

/// All secrets, by ARN.
#[derive(Debug, Default)]
pub struct Store(BTreeMap<String, Secret>);

/// The ARN: after the name come six random characters (Secrets Manager user guide, "What's in a Secrets Manager secret").
/// Here they are always the same, so that a secret that is made again has the same one.
fn arn(call: &Call, name: &str) -> String {
    let Call { partition, region, account, .. } = call;
    format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-a1b2c3")
}

impl Store {
    /// Makes or changes a secret; returns its ARN.
    pub fn put(&mut self, call: &Call, name: &str, secret: Secret) -> String {
        let arn = arn(call, name);
        self.0.insert(arn.clone(), secret);
        arn
    }

    /// Removes a secret; false: there is none.
    pub fn remove(&mut self, call: &Call, name: &str) -> bool {
        self.0.remove(&arn(call, name)).is_some()
    }
}

/// Answers an operation.
pub fn handle(store: &Store, key: &AccessKey, call: &Call, operation: &str, body: &Value) -> Result<Value, ApiError> {
    match operation {
        "GetSecretValue" => get(store, key, call, body),
        other => Err(ApiError::new("UnknownOperationException", format!("{other} is not emulated"))),
    }
}

/// GetSecretValue (Secrets Manager API reference), with the messages that AWS gives.
fn get(store: &Store, key: &AccessKey, call: &Call, body: &Value) -> Result<Value, ApiError> {
    let id = body["SecretId"].as_str().unwrap_or_default();
    if !(1..=2048).contains(&id.len()) {
        return Err(ApiError::new("ValidationException", "SecretId must be 1 to 2048 characters long"));
    }
    // A name, or an ARN; of an ARN the end may be left out.
    let short = if id.starts_with("arn:") { format!("{id}-a1b2c3") } else { arn(call, id) };
    let whole = [id.to_owned(), short].into_iter().find(|whole| store.0.contains_key(whole));
    let missing = || ApiError::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    let arn = whole.ok_or_else(missing)?;
    let secret = store.0.get(&arn).ok_or_else(missing)?;
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    let ["arn", _, _, region, account, _, name] = parts[..] else { return Err(missing()) };
    if region != call.region {
        return Err(missing());
    }
    // A secret of another account needs a policy of its own (user guide, "Access secrets from a different account").
    if account != call.account {
        let caller = key.arn(&call.partition);
        let message =
            format!("User: {caller} is not authorized to perform: secretsmanager:GetSecretValue on resource: {arn}");
        return Err(ApiError::new("AccessDeniedException", message));
    }
    if secret.deleted {
        return Err(ApiError::new(
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
        ));
    }
    match secret.protection {
        Protection::Usable => {}
        // User guide, "Secret encryption and decryption": reading needs kms:Decrypt on a customer managed key; the words
        // are those of repost.aws/knowledge-center/secrets-manager-cross-account-key.
        Protection::Denied => return Err(ApiError::new("AccessDeniedException", "Access to KMS is not allowed")),
        // GetSecretValue, Errors, DecryptionFailure.
        Protection::Broken => {
            return Err(ApiError::new(
                "DecryptionFailure",
                "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
            ));
        }
    }
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    let mut answer = json!({ "ARN": arn, "Name": name, "VersionStages": ["AWSCURRENT"] });
    for (field, value) in [("SecretString", &secret.string), ("SecretBinary", &secret.binary)] {
        if let Some(value) = value {
            answer[field] = json!(value);
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identities;
    use crate::tests::call;

    fn secret() -> Secret {
        Secret { string: Some("{}".into()), binary: None, deleted: false, protection: Protection::Usable }
    }

    fn ask(store: &Store, call: &Call, id: &str) -> Result<Value, ApiError> {
        let key = Identities::default().add_key(&call.account, None, None, false).unwrap();
        handle(store, &key, call, "GetSecretValue", &json!({ "SecretId": id }))
    }

    fn code(result: Result<Value, ApiError>) -> &'static str {
        result.map_or_else(|error| error.code, |_| "ok")
    }

    /// API reference, GetSecretValue, SecretId: the ARN or the name of the secret.
    #[test]
    fn by_name_and_by_arn() {
        let mut store = Store::default();
        let arn = store.put(&call(), "aws/prod", secret());
        for id in ["aws/prod", &arn, arn.strip_suffix("-a1b2c3").unwrap()] {
            let answer = ask(&store, &call(), id).unwrap();
            assert_eq!((&answer["ARN"], &answer["Name"]), (&json!(arn), &json!("aws/prod")));
            assert_eq!(answer["SecretString"], "{}");
            assert!(answer["SecretBinary"].is_null());
        }
        assert_eq!(code(ask(&store, &call(), "aws")), "ResourceNotFoundException");
        assert_eq!(code(ask(&store, &call(), "")), "ValidationException");
        let elsewhere = Call { region: "us-east-1".into(), ..call() };
        assert_eq!(code(ask(&store, &elsewhere, "aws/prod")), "ResourceNotFoundException");
        let stranger = Call { account: "444455556666".into(), ..call() };
        assert_eq!(code(ask(&store, &stranger, &arn)), "AccessDeniedException");
        assert!(store.remove(&call(), "aws/prod") && !store.remove(&call(), "aws/prod"));
        assert_eq!(code(ask(&store, &call(), &arn)), "ResourceNotFoundException");
    }

    /// API reference, GetSecretValue, Errors.
    #[test]
    fn deleted_and_protected_secrets() {
        let mut store = Store::default();
        let mut answer = |secret: Secret| {
            store.put(&call(), "a", secret);
            code(ask(&store, &call(), "a"))
        };
        assert_eq!(answer(Secret { deleted: true, ..secret() }), "InvalidRequestException");
        assert_eq!(answer(Secret { protection: Protection::Denied, ..secret() }), "AccessDeniedException");
        assert_eq!(answer(Secret { protection: Protection::Broken, ..secret() }), "DecryptionFailure");
        assert_eq!(answer(secret()), "ok");
    }
}
