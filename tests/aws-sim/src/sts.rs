//! AWS Security Token Service: GetCallerIdentity and AssumeRole (`web_identity` has the one with a token).

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::api::{ApiError, Call};
use crate::identity::{AccessKey, Identities, Principal, Role, Session, role_id};
use crate::random;
use crate::web_identity;

/// The longest session of a role assumed by a session (IAM User Guide, "Role chaining").
const MAX_CHAINED_SECONDS: i64 = 3600;

pub(crate) fn denied(message: String) -> ApiError {
    ApiError { code: "AccessDenied", message, status: 403 }
}

pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", message)
}

/// Answers an action; the answer is the content of the action's `Result` element.
pub fn handle(
    identities: &mut Identities,
    call: &Call,
    key: &AccessKey,
    action: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    match action {
        // Needs no permission (STS API reference, GetCallerIdentity).
        "GetCallerIdentity" => {
            Ok(json!({"Arn": key.arn(&call.partition), "UserId": key.user_id(), "Account": key.account}))
        }
        "AssumeRole" => assume(identities, call, key, body),
        web_identity::OPERATION => web_identity::assume(identities, call, body),
        other => {
            Err(ApiError::new("InvalidAction", format!("Could not find operation {other} for version 2011-06-15")))
        }
    }
}

/// What every way to assume a role asks for.
pub(crate) struct Wanted<'a> {
    pub(crate) arn: &'a str,
    name: &'a str,
    /// Seconds.
    pub(crate) duration: i64,
}

/// The parameters that all ways share.
pub(crate) fn wanted(body: &Value) -> Result<Wanted<'_>, ApiError> {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let (arn, name) = (text("RoleArn"), text("RoleSessionName"));
    if !(20..=2048).contains(&arn.len()) {
        return Err(invalid("RoleArn must be 20 to 2048 characters long"));
    }
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    if !(2..=64).contains(&name.len()) || !name.chars().all(is_allowed) {
        return Err(invalid("RoleSessionName must be 2 to 64 characters of [\\w+=,.@-]"));
    }
    let duration = match body["DurationSeconds"].as_str() {
        None => 3600,
        Some(given) => given.parse::<i64>().map_err(|_| invalid("DurationSeconds must be a number"))?,
    };
    if !(900..=43_200).contains(&duration) {
        return Err(invalid("DurationSeconds must be 900 to 43200"));
    }
    Ok(Wanted { arn, name, duration })
}

