//! How many requests a second AWS takes, in an account and region.
//!
//! Rates: ACM user guide, "Quotas", API rate quotas; Service Quotas, AWS Private Certificate Authority. STS publishes
//! none, so its calls are not paced: they are few, one when a session is opened and one an hour for each role.

use std::collections::BTreeMap;

/// An operation that has a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is AWS's own name, see `action`")]
pub enum Operation {
    ImportCertificate,
    ListCertificates,
    DescribeCertificate,
    GetAcmCertificate,
    ListTagsForCertificate,
    AddTagsToCertificate,
    RemoveTagsFromCertificate,
    DeleteCertificate,
    IssueCertificate,
    GetIssuedCertificate,
    DescribeCertificateAuthority,
    ListCertificateAuthorities,
    GetCertificateAuthorityCertificate,
    ListAccounts,
    RequestCertificate,
    RenewCertificate,
    ExportCertificate,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::ImportCertificate,
        Self::ListCertificates,
        Self::DescribeCertificate,
        Self::GetAcmCertificate,
        Self::ListTagsForCertificate,
        Self::AddTagsToCertificate,
        Self::RemoveTagsFromCertificate,
        Self::DeleteCertificate,
        Self::IssueCertificate,
        Self::GetIssuedCertificate,
        Self::DescribeCertificateAuthority,
        Self::ListCertificateAuthorities,
        Self::GetCertificateAuthorityCertificate,
        Self::ListAccounts,
        Self::RequestCertificate,
        Self::RenewCertificate,
        Self::ExportCertificate,
    ];

    /// The IAM action, such as `acm:ImportCertificate`.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::ImportCertificate => "acm:ImportCertificate",
            Self::ListCertificates => "acm:ListCertificates",
            Self::DescribeCertificate => "acm:DescribeCertificate",
            Self::GetAcmCertificate => "acm:GetCertificate",
            Self::ListTagsForCertificate => "acm:ListTagsForCertificate",
            Self::AddTagsToCertificate => "acm:AddTagsToCertificate",
            Self::RemoveTagsFromCertificate => "acm:RemoveTagsFromCertificate",
            Self::DeleteCertificate => "acm:DeleteCertificate",
            Self::IssueCertificate => "acm-pca:IssueCertificate",
            Self::GetIssuedCertificate => "acm-pca:GetCertificate",
            Self::DescribeCertificateAuthority => "acm-pca:DescribeCertificateAuthority",
            Self::ListCertificateAuthorities => "acm-pca:ListCertificateAuthorities",
            Self::GetCertificateAuthorityCertificate => "acm-pca:GetCertificateAuthorityCertificate",
            Self::ListAccounts => "organizations:ListAccounts",
            Self::RequestCertificate => "acm:RequestCertificate",
            Self::RenewCertificate => "acm:RenewCertificate",
            Self::ExportCertificate => "acm:ExportCertificate",
        }
    }

    /// The name of its quota in an AwsAccount.
    #[must_use]
    pub fn quota_name(self) -> &'static str {
        match self {
            Self::GetAcmCertificate | Self::GetIssuedCertificate => self.action(),
            _ => self.action().split_once(':').map_or("", |(_, name)| name),
        }
    }

    /// Requests a second, if AWS granted no others.
    #[must_use]
    pub fn published(self) -> u32 {
        match self {
            Self::ImportCertificate | Self::ListCertificates => 1,
            // Organizations publishes no rate; it is the pace of all reads of an organization.
            Self::AddTagsToCertificate
            | Self::RemoveTagsFromCertificate
            | Self::ListAccounts
            | Self::RequestCertificate
            | Self::RenewCertificate
            | Self::ExportCertificate => 5,
            Self::DescribeCertificate
            | Self::GetAcmCertificate
            | Self::ListTagsForCertificate
            | Self::DeleteCertificate => 10,
            Self::DescribeCertificateAuthority
            | Self::ListCertificateAuthorities
            | Self::GetCertificateAuthorityCertificate => 20,
            Self::IssueCertificate => 25,
            Self::GetIssuedCertificate => 75,
        }
    }
}

/// The quotas of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas(BTreeMap<String, i32>);

impl Quotas {
    /// AWS's published ones, but for these, by the names of [`Operation::quota_name`].
    #[must_use]
    pub fn granted(overrides: &BTreeMap<String, i32>) -> Self {
        Self(overrides.clone())
    }

    /// Requests a second, at least one.
    #[must_use]
    pub fn of(&self, operation: Operation) -> u32 {
        let granted = self.0.get(operation.quota_name()).and_then(|rate| u32::try_from(*rate).ok());
        granted.unwrap_or_else(|| operation.published()).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::account::QUOTAS;

    #[test]
    fn every_operation_has_a_name_in_the_api_and_can_be_overridden_by_it() {
        let names: Vec<&str> = Operation::ALL.into_iter().map(Operation::quota_name).collect();
        assert_eq!(names, QUOTAS);
        for operation in Operation::ALL {
            let quotas = Quotas::granted(&BTreeMap::from([(operation.quota_name().to_owned(), 7)]));
            for other in Operation::ALL {
                assert_eq!(quotas.of(other), if other == operation { 7 } else { other.published() });
            }
        }
        assert_eq!(
            Quotas::granted(&BTreeMap::from([("ImportCertificate".to_owned(), -1)])).of(Operation::ImportCertificate),
            1
        );
    }
}
