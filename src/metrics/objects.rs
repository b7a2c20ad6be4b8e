//! What is read from the stores at a scrape. Pure: one pass over the objects, and nothing remembered of them.

use super::PREFIX;
use crate::{
    api::{
        AwsAccount,
        conditions::{CREDENTIALS_VALID, DISCOVERED, READY, is_true},
        names::{AccountId, Region},
    },
    kube::{
        key::Key,
        store::{Gist, Kept as _},
    },
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{collections::BTreeMap, sync::Arc};

/// The states of an object; the first that fits counts.
const STATES: [&str; 6] = ["disabled", "observed", "expired", "stalled", "ready", "pending"];
/// Certificates that end within so many hours are counted.
const WITHIN: [(&str, i64); 4] = [("24h", 24), ("168h", 168), ("336h", 336), ("720h", 720)];
/// Reasons that are told apart for one kind. This program has fewer; a status may be written by others, too.
const MOST_REASONS: usize = 60;
/// Stands for all further reasons.
const OTHER: &str = "Other";

/// What to look at.
pub struct View<'a> {
    /// All accounts.
    pub accounts: &'a [Arc<AwsAccount>],
    /// The Certificates that are served.
    pub certificates: &'a [(Key, Gist)],
    /// The requests that are served.
    pub requests: &'a [(Key, Gist)],
    /// How many imported certificates ACM had in each place, by its last list.
    pub imported: &'a [(AccountId, Region, usize)],
    /// Name, budget and what counts of it now, of the AwsAccounts that have one.
    pub budgets: &'a [(String, i32, i64)],
    /// Whether each Certificate has series of its own.
    pub per_certificate: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    kind: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StalledBy {
    kind: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Within {
    within: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAccount {
    account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountInfo {
    account: String,
    account_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    account_id: String,
    region: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Discovered {
    account: String,
    region: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCertificate {
    namespace: String,
    name: String,
}

#[derive(Default)]
struct Gauges {
    objects: Family<InState, Gauge>,
    stalled: Family<StalledBy, Gauge>,
    expiring: Family<Within, Gauge>,
    unmanaged: Family<Within, Gauge>,
    overdue: Family<Phase, Gauge>,
    next: Option<Gauge>,
    ready_accounts: Family<OfAccount, Gauge>,
    credentials: Family<OfAccount, Gauge>,
    accounts: Family<AccountInfo, Gauge>,
    imported: Family<Place, Gauge>,
    discovered: Family<Discovered, Gauge>,
    discoveries: Family<OfAccount, Gauge>,
    complete: Family<OfAccount, Gauge>,
    budgets: Family<OfAccount, Gauge>,
    spent: Family<OfAccount, Gauge>,
    ends: Family<OfCertificate, Gauge>,
    renews: Family<OfCertificate, Gauge>,
    ready: Family<OfCertificate, Gauge>,
}

/// The gauges of these objects.
#[must_use]
pub fn registry(view: &View<'_>, now: Timestamp) -> Registry {
    let mut gauges = Gauges::default();
    gauges.begin_at_zero();
    for (key, certificate) in view.certificates {
        gauges.certificate(key, certificate, view.per_certificate, now);
    }
    gauges.next_end(view.certificates, now);
    for (_, request) in view.requests {
        gauges.object("CertificateRequest", state(request, false));
    }
    for account in view.accounts {
        gauges.account(account);
    }
    gauges.stalled(view);
    for (account, region, count) in view.imported {
        let place = Place { account_id: account.to_string(), region: region.to_string() };
        gauges.imported.get_or_create(&place).set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    for (account, budget, spent) in view.budgets {
        let labels = OfAccount { account: account.clone() };
        gauges.budgets.get_or_create(&labels).set(i64::from(*budget));
        gauges.spent.get_or_create(&labels).set(*spent);
    }
    gauges.register(view.per_certificate)
}

impl Gauges {
    fn begin_at_zero(&self) {
        for kind in ["AwsAccount", "Certificate", "CertificateRequest"] {
            for state in STATES {
                drop(self.objects.get_or_create(&InState { kind, state }));
            }
        }
        for (within, _) in WITHIN {
            drop(self.expiring.get_or_create(&Within { within }));
            drop(self.unmanaged.get_or_create(&Within { within }));
        }
        for phase in ["early", "late"] {
            drop(self.overdue.get_or_create(&Phase { phase }));
        }
    }

    fn object(&self, kind: &'static str, state: &'static str) {
        self.objects.get_or_create(&InState { kind, state }).inc();
    }

    fn certificate(&self, key: &Key, certificate: &Gist, apart: bool, now: Timestamp) {
        let enabled = certificate.enabled && !certificate.is_observed();
        let (ends, renews) = (time(certificate.ends), time(certificate.renews));
        self.object("Certificate", state(certificate, ends.is_some_and(|ends| ends <= now)));
        // What ACM calls revoked, failed or gone is told, and needs nobody's hurry.
        let watched = certificate.enabled && certificate.is_observed() && certificate.ready;
        let family = if watched { &self.unmanaged } else { &self.expiring };
        if let Some(ends) = ends.filter(|ends| (enabled || watched) && *ends > now) {
            for (within, hours) in WITHIN {
                if ends.duration_since(now) <= SignedDuration::from_hours(hours) {
                    family.get_or_create(&Within { within }).inc();
                }
            }
        }
        if let Some(phase) = ends.zip(renews).filter(|_| enabled).and_then(|(ends, renews)| overdue(renews, ends, now))
        {
            self.overdue.get_or_create(&Phase { phase }).inc();
        }
        if apart {
            let namespace = key.namespace().unwrap_or_default().to_owned();
            let labels = OfCertificate { namespace, name: key.name().to_owned() };
            self.ready.get_or_create(&labels).set(certificate.ready.into());
            for (family, at) in [(&self.ends, ends), (&self.renews, renews)] {
                if let Some(at) = at {
                    family.get_or_create(&labels).set(at.as_second());
                }
            }
        }
    }

    /// The next end of an enabled Certificate; none, if none is to come.
    fn next_end(&mut self, certificates: &[(Key, Gist)], now: Timestamp) {
        let end = |(_, c): &(Key, Gist)| time(c.ends).filter(|_| c.enabled && !c.is_observed());
        if let Some(next) = certificates.iter().filter_map(end).filter(|end| *end > now).min() {
            self.next.get_or_insert_default().set(next.as_second());
        }
    }

    fn account(&self, account: &AwsAccount) {
        let conditions = account.status.as_ref().map_or(&[][..], |s| &s.conditions);
        self.object("AwsAccount", state(&account.gist(), false));
        let labels = OfAccount { account: account.name_any() };
        if let Some(id) = account.status.as_ref().and_then(|s| s.account_id.as_deref()) {
            let info = AccountInfo { account: labels.account.clone(), account_id: id.chars().take(12).collect() };
            self.accounts.get_or_create(&info).set(1);
        }
        if let Some(discovery) = account.status.as_ref().and_then(|s| s.discovery.as_ref()) {
            for region in &discovery.regions {
                let counts = [
                    ("found", region.found),
                    ("managed", region.managed),
                    ("expiring30d", region.expiring_30d),
                    ("expired", region.expired),
                ];
                for (state, count) in counts {
                    let account = labels.account.clone();
                    let of = Discovered { account, region: region.region.to_string(), state };
                    self.discovered.get_or_create(&of).set(count);
                }
            }
            if let Some(last) = &discovery.last_run {
                self.discoveries.get_or_create(&labels).set(last.0.as_second());
            }
        }
        if account.spec.enabled {
            // Not known before a run came to its end.
            if let Some(told) = conditions.iter().find(|c| c.type_ == DISCOVERED && c.status != "Unknown")
                && account.spec.discovery.is_some()
            {
                self.complete.get_or_create(&labels).set((told.status == "True").into());
            }
            self.ready_accounts.get_or_create(&labels).set(is_true(conditions, READY).into());
            // Not known before it was tried.
            if let Some(valid) = conditions.iter().find(|c| c.type_ == CREDENTIALS_VALID) {
                self.credentials.get_or_create(&labels).set((valid.status == "True").into());
            }
        }
    }

    /// How many objects are stalled, by reason, whatever else they are.
    fn stalled(&self, view: &View<'_>) {
        let gists: Vec<Gist> = view.accounts.iter().map(|account| account.gist()).collect();
        let accounts = gists.iter().map(|account| ("AwsAccount", account));
        let certificates = view.certificates.iter().map(|(_, certificate)| ("Certificate", certificate));
        let requests = view.requests.iter().map(|(_, request)| ("CertificateRequest", request));
        let mut counts: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (kind, object) in accounts.chain(certificates).chain(requests) {
            if let Some(why) = object.stalled.as_deref() {
                let full = counts.keys().filter(|(other, _)| *other == kind).count() >= MOST_REASONS;
                let reason = if full && !counts.contains_key(&(kind, why)) { OTHER } else { why };
                *counts.entry((kind, reason)).or_default() += 1;
            }
        }
        for ((kind, reason), count) in counts {
            let labels = StalledBy { kind: kind.to_owned(), reason: reason.chars().take(64).collect() };
            self.stalled.get_or_create(&labels).set(count);
        }
    }

    fn register(self, per_certificate: bool) -> Registry {
        let mut r = Registry::with_prefix(PREFIX);
        r.register("objects", "Objects by their state, the first of these that fits: disabled (spec.enabled is false), observed (spec.management is Observe), expired, stalled (waits for a person), ready, pending", self.objects);
        r.register("stalled_objects", "Objects with the condition Stalled, by its reason", self.stalled);
        r.register(
            "certificates_expiring",
            "Enabled Certificates that end within so long, and have not yet; those that are only watched are not counted",
            self.expiring,
        );
        r.register(
            "watched_certificates_expiring",
            "Certificates that are only watched (spec.management is Observe), that end within so long, and have not yet: no Certificate of this cluster renews them",
            self.unmanaged,
        );
        r.register("certificates_overdue", "Enabled Certificates whose time to be renewed has come: phase is early, or late from the middle between that time and their end on", self.overdue);
        if let Some(next) = self.next {
            r.register(
                "next_expiration_timestamp_seconds",
                "When the next enabled Certificate ends, in seconds since 1970",
                next,
            );
        }
        r.register("account_ready", "Whether an enabled AwsAccount is Ready: 1 or 0", self.ready_accounts);
        r.register(
            "account_credentials_valid",
            "Whether AWS takes the credentials of an enabled AwsAccount: 1 or 0; absent until they were tried",
            self.credentials,
        );
        r.register("account_info", "1, with the account id behind an AwsAccount", self.accounts);
        r.register(
            "acm_certificates",
            "Imported certificates in ACM, everybody's, as the last list of the region showed them; AWS allows 2,500",
            self.imported,
        );
        r.register("discovered_certificates", "Certificates in ACM, everybody's, as the last discovery of an AwsAccount found them. state is found (all), managed (a Certificate of this cluster keeps it alive), expiring30d (ends within 30 days) or expired", self.discovered);
        r.register(
            "discovery_last_run_timestamp_seconds",
            "When the last discovery of an AwsAccount began that came to its end, in seconds since 1970",
            self.discoveries,
        );
        r.register(
            "discovery_complete",
            "Whether the last discovery of an enabled AwsAccount showed everything: 1 or 0, and its condition Discovered says why not; absent until a run came to its end",
            self.complete,
        );
        r.register(
            "account_budget_issues",
            "Certificates that may be asked for in a day through an AwsAccount with a budget",
            self.budgets,
        );
        r.register(
            "account_budget_spent_issues",
            "Certificates that were asked for within a day through an AwsAccount with a budget",
            self.spent,
        );
        if per_certificate {
            r.register(
                "certificate_expiration_timestamp_seconds",
                "When a Certificate ends, in seconds since 1970. Only with --metrics-per-certificate",
                self.ends,
            );
            r.register(
                "certificate_renewal_timestamp_seconds",
                "When a Certificate is to be renewed, in seconds since 1970. Only with --metrics-per-certificate",
                self.renews,
            );
            r.register(
                "certificate_ready",
                "Whether a Certificate is Ready: 1 or 0. Only with --metrics-per-certificate",
                self.ready,
            );
        }
        r
    }
}

fn time(seconds: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_second(seconds?).ok()
}

fn state(object: &Gist, ended: bool) -> &'static str {
    if !object.enabled {
        "disabled"
    } else if object.is_observed() {
        "observed"
    } else if ended {
        "expired"
    } else if object.stalled.is_some() {
        "stalled"
    } else if object.ready {
        "ready"
    } else {
        "pending"
    }
}

/// How late a renewal is; none: it is not. What has ended is as late as can be.
fn overdue(renews: Timestamp, ends: Timestamp, now: Timestamp) -> Option<&'static str> {
    let late = now.duration_since(renews) * 2 >= ends.duration_since(renews);
    (now > renews).then_some(if late { "late" } else { "early" })
}
