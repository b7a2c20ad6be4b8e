//! The IAM policy document for what an account is used for, as narrow as AWS allows.

use super::{On, PERMISSIONS, Permission, Use};
use crate::api::{
    names::{AccountId, AuthorityArn, Located, Region, RoleArn, is_partition},
    organization::USUAL_ROLE,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The version of the policy language (IAM user guide, "IAM JSON policy elements: Version").
const VERSION: &str = "2012-10-17";

/// What the policy is narrowed to. Everything left out stands for all.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The partition; none: that of what is named below, else `aws`.
    pub partition: Option<String>,
    /// The account whose CAs and certificates it is about.
    pub account: Option<AccountId>,
    /// The regions.
    pub regions: Vec<Region>,
    /// The CAs, instead of all of the account.
    pub authorities: Vec<AuthorityArn>,
    /// The roles that are assumed, instead of those named arnkeeper in any account.
    pub roles: Vec<RoleArn>,
    /// The name of the members' common role, with its path; none: OrganizationAccountAccessRole.
    pub member_role: Option<String>,
    /// ARNs of secrets in AWS Secrets Manager, instead of all of the account. Their last six letters are AWS's: `-??????`.
    pub secrets: Vec<String>,
    /// The `clusterId`: only certificates with this cluster's tag may be deleted.
    pub cluster: Option<String>,
}

impl Scope {
    fn partition(&self) -> &str {
        self.partition.as_deref().or_else(|| self.named().next().map(|(_, partition)| partition)).unwrap_or("aws")
    }

    /// What is named, each with the partition that it lies in.
    fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        let regions = self.regions.iter().map(|region| (region.as_str(), region.partition()));
        let authorities = self.authorities.iter().map(|ca| (ca.arn(), ca.partition()));
        let roles = self.roles.iter().map(|role| (role.arn(), role.partition()));
        let secrets = self.secrets.iter().map(|arn| (&**arn, arn.split(':').nth(1).unwrap_or_default()));
        regions.chain(authorities).chain(roles).chain(secrets)
    }

    /// A policy is of one partition: it can allow nothing in another.
    ///
    /// # Errors
    /// What lies elsewhere.
    pub fn check(&self) -> Result<(), String> {
        let partition = self.partition();
        if !is_partition(partition) {
            return Err(format!("{partition:?} is no partition of AWS: aws, aws-us-gov or aws-cn"));
        }
        match self.named().find(|(_, other)| *other != partition) {
            Some((what, other)) => Err(format!(
                "{what} lies in AWS's partition {other}, and the policy is for {partition}: print one for each partition"
            )),
            None => Ok(()),
        }
    }

    fn account(&self) -> &str {
        self.account.as_ref().map_or("*", AccountId::as_str)
    }

    /// ARNs of a service in every region that was named, or in all.
    fn regional(&self, service: &str, resource: &str) -> Vec<String> {
        let arn = |region: &str| format!("arn:{}:{service}:{region}:{}:{resource}", self.partition(), self.account());
        if self.regions.is_empty() { vec![arn("*")] } else { self.regions.iter().map(|r| arn(r.as_str())).collect() }
    }

    fn resources(&self, on: On) -> Vec<String> {
        let (partition, account) = (self.partition(), self.account());
        match on {
            On::All => vec!["*".into()],
            On::Authority if self.authorities.is_empty() => self.regional("acm-pca", "certificate-authority/*"),
            On::Authority => self.authorities.iter().map(ToString::to_string).collect(),
            On::Certificate => self.regional("acm", "certificate/*"),
            On::Role if self.roles.is_empty() => vec![format!("arn:{partition}:iam::*:role/arnkeeper")],
            On::Role => self.roles.iter().map(ToString::to_string).collect(),
            On::MemberRole => {
                let role = self.member_role.as_deref().unwrap_or(USUAL_ROLE);
                vec![format!("arn:{partition}:iam::*:role/{role}")]
            }
            On::StoredSecret if self.secrets.is_empty() => self.regional("secretsmanager", "secret:*"),
            On::StoredSecret => self.secrets.clone(),
            On::Key => self.regional("kms", "key/*"),
            On::Identity => ["role", "user"].map(|kind| format!("arn:{partition}:iam::{account}:{kind}/*")).into(),
        }
    }

    /// The conditions that an action's calls always meet.
    fn conditions(&self, permission: &Permission) -> Conditions {
        let mut conditions = Conditions::new();
        match permission.action {
            "acm-pca:IssueCertificate" => {
                let template = |name| format!("arn:{}:acm-pca:::template/{name}/V1", self.partition());
                let templates = ["EndEntity*", "BlankEndEntity*"].map(template).into();
                insert(&mut conditions, "StringLike", "acm-pca:TemplateArn", templates);
            }
            "acm:DeleteCertificate" => {
                if let Some(cluster) = &self.cluster {
                    let key = "aws:ResourceTag/arnkeeper.dev/cluster";
                    insert(&mut conditions, "StringEquals", key, vec![cluster.clone()]);
                }
            }
            // Only what Secrets Manager asks KMS for (KMS developer guide, kms:ViaService).
            "kms:Decrypt" => {
                let domain = if self.partition() == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
                let services = |region: &str| format!("secretsmanager.{region}.{domain}");
                let regions: Vec<&str> = self.regions.iter().map(Region::as_str).collect();
                let regions = if regions.is_empty() { vec!["*"] } else { regions };
                let values = regions.into_iter().map(services).collect();
                insert(&mut conditions, "StringLike", "kms:ViaService", values);
            }
            // Its resource can't name a region; Organizations is in one of its own.
            _ if permission.used == Use::Organization => {}
            _ if permission.on == On::All && !self.regions.is_empty() => {
                let regions = self.regions.iter().map(ToString::to_string).collect();
                insert(&mut conditions, "StringEquals", "aws:RequestedRegion", regions);
            }
            _ => {}
        }
        conditions
    }
}

