//! Identity and Access Management: SimulatePrincipalPolicy, by what an account was denied.

use serde_json::{Value, json};

use crate::api::{ApiError, Call};
use crate::identity::{AccessKey, Identities, Principal};

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidInput", message)
}

/// The members of a list of the query protocol, in order.
fn members(body: &Value, name: &str) -> Vec<String> {
    let at = |number: usize| body[format!("{name}.member.{number}")].as_str().map(str::to_owned);
    (1..).map_while(at).collect()
}

/// Answers an action; the answer is the content of the action's `Result` element.
pub fn handle(
    identities: &Identities,
    call: &Call,
    key: &AccessKey,
    action: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    if action != "SimulatePrincipalPolicy" {
        return Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {action} for version 2010-05-08"),
        ));
    }
    let source = body["PolicySourceArn"].as_str().unwrap_or_default();
    // IAM's own refusals have status 403 (IAM API reference, "Common errors").
    identities.check(key, call, "iam", action, source).map_err(|error| ApiError {
        code: "AccessDenied",
        status: 403,
        ..error
    })?;
    known(identities, call, key, source)?;
    let actions = members(body, "ActionNames");
    if actions.is_empty() {
        return Err(ApiError::new("ValidationError", "ActionNames must have a member"));
    }
    let resources = match members(body, "ResourceArns") {
        none if none.is_empty() => vec!["*".to_owned()],
        some => some,
    };
    let results: Vec<Value> = actions
        .iter()
        .map(|action| {
            let each: Vec<(&String, bool)> = resources
                .iter()
                .map(|resource| (resource, allowed(identities, &key.account, action, resource)))
                .collect();
            let word = |allowed: bool| if allowed { "allowed" } else { "implicitDeny" };
            let specific: Vec<Value> = each
                .iter()
                .map(
                    |(resource, allowed)| json!({"EvalResourceName": resource, "EvalResourceDecision": word(*allowed)}),
                )
                .collect();
            json!({
                "EvalActionName": action,
                "EvalResourceName": resources[0],
                "EvalDecision": word(each.iter().all(|(_, allowed)| *allowed)),
                "MissingContextValues": [],
                "ResourceSpecificResults": specific,
            })
        })
        .collect();
    Ok(json!({"IsTruncated": false, "EvaluationResults": results}))
}

/// The policies' owner is a user, group or role of the caller's account (IAM API reference, SimulatePrincipalPolicy).
fn known(identities: &Identities, call: &Call, key: &AccessKey, source: &str) -> Result<(), ApiError> {
    let missing =
        || ApiError { code: "NoSuchEntity", message: format!("The entity {source} cannot be found."), status: 404 };
    let home = format!("arn:{}:iam::{}:", call.partition, key.account);
    let Some(entity) = source.strip_prefix(&*home) else {
        return Err(invalid(format!("Invalid Entity Arn: {source} does not clearly define entity type and name.")));
    };
    let found = match entity.split_once('/') {
        Some(("role", _)) => identities.roles.contains_key(source),
        Some(("user", name)) => identities.keys.get(name).is_some_and(|key| key.principal == Principal::User),
        Some(("group", _)) => false,
        _ => {
            return Err(invalid(format!("Invalid Entity Arn: {source} does not clearly define entity type and name.")));
        }
    };
    if found { Ok(()) } else { Err(missing()) }
}

/// Whether the account was not denied an action, and its resource is one of the action's own service.
fn allowed(identities: &Identities, account: &str, action: &str, resource: &str) -> bool {
    let service = action.split_once(':').map_or("", |(service, _)| service);
    // STS has no resources but IAM's roles (Service Authorization Reference).
    let owner = if service == "sts" { "iam" } else { service };
    let fits = resource == "*" || resource.split(':').nth(2) == Some(owner);
    fits && !identities.is_denied(account, action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;
    use crate::tests::call;

    const ROLE: &str = "arn:aws:iam::111122223333:role/teams/keeper";

    fn world() -> (Identities, AccessKey) {
        let mut all = Identities::default();
        let key = all.add_key("111122223333", None, None, false).unwrap();
        let role = Role { external_id: None, trusted_accounts: None, max_session_seconds: 3600, web_identity: None };
        all.roles.insert(ROLE.into(), role);
        (all, key)
    }

    fn ask(all: &Identities, key: &AccessKey, source: &str, resource: &str) -> Result<Value, ApiError> {
        let body = json!({"PolicySourceArn": source, "ActionNames.member.1": "acm:ImportCertificate",
            "ActionNames.member.2": "acm:DeleteCertificate", "ResourceArns.member.1": resource});
        handle(all, &call(), key, "SimulatePrincipalPolicy", &body)
    }

    fn decisions(answer: &Value) -> Vec<&str> {
        answer["EvaluationResults"].as_array().unwrap().iter().map(|r| r["EvalDecision"].as_str().unwrap()).collect()
    }

    /// IAM API reference, SimulatePrincipalPolicy and EvaluationResult.
    #[test]
    fn a_simulation_tells_what_is_denied_and_on_what() {
        let (mut all, key) = world();
        let own = "arn:aws:acm:eu-west-1:111122223333:certificate/*";
        assert_eq!(decisions(&ask(&all, &key, ROLE, own).unwrap()), ["allowed", "allowed"]);
        all.denied.entry("111122223333".into()).or_default().insert("acm:DeleteCertificate".into());
        let answer = ask(&all, &key, ROLE, own).unwrap();
        assert_eq!(decisions(&answer), ["allowed", "implicitDeny"]);
        assert_eq!(answer["EvaluationResults"][1]["ResourceSpecificResults"][0]["EvalResourceName"], own);
        let foreign = "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/a";
        assert_eq!(decisions(&ask(&all, &key, ROLE, foreign).unwrap()), ["implicitDeny", "implicitDeny"]);
        let user = format!("arn:aws:iam::111122223333:user/{}", key.id);
        assert_eq!(decisions(&ask(&all, &key, &user, "*").unwrap()), ["allowed", "implicitDeny"]);
    }

    /// IAM API reference, SimulatePrincipalPolicy: errors, and "must be allowed".
    #[test]
    fn who_may_not_ask_or_asks_about_nobody() {
        let (mut all, key) = world();
        let code = |all: &Identities, source: &str| ask(all, &key, source, "*").map_or_else(|e| e.code, |_| "ok");
        assert_eq!(code(&all, "arn:aws:iam::111122223333:role/keeper"), "NoSuchEntity");
        assert_eq!(code(&all, "arn:aws:sts::111122223333:assumed-role/keeper/me"), "InvalidInput");
        assert_eq!(code(&all, "arn:aws:iam::444455556666:role/keeper"), "InvalidInput");
        all.denied.entry("111122223333".into()).or_default().insert("iam:SimulatePrincipalPolicy".into());
        let refused = ask(&all, &key, ROLE, "*").unwrap_err();
        assert_eq!((refused.code, refused.status), ("AccessDenied", 403));
        assert!(refused.message.contains("iam:SimulatePrincipalPolicy"), "{}", refused.message);
    }
}
