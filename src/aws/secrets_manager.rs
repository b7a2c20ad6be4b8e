//! Access keys that AWS Secrets Manager keeps.

use super::{
    classify::from_sdk,
    credentials::{AccessKeys, Names},
    error::{AwsError, Kind},
    provider::own_retries,
    sessions::{ProblemKind, SessionProblem},
};
use crate::api::account::AwsSecret;
use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::Value;
use std::collections::BTreeMap;
use zeroize::Zeroize;

/// The IAM action that reads a secret.
pub const READ: &str = "secretsmanager:GetSecretValue";
/// The IAM action that opens a secret under a customer's own key.
const DECRYPT: &str = "kms:Decrypt";
/// All of them.
#[cfg(test)]
pub(super) const ACTIONS: [&str; 2] = [READ, DECRYPT];

/// Reads a secret; none: it holds bytes, no text.
///
/// GetSecretValue may be called 10,000 times a second (Secrets Manager quotas), so no pace is kept.
///
/// # Errors
/// What AWS says.
pub async fn read(
    config: &SdkConfig,
    identity: SharedCredentialsProvider,
    place: &AwsSecret,
) -> Result<Option<String>, AwsError> {
    let region = aws_config::Region::new(place.region.to_string());
    let config = config.to_builder().region(region).credentials_provider(identity).build();
    let config = aws_sdk_secretsmanager::config::Builder::from(&config).retry_partition(own_retries()).build();
    let call = aws_sdk_secretsmanager::Client::from_conf(config).get_secret_value().secret_id(&place.secret_id);
    let answer = call.send().await.map_err(|error| about_key(from_sdk(READ, &error)))?;
    Ok(answer.secret_string)
}

/// The key that protects the secret refuses, not the secret: AWS tells it in words only, "Access to KMS is not allowed"
/// (repost.aws/knowledge-center/secrets-manager-cross-account-key).
fn about_key(error: AwsError) -> AwsError {
    if error.kind == Kind::AccessDenied && ["KMS", "kms:"].iter().any(|word| error.message.contains(word)) {
        AwsError { action: DECRYPT, ..error }
    } else {
        error
    }
}

/// The access keys that were read, or why there are none.
///
/// # Errors
/// What keeps us out; no value is repeated.
pub fn keys(place: &AwsSecret, read: Result<Option<String>, AwsError>) -> Result<AccessKeys, SessionProblem> {
    let which = format!("secret {:?} of AWS Secrets Manager in {}", place.secret_id, place.region);
    let invalid = |why: &str| SessionProblem::new(ProblemKind::SecretInvalid, format!("{which}: {why}"));
    match read {
        Ok(Some(text)) => {
            let names = place.fields.as_ref().map_or_else(Names::default, Names::from);
            parse(text, &names).map_err(|why| invalid(&why))
        }
        Ok(None) => Err(invalid("it holds bytes (SecretBinary): store it as text (SecretString)")),
        Err(error) => Err(problem(&which, error)),
    }
}

fn problem(which: &str, error: AwsError) -> SessionProblem {
    let code = error.code.as_deref().unwrap_or_default();
    let (kind, hint) = match (error.kind, code) {
        (Kind::NotFound, _) => (ProblemKind::SecretMissing, "make it, or correct secretId and region"),
        // GetSecretValue, Errors: of a secret that is scheduled for deletion, and of a version that is not there.
        (Kind::Refused, "InvalidRequestException") => {
            (ProblemKind::SecretMissing, "restore it if it was marked for deletion")
        }
        (Kind::Refused, "DecryptionFailure" | "InvalidParameterException") => {
            (ProblemKind::SecretInvalid, "look at its key in KMS, and at secretId")
        }
        (Kind::AccessDenied, _) => {
            (ProblemKind::AccessDenied, "it is read with the operator's own identity, the default provider chain")
        }
        _ => {
            let SessionProblem { kind, message } = SessionProblem::from(error);
            return SessionProblem::new(kind, format!("{which}: {message}"));
        }
    };
    SessionProblem::new(kind, format!("{which}: {error}; {hint}"))
}