/// By operator, then by key.
type Conditions = BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>;

fn insert(conditions: &mut Conditions, operator: &'static str, key: &'static str, values: Vec<String>) {
    conditions.entry(operator).or_default().insert(key, values);
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: Conditions,
}

/// The name of the statement that an action stands in. IAM takes letters and digits only.
fn sid(permission: &Permission) -> &'static str {
    match (permission.on, permission.action) {
        (_, "acm-pca:IssueCertificate") => "IssueForEndEntitiesOnly",
        (_, "acm:DeleteCertificate") => "DeleteFromAcm",
        (_, "acm:RequestCertificate") => "RequestFromAcm",
        (On::All, _) if permission.used == Use::Organization => "ReadOrganization",
        (On::All, _) => "Lists",
        (On::Authority, _) => "LookAtCas",
        (On::Certificate, _) if permission.used == Use::Discover => "LookAtCertificates",
        (On::Certificate, _) if permission.used == Use::Managed => "KeepInAcm",
        (On::Certificate, _) if permission.used == Use::Export => "ExportKeys",
        (On::Certificate, _) => "Deliver",
        (On::Role, _) => "AssumeRoles",
        (On::MemberRole, _) => "EnterMembers",
        (On::StoredSecret, _) => "ReadAccessKeys",
        (On::Key, _) => "DecryptAccessKeys",
        (On::Identity, _) => "TellWhatIsMissing",
    }
}

