//! AssumeRoleWithWebIdentity: a role for who has a token of an OpenID Connect provider, as IRSA does it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{ApiError, Call};
use crate::identity::{AccessKey, Identities, Principal, WebIdentity};
use crate::sts;

/// The operation, which alone is called without a signature.
pub const OPERATION: &str = "AssumeRoleWithWebIdentity";

/// The claims of a token that a trust policy looks at.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

/// Whom a call without a signature is counted for: the account of the role.
pub fn caller(body: &Value) -> AccessKey {
    let account = body["RoleArn"].as_str().and_then(|arn| arn.split(':').nth(4)).unwrap_or_default();
    AccessKey {
        id: String::new(),
        secret: String::new(),
        account: account.to_owned(),
        principal: Principal::User,
        session: None,
    }
}

/// AssumeRoleWithWebIdentity (STS API reference). The token's signature is not looked at.
pub fn assume(identities: &mut Identities, call: &Call, body: &Value) -> Result<Value, ApiError> {
    let wanted = sts::wanted(body)?;
    let token = body["WebIdentityToken"].as_str().unwrap_or_default();
    if !(4..=20_000).contains(&token.len()) {
        return Err(sts::invalid("WebIdentityToken must be 4 to 20000 characters long"));
    }
    let claims = claims(token)
        .ok_or_else(|| ApiError::new("InvalidIdentityToken", "The ID Token provided is not a valid JWT"))?;
    if claims.exp <= call.now.as_second() {
        return Err(ApiError::new("ExpiredTokenException", "Token expired: it is past its exp"));
    }
    let refused = || sts::denied("Not authorized to perform sts:AssumeRoleWithWebIdentity".to_owned());
    let role = identities.roles.get(wanted.arn).ok_or_else(refused)?;
    let trusts = |trust: &WebIdentity| {
        trust.issuer == claims.iss && trust.subject == claims.sub && claims.aud.has(&trust.audience)
    };
    if !role.web_identity.as_ref().is_some_and(trusts) {
        return Err(refused());
    }
    sts::check_duration(wanted.duration, role)?;
    let mut answer = sts::open(identities, call, &wanted)?;
    answer["SubjectFromWebIdentityToken"] = json!(claims.sub);
    answer["Provider"] = json!(claims.iss);
    Ok(answer)
}

fn claims(token: &str) -> Option<Claims> {
    let [_, payload, _] = token.split('.').collect::<Vec<_>>()[..] else { return None };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;
    use crate::tests::call;

    const ROLE: &str = "arn:aws:iam::444455556666:role/Keeper";

    fn token(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn right() -> Value {
        json!({"iss": "https://oidc.example", "sub": "system:serviceaccount:a:b", "aud": ["sts.amazonaws.com"],
            "exp": call().now.as_second() + 60})
    }

    fn ask(token: &str, role: &str) -> Result<Value, ApiError> {
        let mut all = Identities::default();
        let trust = WebIdentity {
            issuer: "https://oidc.example".into(),
            subject: "system:serviceaccount:a:b".into(),
            audience: "sts.amazonaws.com".into(),
        };
        all.roles.insert(ROLE.into(), Role { web_identity: Some(trust), ..Role::default() });
        all.roles.insert("arn:aws:iam::444455556666:role/Keys".into(), Role::default());
        let body = json!({"RoleArn": role, "RoleSessionName": "arnkeeper", "WebIdentityToken": token});
        let answer = assume(&mut all, &call(), &body)?;
        assert!(all.keys.contains_key(answer["Credentials"]["AccessKeyId"].as_str().unwrap()));
        Ok(answer)
    }

    fn code(claims: &Value) -> &'static str {
        ask(&token(claims), ROLE).map_or_else(|error| error.code, |_| "ok")
    }

    fn with(name: &str, value: &Value) -> Value {
        let mut claims = right();
        claims[name] = value.clone();
        claims
    }

    /// STS API reference, AssumeRoleWithWebIdentity: keys of the role, and whom the token is about.
    #[test]
    fn the_token_that_the_role_trusts_is_taken() {
        let answer = ask(&token(&right()), ROLE).unwrap();
        assert_eq!(answer["SubjectFromWebIdentityToken"], "system:serviceaccount:a:b");
        assert_eq!(answer["AssumedRoleUser"]["Arn"], "arn:aws:sts::444455556666:assumed-role/Keeper/arnkeeper");
        assert_eq!(code(&with("aud", &json!("sts.amazonaws.com"))), "ok");
    }

    /// IAM User Guide, "Create a role for OpenID Connect federation": issuer, subject and audience are conditions.
    #[test]
    fn any_other_token_or_role_is_refused() {
        for (name, value) in [("iss", "https://other"), ("sub", "system:serviceaccount:a:c"), ("aud", "other")] {
            assert_eq!(code(&with(name, &json!(value))), "AccessDenied", "{name}");
        }
        for role in ["arn:aws:iam::444455556666:role/Keys", "arn:aws:iam::444455556666:role/Nobody"] {
            assert_eq!(ask(&token(&right()), role).unwrap_err().code, "AccessDenied");
        }
    }

    /// STS API reference, AssumeRoleWithWebIdentity, Errors: ExpiredToken and InvalidIdentityToken.
    #[test]
    fn tokens_that_ended_or_are_none() {
        assert_eq!(code(&with("exp", &json!(call().now.as_second()))), "ExpiredTokenException");
        assert_eq!(ask("abcd", ROLE).unwrap_err().code, "InvalidIdentityToken");
        assert_eq!(ask(&token(&json!({"sub": "x"})), ROLE).unwrap_err().code, "InvalidIdentityToken");
        assert_eq!(ask("", ROLE).unwrap_err().code, "ValidationError");
    }
}