/// Reads the JSON, and wipes it. What is wrong is told without a value, so not in the words of the parser.
fn parse(mut text: String, names: &Names) -> Result<AccessKeys, String> {
    let read = serde_json::from_str::<BTreeMap<String, Value>>(&text);
    text.zeroize();
    let fields = read.map_err(|_| format!("it is not a JSON object with {} and {}", names.id, names.secret))?;
    AccessKeys::parse_named(texts(fields), names)
}

/// The fields that are texts; a secret may have others, too.
pub(super) fn texts(fields: BTreeMap<String, Value>) -> BTreeMap<String, Vec<u8>> {
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text.into_bytes())),
        _ => None,
    };
    fields.into_iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn place(fields: &Value) -> AwsSecret {
        let place = serde_json::json!({ "secretId": "aws/prod", "region": "eu-west-1", "fields": fields });
        serde_json::from_value(place).unwrap()
    }

    fn refused(read: Result<Option<String>, AwsError>) -> (ProblemKind, String) {
        let problem = keys(&place(&Value::Null), read).err().unwrap();
        assert!(problem.message.contains("aws/prod") && problem.message.contains("eu-west-1"), "{problem}");
        assert!(!problem.message.contains("wJalr") && !problem.message.contains("AKIA"), "a key: {problem}");
        (problem.kind, problem.message)
    }

    fn error(kind: Kind, code: &str, message: &str) -> AwsError {
        about_key(AwsError { kind, action: READ, code: Some(code.into()), message: message.into() })
    }

    #[test]
    fn the_fields_may_have_other_names() {
        let text = serde_json::json!({ "user": ID, "password": SECRET, "rotated": 7, "accessKeyId": "" }).to_string();
        let names = serde_json::json!({ "accessKeyId": "user", "secretAccessKey": "password" });
        let read = keys(&place(&names), Ok(Some(text))).ok().unwrap().to_sdk();
        assert_eq!((read.access_key_id(), read.secret_access_key(), read.session_token()), (ID, SECRET, None));
        let text = serde_json::json!({ "accessKeyId": ID, "secretAccessKey": SECRET, "sessionToken": "IQoJb" });
        let read = keys(&place(&Value::Null), Ok(Some(text.to_string()))).ok().unwrap().to_sdk();
        assert_eq!(read.session_token(), Some("IQoJb"));
    }

    #[test]
    fn a_secret_of_a_wrong_shape_is_told_without_its_values() {
        for (text, words) in [
            (SECRET.to_owned(), "not a JSON object"),
            (format!("\"{SECRET}\""), "not a JSON object"),
            (format!("[\"{SECRET}\"]"), "not a JSON object"),
            (format!("{{\"accessKeyId\": \"{ID}\""), "not a JSON object"),
            (format!("{{\"accessKeyId\": \"{ID}\"}}"), "no secretAccessKey"),
            (format!("{{\"accessKeyId\": 12, \"secretAccessKey\": \"{SECRET}\"}}"), "no accessKeyId"),
        ] {
            let (kind, message) = refused(Ok(Some(text)));
            assert!(kind == ProblemKind::SecretInvalid && message.contains(words), "{message}");
        }
        assert!(refused(Ok(None)).1.contains("SecretString"));
    }

    #[test]
    fn each_refusal_has_its_own_reason() {
        let kind = |error| refused(Err(error)).0;
        let missing = error(Kind::NotFound, "ResourceNotFoundException", "can't find the specified secret");
        assert_eq!(kind(missing), ProblemKind::SecretMissing);
        let deleted = error(Kind::Refused, "InvalidRequestException", "it was marked for deletion");
        assert_eq!(kind(deleted), ProblemKind::SecretMissing);
        assert_eq!(kind(error(Kind::Refused, "DecryptionFailure", "")), ProblemKind::SecretInvalid);
        assert_eq!(kind(error(Kind::Transient, "InternalServiceError", "")), ProblemKind::Transient);
        let (kind, message) = refused(Err(error(Kind::AccessDenied, "AccessDeniedException", "not authorized")));
        assert!(kind == ProblemKind::AccessDenied && message.contains(READ), "{message}");
        let (kind, message) =
            refused(Err(error(Kind::AccessDenied, "AccessDeniedException", "Access to KMS is not allowed")));
        assert!(kind == ProblemKind::AccessDenied && message.contains(DECRYPT), "{message}");
    }
}