/// The policy document, as indented JSON.
///
/// # Errors
/// Never in practice: those of writing JSON.
pub fn text(uses: &BTreeSet<Use>, scope: &Scope) -> Result<String, serde_json::Error> {
    let mut statement: Vec<Statement> = vec![];
    for permission in PERMISSIONS.iter().filter(|permission| uses.contains(&permission.used)) {
        let sid = sid(permission);
        match statement.iter_mut().find(|statement| statement.sid == sid) {
            Some(statement) if statement.action.contains(&permission.action) => {}
            Some(statement) => statement.action.push(permission.action),
            None => statement.push(Statement {
                sid,
                effect: "Allow",
                action: vec![permission.action],
                resource: scope.resources(permission.on),
                condition: scope.conditions(permission),
            }),
        }
    }
    serde_json::to_string_pretty(&Document { version: VERSION, statement })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn document(uses: &[Use], scope: &Scope) -> Value {
        serde_json::from_str(&text(&uses.iter().copied().collect(), scope).unwrap()).unwrap()
    }

    #[test]
    fn who_only_looks_may_change_nothing() {
        let policy = document(&[Use::Discover], &Scope::default());
        let look = ["acm:DescribeCertificate", "acm:ListTagsForCertificate"];
        assert_eq!(named(&policy, "LookAtCertificates")["Action"], serde_json::json!(look));
        assert_eq!(named(&policy, "Lists")["Action"], serde_json::json!(["acm:ListCertificates"]));
        let both = document(&[Use::Discover, Use::Import], &Scope::default());
        assert_eq!(named(&both, "Lists")["Action"], serde_json::json!(["acm:ListCertificates"]), "once");
    }

    /// The statement of a name.
    fn named<'a>(document: &'a Value, sid: &str) -> &'a Value {
        document["Statement"].as_array().unwrap().iter().find(|s| s["Sid"] == sid).unwrap_or(&Value::Null)
    }

    /// The statement that allows an action.
    fn allows<'a>(document: &'a Value, action: &str) -> &'a Value {
        let all = document["Statement"].as_array().unwrap();
        all.iter().find(|s| s["Action"].as_array().unwrap().iter().any(|a| a == action)).unwrap_or(&Value::Null)
    }

    #[test]
    fn only_what_is_used_is_allowed() {
        let import = document(&[Use::Import], &Scope::default());
        assert_eq!(import["Version"], VERSION);
        assert_eq!(allows(&import, "acm:ImportCertificate")["Resource"][0], "arn:aws:acm:*:*:certificate/*");
        assert!(allows(&import, "acm:DeleteCertificate").is_null());
        assert!(!import.to_string().contains("acm-pca"));
        let none = document(&[], &Scope::default());
        assert_eq!(none["Statement"], Value::Array(vec![]));
    }

    #[test]
    fn every_action_is_allowed_on_its_own_resources_and_no_statement_has_two_conditions_for_different_calls() {
        let all: Vec<Use> = PERMISSIONS.iter().map(|p| p.used).collect();
        let scope = Scope { regions: vec!["eu-west-1".parse().unwrap()], ..Scope::default() };
        let document = document(&all, &scope);
        for permission in &PERMISSIONS {
            let statement = named(&document, sid(permission));
            assert!(statement["Action"].as_array().unwrap().iter().any(|a| a == permission.action));
            let resources: Vec<&str> =
                statement["Resource"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
            assert_eq!(resources, scope.resources(permission.on), "{}", permission.action);
            let conditions = serde_json::to_value(scope.conditions(permission)).unwrap();
            let told = statement.get("Condition").cloned().unwrap_or_else(|| serde_json::json!({}));
            assert_eq!(told, conditions, "{}", permission.action);
            assert!(statement["Sid"].as_str().unwrap().chars().all(char::is_alphanumeric));
        }
    }

    #[test]
    fn a_policy_is_of_one_partition() {
        let scope = |partition: Option<&str>, regions: &[&str], roles: &[&str]| Scope {
            partition: partition.map(str::to_owned),
            regions: regions.iter().map(|region| region.parse().unwrap()).collect(),
            roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
            ..Scope::default()
        };
        let role = "arn:aws-cn:iam::111122223333:role/keeper";
        assert_eq!(scope(None, &[], &[role]).partition(), "aws-cn");
        for good in
            [scope(None, &[], &[]), scope(Some("aws-cn"), &["cn-north-1"], &[role]), scope(Some("aws-iso"), &[], &[])]
        {
            assert_eq!(good.check(), Ok(()));
        }
        for (bad, word) in [
            (scope(Some("aws-us-gov"), &["us-gov-west-1", "eu-west-1"], &[]), "eu-west-1"),
            (scope(Some("aws"), &["cn-north-1"], &[]), "cn-north-1"),
            (scope(None, &["us-gov-west-1"], &[role]), role),
            (scope(Some("gov"), &[], &[]), "\"gov\""),
        ] {
            assert!(bad.check().unwrap_err().contains(word), "{bad:?}");
        }
    }

    #[test]
    fn it_is_narrowed_to_account_regions_authorities_and_cluster() {
        let authority = "arn:aws-us-gov:acm-pca:us-gov-west-1:444455556666:certificate-authority/12345678-1234-1234-1234-123456789012";
        let scope = Scope {
            account: Some("111122223333".parse().unwrap()),
            regions: vec!["us-gov-west-1".parse().unwrap(), "us-gov-east-1".parse().unwrap()],
            authorities: vec![authority.parse().unwrap()],
            roles: vec!["arn:aws-us-gov:iam::111122223333:role/teams/keeper".parse().unwrap()],
            cluster: Some("blue".into()),
            member_role: Some("teams/members".into()),
            ..Scope::default()
        };
        let document = document(
            &[Use::Issue, Use::Import, Use::Delete, Use::Assume, Use::Organization, Use::Secrets, Use::Verify],
            &scope,
        );
        let lists = allows(&document, "acm:ListCertificates");
        let regions = &lists["Condition"]["StringEquals"]["aws:RequestedRegion"];
        assert_eq!(*regions, serde_json::json!(["us-gov-west-1", "us-gov-east-1"]));
        let import = &allows(&document, "acm:ImportCertificate")["Resource"];
        assert_eq!(import[0], "arn:aws-us-gov:acm:us-gov-west-1:111122223333:certificate/*");
        assert_eq!(import[1], "arn:aws-us-gov:acm:us-gov-east-1:111122223333:certificate/*");
        let issue = allows(&document, "acm-pca:IssueCertificate");
        assert_eq!(issue["Resource"], serde_json::json!([authority]));
        let template = &issue["Condition"]["StringLike"]["acm-pca:TemplateArn"][0];
        assert_eq!(*template, "arn:aws-us-gov:acm-pca:::template/EndEntity*/V1");
        let delete = allows(&document, "acm:DeleteCertificate");
        assert_eq!(delete["Condition"]["StringEquals"]["aws:ResourceTag/arnkeeper.dev/cluster"][0], "blue");
        let assume = &allows(&document, "sts:AssumeRole")["Resource"];
        assert_eq!(assume[0], "arn:aws-us-gov:iam::111122223333:role/teams/keeper");
        let members = &named(&document, "EnterMembers")["Resource"];
        assert_eq!(members[0], "arn:aws-us-gov:iam::*:role/teams/members");
        let read = named(&document, "ReadOrganization");
        assert!(read.get("Condition").is_none(), "Organizations is in a region of its own");
        let secrets = &allows(&document, "secretsmanager:GetSecretValue")["Resource"];
        assert_eq!(secrets[1], "arn:aws-us-gov:secretsmanager:us-gov-east-1:111122223333:secret:*");
        let via = &allows(&document, "kms:Decrypt")["Condition"]["StringLike"]["kms:ViaService"];
        assert_eq!(via[0], "secretsmanager.us-gov-west-1.amazonaws.com");
        let verify = &allows(&document, "iam:SimulatePrincipalPolicy")["Resource"];
        assert_eq!(verify[0], "arn:aws-us-gov:iam::111122223333:role/*");
    }
}
