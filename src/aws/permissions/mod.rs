//! The IAM actions that are used, each with what it is for: the one source of the policy that `arnkeeper iam-policy`
//! prints, of the README's table, and of what an account's condition says is missing.
//!
//! Which actions take which resources: Service Authorization Reference, "Actions, resources, and condition keys".

pub mod learned;
pub mod policy;
pub mod verify;

use clap::ValueEnum;
use std::{collections::BTreeSet, fmt::Write as _};

/// What an account is used for. The names stand on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Use {
    /// Certificates are signed by its private CAs.
    Issue,
    /// Certificates are delivered to its ACM.
    Import,
    /// Certificates are deleted from its ACM (`deletionPolicy: Delete`, and a second one that a failed import left).
    Delete,
    /// Its ACM issues certificates from private CAs and renews them (`source.acmManaged`).
    Managed,
    /// What its ACM issued is exported into Secrets, with its key.
    Export,
    /// The certificates in its ACM are found and watched.
    Discover,
    /// Roles are assumed: needed by the identity before the role.
    Assume,
    /// An organization is read, and its members are entered: needed by the identity in the management account.
    Organization,
    /// Access keys are read from AWS Secrets Manager: needed by the operator's own identity.
    Secrets,
    /// What is missing is told before it is needed.
    Verify,
}

impl Use {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Import => "import",
            Self::Delete => "delete",
            Self::Managed => "managed",
            Self::Export => "export",
            Self::Discover => "discover",
            Self::Assume => "assume",
            Self::Organization => "organization",
            Self::Secrets => "secrets",
            Self::Verify => "verify",
        }
    }

    /// The use, for people who read the table.
    fn title(self) -> &'static str {
        match self {
            Self::Issue => "Issuing from a private CA",
            Self::Import => "Delivery to ACM",
            Self::Delete => "Deleting from ACM",
            Self::Managed => "Certificates that ACM issues and renews (`source.acmManaged`)",
            Self::Export => "The keys of those, in Secrets",
            Self::Discover => "Discovery of what is in ACM, and certificates that are only watched",
            Self::Assume => "Other accounts, for the identity before the role",
            Self::Organization => "An organization and its members, for the identity in the management account",
            Self::Secrets => "Access keys in AWS Secrets Manager, for the operator's own identity",
            Self::Verify => "Telling what is missing (`PermissionsVerified`)",
        }
    }
}

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum On {
    /// Nothing that a policy could name: `*`.
    All,
    /// A private CA.
    Authority,
    /// A certificate in ACM.
    Certificate,
    /// A role that is assumed.
    Role,
    /// The common role of the members of an organization.
    MemberRole,
    /// A secret of AWS Secrets Manager.
    StoredSecret,
    /// A customer's own key in KMS.
    Key,
    /// The account's own role or user.
    Identity,
}

/// One IAM action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Its name, such as `acm:ImportCertificate`.
    pub action: &'static str,
    /// What it is done to.
    pub on: On,
    /// What it is for.
    pub used: Use,
    /// Without it, the use still works in part: it is not told as missing.
    pub optional: bool,
    /// What it is called for.
    pub why: &'static str,
}

const fn needed(used: Use, on: On, action: &'static str, why: &'static str) -> Permission {
    Permission { action, on, used, optional: false, why }
}

const fn helpful(used: Use, on: On, action: &'static str, why: &'static str) -> Permission {
    Permission { action, on, used, optional: true, why }
}

