//! What an account is used for, from what names it.

use crate::{
    api::{
        AwsAccount, Certificate, CertificateRequest,
        certificate::{DeletionPolicy, Origin},
        conditions::{READY, is_true},
        names::{AuthorityArn, CertificateArn, Located, Region, RoleArn},
        shared::AuthorityRef,
    },
    aws::{
        permissions::{On, PERMISSIONS, Permission, Use},
        port::{Authority, AuthorityState, Organization},
    },
    core::organization::inactive,
};
use std::collections::{BTreeMap, BTreeSet};

/// CAs of a region, and members of an organization, that are asked about.
const MOST: usize = 3;

/// What an account is used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The uses, and in which regions.
    pub uses: BTreeMap<Use, BTreeSet<Region>>,
    /// The CAs that sign.
    pub authorities: BTreeSet<AuthorityArn>,
    /// A certificate of ours in a region's ACM, if there is one.
    pub certificates: BTreeMap<Region, CertificateArn>,
    /// Roles of some members of its organization.
    pub member_roles: Vec<RoleArn>,
    /// Nothing uses it yet: what it could be used for is looked at.
    pub guessed: bool,
}

impl Needs {
    /// The actions, each with a region that it is needed in; not those that are optional.
    pub fn actions(&self) -> impl Iterator<Item = (&'static Permission, &Region)> {
        let has = |on: On| on != On::MemberRole || !self.member_roles.is_empty();
        let needed = PERMISSIONS.iter().filter(move |permission| !permission.optional && has(permission.on));
        needed.flat_map(|p| self.uses.get(&p.used).into_iter().flatten().map(move |region| (p, region)))
    }

    /// The CAs of a region.
    pub fn authorities_in(&self, region: &Region) -> impl Iterator<Item = &AuthorityArn> {
        self.authorities.iter().filter(|arn| arn.region() == region.as_str()).take(MOST)
    }

    fn add(&mut self, used: Use, region: &Region) {
        self.uses.entry(used).or_default().insert(region.clone());
    }
}

/// CAs by region, as an account's list told them.
pub type Listed<E> = BTreeMap<Region, Result<Vec<Authority>, E>>;

/// Gathers the needs of an account from what names it: one object after the other, since there may be many.
pub struct Gathering<'a, E> {
    needs: Needs,
    account: &'a AwsAccount,
    name: &'a str,
    listed: &'a Listed<E>,
}

impl<'a, E> Gathering<'a, E> {
    /// Of the account of this name.
    #[must_use]
    pub fn new(account: &'a AwsAccount, name: &'a str, listed: &'a Listed<E>) -> Self {
        let mut needs = Needs::default();
        let organization = account.spec.organization.as_ref();
        // Otherwise it is another account's role that reads the organization, and enters the members.
        if organization.is_some_and(|organization| organization.management_role_arn.is_none()) {
            let partition = account.spec.regions.first().map_or("aws", Region::partition);
            if let Ok(home) = Organization::home(partition).parse() {
                needs.add(Use::Organization, &home);
            }
        }
        let mut gathering = Self { needs, account, name, listed };
        gathering.discovers();
        gathering
    }

    /// Discovery looks into every region.
    fn discovers(&mut self) {
        if self.account.spec.discovery.is_some() {
            for region in &self.account.spec.regions {
                self.needs.add(Use::Discover, region);
            }
        }
    }

    fn issues(&mut self, region: &Region, which: &AuthorityRef) {
        if !self.account.spec.regions.contains(region) {
            return;
        }
        self.needs.add(Use::Issue, region);
        self.authority(region, which);
    }

    /// ACM issues and renews a Certificate's certificate.
    fn manages(&mut self, certificate: &Certificate, which: &AuthorityRef) {
        let spec = &certificate.spec;
        if !self.account.spec.regions.contains(&spec.region) {
            return;
        }
        self.authority(&spec.region, which);
        self.needs.add(Use::Managed, &spec.region);
        if !spec.secret.name.is_empty() {
            self.needs.add(Use::Export, &spec.region);
        }
    }

    fn authority(&mut self, region: &Region, which: &AuthorityRef) {
        let of_region = self.listed.get(region).and_then(|list| list.as_ref().ok()).into_iter().flatten();
        let named = |ca: &&Authority| which.name.is_some() && ca.common_name == which.name;
        let by_name = of_region.filter(named).map(|ca| ca.arn.clone());
        self.needs.authorities.extend(which.arn.clone().into_iter().chain(by_name));
    }

    /// A Certificate that may use it.
    pub fn certificate(&mut self, certificate: &Certificate) {
        let spec = &certificate.spec;
        if !spec.enabled {
            return;
        }
        if spec.account_ref.name == self.name && !spec.is_observed() {
            match spec.source.origin() {
                Some(Origin::PrivateCa(source)) => self.issues(&spec.region, &source.certificate_authority),
                Some(Origin::AcmManaged(source)) => self.manages(certificate, &source.certificate_authority),
                None => {}
            }
        }
        for target in &spec.acm {
            let place = target.account_ref.as_ref().unwrap_or(&spec.account_ref);
            let region = target.region.as_ref().unwrap_or(&spec.region);
            if place.name != self.name || !self.account.spec.regions.contains(region) {
                continue;
            }
            if spec.is_observed() {
                self.needs.add(Use::Discover, region);
                let arn = target.certificate_arn.clone().filter(|arn| arn.region() == region.as_str());
                if let Some(arn) = arn {
                    self.needs.certificates.entry(region.clone()).or_insert(arn);
                }
                continue;
            }
            if spec.source.acm_managed.is_none() {
                self.needs.add(Use::Import, region);
            }
            if target.deletion_policy == DeletionPolicy::Delete {
                self.needs.add(Use::Delete, region);
            }
            let stored = certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target.name);
            if let Some(arn) = stored.and_then(|t| t.arn.clone()).filter(|arn| arn.region() == region.as_str()) {
                self.needs.certificates.entry(region.clone()).or_insert(arn);
            }
        }
    }

    /// A request that may use it.
    pub fn request(&mut self, request: &CertificateRequest) {
        let spec = &request.spec;
        let signed = request.status.as_ref().is_some_and(|s| is_true(&s.conditions, READY));
        if spec.account_ref.name == self.name && !signed {
            self.issues(&spec.region, &spec.certificate_authority);
        }
    }

    /// A member of its organization.
    pub fn member(&mut self, member: &AwsAccount) {
        let roles = &mut self.needs.member_roles;
        if roles.len() < MOST && inactive(member).is_none() {
            roles.extend(member.spec.assume_roles.last().map(|role| role.role_arn.clone()));
        }
    }

    /// What it is used for. If nothing uses it: what it could be used for.
    #[must_use]
    pub fn done(self) -> Needs {
        let Self { mut needs, account, listed, .. } = self;
        if needs.uses.is_empty() {
            needs.guessed = true;
            for region in &account.spec.regions {
                needs.add(Use::Import, region);
                let list = listed.get(region).and_then(|list| list.as_ref().ok()).into_iter().flatten();
                for authority in list.filter(|ca| ca.state == AuthorityState::Active) {
                    needs.add(Use::Issue, region);
                    needs.authorities.insert(authority.arn.clone());
                }
            }
        }
        needs
    }
}
