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
    /// Roles are assumed: needed by the identity before the role.
    Assume,
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
            Self::Assume => "assume",
            Self::Verify => "verify",
        }
    }

    /// The use, for people who read the table.
    fn title(self) -> &'static str {
        match self {
            Self::Issue => "Issuing from a private CA",
            Self::Import => "Delivery to ACM",
            Self::Delete => "Deleting from ACM",
            Self::Assume => "Other accounts, for the identity before the role",
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
pub const PERMISSIONS: [Permission; 16] = [
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
    needed(Use::Assume, On::Role, "sts:AssumeRole", "`assumeRoles`"),
    helpful(Use::Assume, On::Role, "sts:TagSession", "with EKS Pod Identity, whose session tags go along"),
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
    use crate::aws::paced::quotas::Operation;

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
    fn the_policy_of_the_readme_is_this_one() {
        let uses = BTreeSet::from([Use::Issue, Use::Import, Use::Delete]);
        let scope = Scope { account: Some("111122223333".parse().unwrap()), ..Scope::default() };
        let printed = format!("```json\n{}\n```", policy::text(&uses, &scope).unwrap());
        assert_eq!(section("policy").trim(), printed.trim(), "README: arnkeeper iam-policy");
    }

    #[test]
    fn every_operation_that_is_called_stands_in_the_table_once() {
        for operation in Operation::ALL {
            assert!(of(operation.action()).is_some(), "{}", operation.action());
        }
        let actions: BTreeSet<&str> = PERMISSIONS.iter().map(|p| p.action).collect();
        assert_eq!(actions.len(), PERMISSIONS.len());
        for used in Use::value_variants() {
            assert!(PERMISSIONS.iter().any(|p| p.used == *used), "{used:?}");
            assert_eq!(used.to_possible_value().unwrap().get_name(), used.name());
        }
    }
}