/// A session may not outlast what its role allows.
pub(crate) fn check_duration(duration: i64, role: &Role) -> Result<(), ApiError> {
    if duration > role.max_session_seconds {
        return Err(invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
    }
    Ok(())
}

/// AssumeRole (STS API reference).
fn assume(identities: &mut Identities, call: &Call, key: &AccessKey, body: &Value) -> Result<Value, ApiError> {
    let wanted = wanted(body)?;
    let external_id = body["ExternalId"].as_str();
    if external_id.is_some_and(|id| !(2..=1224).contains(&id.len())) {
        return Err(invalid("ExternalId must be 2 to 1224 characters long"));
    }
    if key.principal == Principal::Root {
        return Err(denied("Roles may not be assumed by root accounts.".to_owned()));
    }
    let arn = wanted.arn;
    let refused = || {
        let caller = key.arn(&call.partition);
        denied(format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}"))
    };
    identities.check(key, call, "sts", "AssumeRole", arn).map_err(|_| refused())?;
    let role = identities.roles.get(arn).ok_or_else(refused)?;
    // IAM User Guide, "Roles terms and concepts": the trust policy names who may assume it.
    let is_foreign = role.trusted_accounts.as_ref().is_some_and(|trusted| !trusted.contains(&key.account));
    if is_foreign || role.web_identity.is_some() {
        return Err(refused());
    }
    if role.external_id.is_some() && role.external_id.as_deref() != external_id {
        return Err(refused());
    }
    check_duration(wanted.duration, role)?;
    if matches!(key.principal, Principal::Session { .. }) && wanted.duration > MAX_CHAINED_SECONDS {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    open(identities, call, &wanted)
}

/// Makes the keys of a session, and the answer with them.
pub(crate) fn open(identities: &mut Identities, call: &Call, wanted: &Wanted) -> Result<Value, ApiError> {
    let Wanted { arn, name, duration } = *wanted;
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "iam", "", account, path] = parts[..] else { return Err(invalid("RoleArn is invalid")) };
    let role_name = path.rsplit('/').next().unwrap_or_default();
    let expires = call
        .now
        .checked_add(SignedDuration::from_secs(duration))
        .map_err(|_| invalid("The session would end after the end of time"))?;
    let token = random::base64::<150>()?;
    let temporary = AccessKey {
        id: format!("ASIA{}", random::letters::<16>()?),
        secret: random::base64::<30>()?,
        account: account.to_owned(),
        principal: Principal::Session { role: role_name.to_owned(), session: name.to_owned() },
        session: Some(Session { token: token.clone(), expires }),
    };
    let answer = json!({
        "Credentials": {
            "AccessKeyId": temporary.id,
            "SecretAccessKey": temporary.secret,
            "SessionToken": token,
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        },
        "AssumedRoleUser": {
            "AssumedRoleId": format!("{}:{name}", role_id(account, role_name)),
            "Arn": temporary.arn(partition),
        },
    });
    identities.keys.insert(temporary.id.clone(), temporary);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::call;

    const ROLE: &str = "arn:aws:iam::444455556666:role/teams/Importer";

    fn world(external_id: Option<&str>, max_session_seconds: i64) -> (Identities, AccessKey) {
        let mut all = Identities::default();
        let key = all.add_key("111122223333", None, None, false).unwrap();
        let external_id = external_id.map(str::to_owned);
        all.roles.insert(ROLE.into(), Role { external_id, max_session_seconds, ..Role::default() });
        (all, key)
    }

    fn ask(all: &mut Identities, key: &AccessKey, more: &Value) -> Result<Value, ApiError> {
        let mut body = json!({"RoleArn": ROLE, "RoleSessionName": "arnkeeper"});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        handle(all, &call(), key, "AssumeRole", &body)
    }

    fn code(result: Result<Value, ApiError>) -> &'static str {
        result.map_or_else(|error| error.code, |_| "ok")
    }

    /// STS API reference, AssumeRole and GetCallerIdentity: temporary keys of the role's account.
    #[test]
    fn a_role_gives_keys_of_its_account() {
        let (mut all, key) = world(None, 3600);
        let answer = ask(&mut all, &key, &json!({})).unwrap();
        let id = answer["Credentials"]["AccessKeyId"].as_str().unwrap();
        assert!(id.starts_with("ASIA") && id.len() == 20);
        let temporary = all.keys[id].clone();
        assert_eq!(temporary.session.as_ref().unwrap().expires.as_second(), call().now.as_second() + 3600);
        let who = handle(&mut all, &call(), &temporary, "GetCallerIdentity", &json!({})).unwrap();
        assert_eq!(who["Arn"], "arn:aws:sts::444455556666:assumed-role/Importer/arnkeeper");
        assert_eq!(who["Account"], "444455556666");
        assert_eq!(who["UserId"], answer["AssumedRoleUser"]["AssumedRoleId"]);
    }

    /// IAM User Guide, "Access to AWS accounts owned by third parties": the external ID must be the role's.
    #[test]
    fn external_ids_must_match() {
        let (mut all, key) = world(Some("secret-1"), 3600);
        assert_eq!(code(ask(&mut all, &key, &json!({}))), "AccessDenied");
        assert_eq!(code(ask(&mut all, &key, &json!({"ExternalId": "secret-2"}))), "AccessDenied");
        assert_eq!(code(ask(&mut all, &key, &json!({"ExternalId": "secret-1"}))), "ok");
    }

    /// IAM User Guide, "Roles terms and concepts": who is not in the trust policy is refused.
    #[test]
    fn a_role_trusts_whom_it_names() {
        let (mut all, key) = world(None, 3600);
        let trust = |all: &mut Identities, account: &str| {
            all.roles.get_mut(ROLE).unwrap().trusted_accounts = Some([account.to_owned()].into());
        };
        trust(&mut all, "777788889999");
        assert_eq!(code(ask(&mut all, &key, &json!({}))), "AccessDenied");
        trust(&mut all, "111122223333");
        assert_eq!(code(ask(&mut all, &key, &json!({}))), "ok");
    }

    /// STS API reference, AssumeRole: a role that does not exist is refused like one that does not trust.
    #[test]
    fn unknown_roles_roots_and_denials() {
        let (mut all, key) = world(None, 3600);
        let other = json!({"RoleArn": "arn:aws:iam::444455556666:role/Nobody"});
        assert_eq!(code(ask(&mut all, &key, &other)), "AccessDenied");
        let root = all.add_key("111122223333", None, None, true).unwrap();
        assert_eq!(code(ask(&mut all, &root, &json!({}))), "AccessDenied");
        all.denied.entry("111122223333".into()).or_default().insert("sts:AssumeRole".into());
        assert_eq!(code(ask(&mut all, &key, &json!({}))), "AccessDenied");
        assert!(handle(&mut all, &call(), &key, "GetCallerIdentity", &json!({})).is_ok());
    }

    /// STS API reference, AssumeRole, DurationSeconds: 900 seconds to the role's maximum, an hour when chained.
    #[test]
    fn durations() {
        let (mut all, key) = world(None, 7200);
        let mut ask = |key: &AccessKey, seconds: &str| ask(&mut all, key, &json!({"DurationSeconds": seconds}));
        assert_eq!(code(ask(&key, "899")), "ValidationError");
        assert_eq!(code(ask(&key, "900")), "ok");
        assert_eq!(code(ask(&key, "7200")), "ok");
        assert_eq!(code(ask(&key, "7201")), "ValidationError");
        let mut session = key.clone();
        session.principal = Principal::Session { role: "A".into(), session: "ab".into() };
        assert_eq!(code(ask(&session, "3600")), "ok");
        assert_eq!(code(ask(&session, "3601")), "ValidationError");
    }

    /// STS API reference, AssumeRole, RoleSessionName: 2 to 64 of certain characters.
    #[test]
    fn session_names() {
        let (mut all, key) = world(None, 3600);
        for name in ["a", "with space", ""] {
            assert_eq!(code(ask(&mut all, &key, &json!({"RoleSessionName": name}))), "ValidationError");
        }
    }
}
