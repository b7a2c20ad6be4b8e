//! What ACM has, per account and region, read seldom and shared by all Certificates.
//!
//! ACM can't be asked for a certificate by name or tag, and an import has no idempotency token. So before anything is
//! imported under a new ARN, one looks at a list of all certificates whether one of ours is there already.

mod all;

pub use all::Listing;

use super::{
    error::{AwsError, Kind},
    port::{Aws, Summary},
};
use crate::{
    api::{
        names::{AccountId, CertificateArn, Located, Region},
        shared::Tags,
    },
    clock::Clock,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The least time between the beginnings of two lists of one place, after a minute with one, two, three, or more of them. That
/// makes at most six in any minute, the first ones soon: what is made in one stroke, over some seconds, does not wait long.
pub const SWEEP_GAPS: [SignedDuration; 4] = [
    SignedDuration::from_secs(1),
    SignedDuration::from_secs(2),
    SignedDuration::from_secs(6),
    SignedDuration::from_secs(17),
];

/// A list is used again for so long from its beginning.
pub const LIST_LASTS: SignedDuration = SignedDuration::from_secs(60);

/// ACM is eventually consistent: a list that begins so long after a change tells of it.
pub const CONSISTENT: SignedDuration = SignedDuration::from_secs(60);

/// An import is given up after this long: so long after a former leader's Lease ended, nothing that it began is under way.
const UNDER_WAY: SignedDuration = SignedDuration::from_secs(15);

/// A certificate in ACM that may be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What the list says of it, or what we know of our own import.
    pub summary: Summary,
    /// Its tags.
    pub tags: Tags,
}

/// What this process made.
#[derive(Clone, Copy)]
pub struct New<'a> {
    /// Its ARN.
    pub arn: &'a CertificateArn,
    /// Its names.
    pub names: &'a [String],
    /// Its tags.
    pub tags: &'a Tags,
    /// By an import; else ACM issues it.
    pub imported: bool,
}

/// The answer to a look at what ACM has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The certificates that share a name, or may do so; sorted by ARN.
    Found(Vec<Candidate>),
    /// A newer list is needed, and it is too soon for one.
    NotYet {
        /// Ask again then, not before.
        until: Timestamp,
    },
}

/// What ACM has in each account and region. A cheap place to ask: the lists and tags behind it are shared.
#[derive(Default)]
pub struct Inventory {
    places: Mutex<HashMap<(AccountId, Region), Arc<Place>>>,
    /// Lists that did not begin after this do not count.
    counts_from: Mutex<Option<Timestamp>>,
}

/// One account and region.
#[derive(Default)]
struct Place {
    /// Held over calls to AWS, so that all who ask at once share them.
    calls: tokio::sync::Mutex<()>,
    /// Never held over a call, so that notes can be made at any time.
    known: Mutex<Known>,
}

/// What is known of a place.
#[derive(Default)]
struct Known {
    /// When the last lists began, whether or not they came to an end; those of the last minute, and at least one.
    swept: VecDeque<Timestamp>,
    list: Option<List>,
    /// The certificates of the list and of `own` by each of their names, in lower case.
    named: HashMap<String, Vec<CertificateArn>>,
    /// Those that may have any name.
    unnamed: HashSet<CertificateArn>,
    /// What this process imported, until a list must tell of it.
    own: HashMap<CertificateArn, Own>,
    /// What was found gone, and when the first list after that began: an older view of ACM may still show it.
    gone: HashMap<CertificateArn, Option<Timestamp>>,
    /// Tags, of nothing but what the list or `own` holds.
    tags: HashMap<CertificateArn, Tags>,
}

struct List {
    began: Timestamp,
    certificates: HashMap<CertificateArn, Summary>,
}

struct Own {
    summary: Summary,
    at: Timestamp,
}

impl Inventory {
    /// The certificates of an account (that of `aws`) and region, imported or issued from a private CA, that share a name with `names`, by a list
    /// that began strictly after `newer_than`, or that this process imported itself.
    ///
    /// Names are compared without regard to case. A certificate with more than 100 names is always a candidate, since
    /// the list tells no more of them (ACM API reference, CertificateSummary).
    ///
    /// # Errors
    /// Those of the list, or of reading a candidate's tags: nothing is decided without them.
    pub async fn candidates(
        &self,
        aws: &dyn Aws,
        region: &Region,
        names: &[String],
        newer_than: Timestamp,
        clock: &dyn Clock,
    ) -> Result<Lookup, AwsError> {
        let asked = clock.now();
        let newer_than = newer_than.max(self.counts_at(asked));
        let place = self.place(&aws.identity().account, region);
        let _calls = place.calls.lock().await;
        let need = place.known().need(asked, clock.now(), newer_than);
        match need {
            Need::Nothing => {}
            Need::Patience(until) => return Ok(Lookup::NotYet { until }),
            Need::List(began) => {
                let list = aws.list_certificates(region).await?;
                place.known().take(began, list);
            }
        }
        place.fitting(aws, names).await.map(Lookup::Found)
    }