/// Every action that is called, but for `sts:GetCallerIdentity`, which needs no permission.
pub const PERMISSIONS: [Permission; 42] = [
    helpful(
        Use::Issue,
        On::All,
        "acm-pca:ListCertificateAuthorities",
        "finding CAs by name, and listing them in the account's status",
    ),
    needed(Use::Issue, On::Authority, "acm-pca:DescribeCertificateAuthority", "state, key and end of the CA"),
    needed(
        Use::Issue,
        On::Authority,
        "acm-pca:GetCertificateAuthorityCertificate",
        "the CA's own certificate, to check the chain",
    ),
    needed(Use::Issue, On::Authority, "acm-pca:IssueCertificate", "the signature; end-entity templates only"),
    needed(Use::Issue, On::Authority, "acm-pca:GetCertificate", "what was signed"),
    needed(Use::Import, On::All, "acm:ListCertificates", "finding what is ours, before an import without an ARN"),
    needed(Use::Import, On::Certificate, "acm:DescribeCertificate", "what ACM has: pre-flight, reading back, drift"),
    needed(Use::Import, On::Certificate, "acm:GetCertificate", "comparing the certificate that ACM has with ours"),
    needed(Use::Import, On::Certificate, "acm:ListTagsForCertificate", "whose it is, before anything is written"),
    needed(Use::Import, On::Certificate, "acm:ImportCertificate", "the import, and each renewal under its ARN"),
    needed(Use::Import, On::Certificate, "acm:AddTagsToCertificate", "tags of a new import, and changed ones"),
    needed(Use::Import, On::Certificate, "acm:RemoveTagsFromCertificate", "tags that the spec does not name any more"),
    needed(
        Use::Delete,
        On::Certificate,
        "acm:DeleteCertificate",
        "`deletionPolicy: Delete`, and a second certificate that a failed import left behind",
    ),
    helpful(Use::Managed, On::All, "acm-pca:ListCertificateAuthorities", "finding CAs by name"),
    needed(Use::Managed, On::Authority, "acm-pca:DescribeCertificateAuthority", "state, key and end of the CA"),
    needed(Use::Managed, On::Authority, "acm-pca:GetCertificateAuthorityCertificate", "the CA's own certificate"),
    needed(Use::Managed, On::Authority, "acm-pca:IssueCertificate", "ACM asks the CA for the signature in our name"),
    needed(Use::Managed, On::Authority, "acm-pca:GetCertificate", "ACM fetches in our name what was signed"),
    needed(Use::Managed, On::All, "acm:ListCertificates", "finding what is ours, before ACM is asked for a new one"),
    needed(Use::Managed, On::All, "acm:RequestCertificate", "the certificate, once"),
    needed(Use::Managed, On::Certificate, "acm:DescribeCertificate", "whether it is issued, and renewed"),
    helpful(Use::Managed, On::Certificate, "acm:GetCertificate", "its serial number, where ACM tells it nowhere else"),
    needed(Use::Managed, On::Certificate, "acm:ListTagsForCertificate", "whose it is, before anything is done to it"),
    needed(Use::Managed, On::Certificate, "acm:AddTagsToCertificate", "its tags"),
    needed(Use::Managed, On::Certificate, "acm:RemoveTagsFromCertificate", "tags that the spec does not name any more"),
    needed(Use::Managed, On::Certificate, "acm:RenewCertificate", "a renewal that a person asks for"),
    needed(
        Use::Managed,
        On::Certificate,
        "acm:DeleteCertificate",
        "a request that came to nothing, before the next one; `deletionPolicy: Delete`",
    ),
    needed(Use::Export, On::Certificate, "acm:ExportCertificate", "certificate, chain and key for `spec.secret`"),
    needed(Use::Discover, On::All, "acm:ListCertificates", "all certificates of a region, once a discovery"),
    needed(Use::Discover, On::Certificate, "acm:DescribeCertificate", "a new certificate, and one that changed"),
    needed(
        Use::Discover,
        On::Certificate,
        "acm:ListTagsForCertificate",
        "whose a new one is, and rules that ask for tags",
    ),
    needed(Use::Assume, On::Role, "sts:AssumeRole", "`assumeRoles`"),
    helpful(Use::Assume, On::Role, "sts:TagSession", "with EKS Pod Identity, whose session tags go along"),
    needed(Use::Organization, On::All, "organizations:DescribeOrganization", "its id, and its management account"),
    needed(Use::Organization, On::All, "organizations:ListAccounts", "the members and their states"),
    needed(Use::Organization, On::All, "organizations:ListRoots", "where the hierarchy begins"),
    needed(Use::Organization, On::All, "organizations:ListAccountsForParent", "which unit a member lies in"),
    needed(Use::Organization, On::All, "organizations:ListOrganizationalUnitsForParent", "the units"),
    needed(Use::Organization, On::MemberRole, "sts:AssumeRole", "entering the members"),
    needed(Use::Secrets, On::StoredSecret, "secretsmanager:GetSecretValue", "`credentials.secretsManager`"),
    helpful(Use::Secrets, On::Key, "kms:Decrypt", "if the secret is encrypted with a key of your own"),
    helpful(
        Use::Verify,
        On::Identity,
        "iam:SimulatePrincipalPolicy",
        "asking IAM, instead of learning from calls that are denied",
    ),
];

/// The entry of an action.
#[must_use]
pub fn of(action: &str) -> Option<&'static Permission> {
    PERMISSIONS.iter().find(|permission| permission.action == action)
}

/// The command that prints the policy for these uses.
#[must_use]
pub fn command(uses: &BTreeSet<Use>) -> String {
    let names: Vec<&str> = uses.iter().map(|used| used.name()).collect();
    format!("arnkeeper iam-policy --for {}", names.join(","))
}

/// The table of the README, in Markdown.
#[must_use]
pub fn table() -> String {
    let mut out = "| `--for` | What for | Action | On | Why |\n|---|---|---|---|---|\n".to_owned();
    let mut last = None;
    for Permission { action, on, used, optional, why } in &PERMISSIONS {
        let (name, title) =
            if last == Some(*used) { (String::new(), "") } else { (format!("`{}`", used.name()), used.title()) };
        last = Some(*used);
        let on = match on {
            On::All => "`*`",
            On::Authority => "the CA",
            On::Certificate => "certificates in ACM",
            On::Role => "the role",
            On::MemberRole => "the common role of the members",
            On::StoredSecret => "the secret",
            On::Key => "the key",
            On::Identity => "the account's role or user",
        };
        let optional = if *optional { " (optional)" } else { "" };
        // Writing into a String can't fail.
        let _ = writeln!(out, "| {name} | {title} | `{action}`{optional} | {on} | {why} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{policy::Scope, *};
    use crate::aws::{adapter::organization, paced::quotas::Operation, secrets_manager};

    const README: &str = include_str!("../../../README.md");

    /// What stands between two markers of the README.
    fn section(name: &str) -> &'static str {
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
        let rest = README.split_once(&*begin).unwrap_or_else(|| panic!("README has no {begin}")).1;
        rest.split_once(&*end).unwrap_or_else(|| panic!("README has no {end}")).0
    }

    #[test]
    fn the_table_of_the_readme_is_this_one() {
        assert_eq!(section("permissions").trim(), table().trim(), "README: arnkeeper iam-policy --table");
    }

    #[test]
    fn the_policies_of_the_readme_are_these() {
        let account = Some("111122223333".parse().unwrap());
        let scope = Scope { account, ..Scope::default() };
        let secrets = Scope {
            regions: vec!["eu-west-1".parse().unwrap()],
            secrets: vec!["arn:aws:secretsmanager:eu-west-1:111122223333:secret:aws/shared-??????".into()],
            ..scope.clone()
        };
        for (name, uses, scope) in [
            ("policy", &[Use::Issue, Use::Import, Use::Delete][..], &scope),
            ("organization policy", &[Use::Organization], &Scope::default()),
            ("secrets policy", &[Use::Secrets], &secrets),
        ] {
            let policy = policy::text(&uses.iter().copied().collect(), scope).unwrap();
            // In a list, it is indented.
            let told: Vec<&str> = section(name).trim().lines().map(str::trim).collect();
            let printed = format!("```json\n{policy}\n```");
            let printed: Vec<&str> = printed.lines().map(str::trim).collect();
            assert_eq!(told, printed, "README: arnkeeper iam-policy, {name}");
        }
    }

    #[test]
    fn every_operation_that_is_called_stands_in_the_table_once() {
        for operation in Operation::ALL {
            assert!(of(operation.action()).is_some(), "{}", operation.action());
        }
        let actions: BTreeSet<(&str, Use)> = PERMISSIONS.iter().map(|p| (p.action, p.used)).collect();
        assert_eq!(actions.len(), PERMISSIONS.len());
        for other in [organization::ACTIONS.as_slice(), &secrets_manager::ACTIONS].concat() {
            assert!(of(other).is_some(), "{other}");
        }
        for used in Use::value_variants() {
            assert!(PERMISSIONS.iter().any(|p| p.used == *used), "{used:?}");
            assert_eq!(used.to_possible_value().unwrap().get_name(), used.name());
        }
    }
}