    /// The same without a new list: what the last one told, however old it is, and what this process imported itself. The tags of
    /// each candidate are read once in the life of a process, as they are for [`Self::candidates`].
    ///
    /// # Errors
    /// Those of reading a candidate's tags.
    pub async fn shown(&self, aws: &dyn Aws, region: &Region, names: &[String]) -> Result<Vec<Candidate>, AwsError> {
        let place = self.place(&aws.identity().account, region);
        if place.known().list.is_none() {
            return Ok(vec![]);
        }
        let _calls = place.calls.lock().await;
        place.fitting(aws, names).await
    }

    /// A certificate turned out to be in use.
    pub fn note_in_use(&self, arn: &CertificateArn) {
        if let Some(place) = self.place_of(arn)
            && let Some(summary) = place.known().list.as_mut().and_then(|list| list.certificates.get_mut(arn))
        {
            summary.in_use = true;
        }
    }

    /// Another process led before this one and did not give the Lease back: it may have begun an import until this time,
    /// when the Lease ended. Only lists that begin 15 s later count; that is 30 s after its last renewal, by default.
    pub fn former_leader(&self, ended: Timestamp) {
        let mut counts_from = self.counts_from.lock().unwrap_or_else(PoisonError::into_inner);
        *counts_from = (*counts_from).max(Some(later(ended, UNDER_WAY)));
    }

    /// The same at this time. No Lease ends so far in the future: the clock was set back, and it counts from now.
    fn counts_at(&self, now: Timestamp) -> Timestamp {
        let mut counts_from = self.counts_from.lock().unwrap_or_else(PoisonError::into_inner);
        if counts_from.is_some_and(|at| at > later(now, CONSISTENT)) {
            *counts_from = Some(later(now, UNDER_WAY));
        }
        counts_from.unwrap_or(Timestamp::MIN)
    }

    /// Lists that did not begin after this do not count.
    pub fn counts_from(&self) -> Timestamp {
        self.counts_from.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(Timestamp::MIN)
    }

    /// This process made a certificate under a new ARN, by an import or by asking ACM for it: it is a candidate from now on, until
    /// a list that began a minute later or more confirms or denies it.
    pub fn note_new(&self, account: &AccountId, region: &Region, new: New<'_>, at: Timestamp) {
        let place = self.place(account, region);
        let mut known = place.known();
        let New { arn, names, tags, imported } = new;
        let summary = Summary {
            arn: arn.clone(),
            names: names.to_vec(),
            more_names: false,
            imported,
            in_use: false,
            created_at: Some(at),
            more: None,
        };
        known.gone.remove(arn);
        known.tags.insert(arn.clone(), tags.clone());
        known.index(&summary);
        known.own.insert(arn.clone(), Own { summary, at });
    }

    /// A certificate is not in ACM any more: it is no candidate, unless lists still tell of it after a minute.
    pub fn note_gone(&self, arn: &CertificateArn) {
        if let Some(place) = self.place_of(arn) {
            let mut known = place.known();
            known.forget(arn);
            known.gone.insert(arn.clone(), None);
        }
    }

    /// These are a certificate's tags now.
    pub fn note_tags(&self, arn: &CertificateArn, tags: &Tags) {
        if let Some(place) = self.place_of(arn) {
            let mut known = place.known();
            if known.holds(arn) {
                known.tags.insert(arn.clone(), tags.clone());
            }
        }
    }

    /// How many imported certificates each place had, by its last list.
    #[must_use]
    pub fn counts(&self) -> Vec<(AccountId, Region, usize)> {
        let places = self.places();
        let imported = |list: &List| list.certificates.values().filter(|summary| summary.imported).count();
        let count = |place: &Place| place.known().list.as_ref().map(imported);
        places.iter().filter_map(|((account, region), p)| Some((account.clone(), region.clone(), count(p)?))).collect()
    }

    fn place(&self, account: &AccountId, region: &Region) -> Arc<Place> {
        self.places().entry((account.clone(), region.clone())).or_default().clone()
    }

    /// Where a certificate is, if anybody has looked there: an ARN that somebody made up must not cost memory.
    fn place_of(&self, arn: &CertificateArn) -> Option<Arc<Place>> {
        let place = (arn.account().parse().ok()?, arn.region().parse().ok()?);
        self.places().get(&place).cloned()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<(AccountId, Region), Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What shares a name, with its tags.
    async fn fitting(&self, aws: &dyn Aws, names: &[String]) -> Result<Vec<Candidate>, AwsError> {
        let names: HashSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        loop {
            let (found, untold) = self.known().select(&names);
            if untold.is_empty() {
                return Ok(found);
            }
            for arn in untold {
                match aws.tags(&arn).await {
                    // What was noted meanwhile is newer than what was read.
                    Ok(tags) => {
                        self.known().tags.entry(arn).or_insert(tags);
                    }
                    Err(error) if error.kind == Kind::NotFound => self.known().forget(&arn),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer takes.
enum Need {
    Nothing,
    Patience(Timestamp),
    /// A list that begins now.
    List(Timestamp),
}

impl Known {
    /// Whether the list will do for who asked at `asked` and had its turn at `now`; if a new one begins, notes that it does.
    fn need(&mut self, asked: Timestamp, now: Timestamp, newer_than: Timestamp) -> Need {
        self.clock_set_back(now);
        // By when it was asked for, so that those who waited for a slow list share it.
        let lasts = |list: &List| list.began > newer_than && asked.duration_since(list.began) <= LIST_LASTS;
        if self.list.as_ref().is_some_and(lasts) {
            return Need::Nothing;
        }
        let lately =
            self.swept.iter().filter(|swept| now.duration_since(**swept) < SignedDuration::from_mins(1)).count();
        let gap = SWEEP_GAPS[lately.saturating_sub(1).min(SWEEP_GAPS.len() - 1)];
        let paced = self.swept.back().map_or(now, |swept| later(*swept, gap));
        let until = paced.max(later(newer_than, SignedDuration::from_nanos(1)));
        if until > now {
            return Need::Patience(until);
        }
        self.swept.push_back(now);
        while self.swept.len() > 6 {
            self.swept.pop_front();
        }
        for since in self.gone.values_mut() {
            since.get_or_insert(now);
        }
        Need::List(now)
    }

    /// The clock was set back: what bears a time to come says nothing about its age, so it counts from now.
    fn clock_set_back(&mut self, now: Timestamp) {
        if self.swept.back().is_none_or(|swept| *swept <= now) {
            return;
        }
        for swept in &mut self.swept {
            *swept = (*swept).min(now);
        }
        self.list = self.list.take().filter(|list| list.began <= now);
        for own in self.own.values_mut() {
            own.at = own.at.min(now);
        }
        for since in self.gone.values_mut().flatten() {
            *since = (*since).min(now);
        }
    }

    /// Takes a new list.
    fn take(&mut self, began: Timestamp, list: Vec<Summary>) {
        let certificates: HashMap<_, _> =
            list.into_iter().filter(is_kept).map(|s| (s.arn.clone(), Summary { more: None, ..s })).collect();
        let settled = |change: Timestamp| began.duration_since(change) >= CONSISTENT;
        self.own.retain(|_, own| !settled(own.at));
        // None: noted while this list was under way, which says nothing about that.
        self.gone.retain(|_, since| since.is_none_or(|since| !settled(since)));
        self.named.clear();
        self.unnamed.clear();
        let all: Vec<Summary> =
            certificates.values().chain(self.own.values().map(|own| &own.summary)).cloned().collect();
        for summary in &all {
            self.index(summary);
        }
        self.list = Some(List { began, certificates });
        let mut tags = std::mem::take(&mut self.tags);
        tags.retain(|arn, _| self.holds(arn));
        self.tags = tags;
    }

    fn holds(&self, arn: &CertificateArn) -> bool {
        self.own.contains_key(arn) || self.list.as_ref().is_some_and(|list| list.certificates.contains_key(arn))
    }

    /// Drops a certificate till the next list.
    fn forget(&mut self, arn: &CertificateArn) {
        self.own.remove(arn);
        self.tags.remove(arn);
        if let Some(list) = &mut self.list {
            list.certificates.remove(arn);
        }
    }

    fn index(&mut self, summary: &Summary) {
        if summary.more_names {
            self.unnamed.insert(summary.arn.clone());
        }
        for name in &summary.names {
            let arns = self.named.entry(name.to_ascii_lowercase()).or_default();
            if !arns.contains(&summary.arn) {
                arns.push(summary.arn.clone());
            }
        }
    }

    /// The candidates, and the ARNs of those whose tags have to be read first.
    fn select(&self, names: &HashSet<String>) -> (Vec<Candidate>, Vec<CertificateArn>) {
        let fitting: BTreeSet<&CertificateArn> =
            names.iter().filter_map(|name| self.named.get(name)).flatten().chain(&self.unnamed).collect();
        let (mut found, mut untold) = (Vec::new(), Vec::new());
        for arn in fitting.into_iter().filter(|arn| !self.gone.contains_key(*arn)) {
            // The list knows more of our own import than we do.
            let listed = self.list.as_ref().and_then(|list| list.certificates.get(arn));
            let Some(summary) = listed.or_else(|| self.own.get(arn).map(|own| &own.summary)) else { continue };
            match self.tags.get(arn) {
                Some(tags) => found.push(Candidate { summary: summary.clone(), tags: tags.clone() }),
                None => untold.push(arn.clone()),
            }
        }
        (found, untold)
    }
}

/// What may be a Certificate's: what was imported, and what ACM issued from a private CA. The others are Amazon's own.
fn is_kept(summary: &Summary) -> bool {
    summary.imported || summary.more.as_ref().is_some_and(|more| more.kind == "PRIVATE")
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
