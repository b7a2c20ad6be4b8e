//! What discovery reads and writes, in the pass of its account.

use super::{account::Accounts, context::Context};
use crate::{
    api::{
        ACM_VERSION_ANNOTATION, Certificate,
        names::{CertificateArn, Located, Region},
        shared::Tags,
    },
    aws::{
        error::{AwsError, Kind},
        inventory::Listing,
        paced::{asking, line::Asker},
        port::Aws,
    },
    core::{
        account::Observed,
        backoff::Failure,
        discovery::{
            Change, FIELD_MANAGER, Object, READ_AT_ONCE, Room, Run, Seen, Surroundings, Unread, begins, goes_on,
            neighbours,
        },
    },
    text::plain,
};
use futures::{StreamExt, stream};
use jiff::SignedDuration;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::Status,
};
use serde_json::json;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Objects that are written, and tags that are read, at the same time.
const WRITERS: usize = 8;
const READERS: usize = 4;
/// Reading tags counts for so many more steps.
const STEPS_OF_TAGS: usize = 2;
/// Objects that are decoded before others have their turn.
const DECODED_AT_ONCE: usize = 64;
/// Certificates in the lists of all runs that are under way: about 20 MiB.
const MOST_HELD: usize = 20_000;
/// What a run that has no list yet is reckoned with, at least.
const EXPECTED: usize = 100;
/// A run that was not heard of for so long ended with its account.
const FORGOTTEN: Duration = Duration::from_mins(10);
/// Between two questions whether a run may begin.
const NO_ROOM: SignedDuration = SignedDuration::from_secs(5);
/// Between two calls that AWS throttles, since others use up its quotas.
const THROTTLED: SignedDuration = SignedDuration::from_secs(15);
/// So often a run waits for that; then it ends and tells of it.
const MOST_THROTTLED: u32 = 20;
/// So often somebody else may change an object in between; then it is told.
const MOST_CONFLICTS: u32 = 50;

/// The runs that are under way: together they hold a bounded number of certificates.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<String, (Instant, usize)>>);

impl Turns {
    /// Whether a run of this account may begin, which may hold so many certificates. The first one always may.
    fn begin(&self, account: &str, expected: usize) -> bool {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|_, (seen, _)| seen.elapsed() < FORGOTTEN);
        runs.remove(account);
        let held: usize = runs.values().map(|(_, held)| held).sum();
        let may = runs.is_empty() || held.saturating_add(expected) <= MOST_HELD;
        if may {
            runs.insert(account.to_owned(), (Instant::now(), expected));
        }
        may
    }

    /// A run holds so many certificates now.
    fn hold(&self, account: &str, held: usize) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.insert(account.to_owned(), (Instant::now(), held.max(EXPECTED)));
    }

    /// A run came to its end.
    pub fn end(&self, account: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }
}

/// Certificates, and their tags as they were read; none: it is gone.
type TagsRead = Vec<(CertificateArn, Result<Option<Tags>, AwsError>)>;

fn held(run: &Run) -> usize {
    run.lists.values().filter_map(|list| list.as_ref().ok()).map(Vec::len).sum()
}

/// Why a region can't be read; or else how long to wait until it is tried again.
fn unread(run: Option<&mut Run>, error: AwsError) -> Result<Unread, SignedDuration> {
    if let Kind::NotYourTurn(wait) = error.kind {
        return Err(SignedDuration::try_from(wait).unwrap_or(NO_ROOM));
    }
    if let (Kind::Throttled, Some(run)) = (error.kind, run)
        && run.throttled < MOST_THROTTLED
    {
        run.throttled += 1;
        return Err(THROTTLED);
    }
    let (message, kind) = (error.to_string(), error.kind);
    let passes = matches!(kind, Kind::Throttled | Kind::Transient | Kind::Conflict | Kind::Credentials);
    Ok(Unread { reason: Failure { error, count: 1 }.reason(), message, passes })
}

impl Accounts {
    /// A run begins, if there is room for it.
    pub(super) fn begin(&self, o: &mut Observed) {
        o.run_steps += 1;
        let name = o.account.name_any();
        let before = o.account.status.as_ref().and_then(|s| s.discovery.as_ref()).map_or(0, |d| d.found);
        if self.0.turns.begin(&name, usize::try_from(before).unwrap_or(0).max(EXPECTED)) {
            o.run = Some(Arc::new(begins(&o.account, self.0.clock.now())));
        } else {
            o.run_rests = Some(NO_ROOM);
        }
    }

    /// The status tells of a run: it is over.
    pub(super) fn run_told(&self, o: &mut Observed) {
        if o.run.as_ref().is_some_and(|run| !goes_on(&o.account, run)) {
            o.run = None;
            self.0.turns.end(&o.account.name_any());
        }
    }

    /// The run, to be written to.
    fn run<'a>(&self, o: &'a mut Observed) -> Option<&'a mut Run> {
        o.run_steps += 1;
        let run = Arc::make_mut(o.run.as_mut()?);
        self.0.turns.hold(&o.account.name_any(), held(run));
        Some(run)
    }

    /// What ACM has in a region.
    pub(super) async fn list(&self, o: &mut Observed, aws: &dyn Aws, region: Region) {
        let list = match self.0.inventory.all(aws, &region, &*self.0.clock).await {
            Ok(Listing::All(list)) => Ok(list.into_iter().map(Seen::from).collect()),
            Ok(Listing::NotYet { until }) => {
                o.run_rests = Some(until.duration_since(self.0.clock.now()));
                return;
            }
            Err(error) => {
                self.0.report(Some(&o.account), &error);
                match unread(o.run.as_mut().map(Arc::make_mut), error) {
                    Ok(why) => Err(why),
                    Err(wait) => {
                        o.run_rests = Some(wait);
                        return;
                    }
                }
            }
        };
        if let Some(run) = self.run(o) {
            run.lists.insert(region, list);
        }
    }

    /// The tags of some certificates.
    pub(super) async fn tags(&self, o: &mut Observed, aws: &dyn Aws, arns: Vec<CertificateArn>) {
        // They take a few seconds.
        o.run_steps += STEPS_OF_TAGS;
        let Some(afresh) = self.run(o).map(|run| run.afresh) else { return };
        let answers = self.read_tags(aws, arns, afresh, &AtomicBool::new(true)).await;
        self.see_tags(o, answers);
    }

    /// The first ones of these, and more until it is `enough`.
    async fn read_tags(&self, aws: &dyn Aws, arns: Vec<CertificateArn>, afresh: bool, enough: &AtomicBool) -> TagsRead {
        let read = |arn: CertificateArn| async move {
            // Each has a place of its own in the line.
            let asker = Asker { key: format!("tags of {arn}"), left: None };
            let tags = asking(asker, self.0.inventory.tags(aws, &arn, afresh)).await;
            (arn, tags)
        };
        let goes_on = |(count, arn)| (count < READ_AT_ONCE || !enough.load(Ordering::Relaxed)).then_some(arn);
        stream::iter(arns.into_iter().enumerate().map_while(goes_on))
            .map(read)
            .buffer_unordered(READERS)
            .collect()
            .await
    }

    fn see_tags(&self, o: &mut Observed, answers: TagsRead) {
        for (arn, answer) in answers {
            match answer {
                Ok(tags) => {
                    if let Some(run) = o.run.as_mut().map(Arc::make_mut) {
                        run.tags.insert(arn, tags);
                    }
                }
                Err(error) => {
                    self.0.report(Some(&o.account), &error);
                    match (unread(o.run.as_mut().map(Arc::make_mut), error), arn.region().parse()) {
                        (Ok(why), Ok(region)) => {
                            if let Some(run) = o.run.as_mut().map(Arc::make_mut) {
                                run.tagless.insert(region, why);
                            }
                        }
                        (Err(wait), _) => o.run_rests = Some(o.run_rests.unwrap_or_default().max(wait)),
                        (Ok(_), Err(_)) => {}
                    }
                }
            }
        }
    }

    /// Whether objects can be put into these namespaces.
    pub(super) async fn rooms(&self, o: &mut Observed, namespaces: Vec<String>) -> Result<(), kube::Error> {
        for namespace in namespaces {
            // One that is not there is told to be ending.
            let (_, ends) = self.0.namespace(&namespace).await?;
            if let Some(run) = self.run(o) {
                run.rooms.insert(namespace, if ends { Room::Closed } else { Room::Open });
            }
        }
        Ok(())
    }

    /// The Certificates that name an AwsAccount of the same AWS account.
    pub(super) async fn surroundings(&self, o: &mut Observed) {
        o.run_steps += 1;
        let own = o.account.name_any();
        let id = o.session.as_ref().and_then(|session| session.as_ref().ok()).map(|identity| identity.account.clone());
        let (names, others) = match id {
            Some(id) => neighbours(&id, &own, &self.0.accounts.all()),
            None => (vec![own], BTreeSet::new()),
        };
        let mut around = Surroundings { objects: vec![], others };
        let keys = self.0.certificates.keys(|_, gist| names.iter().any(|name| gist.uses(name)));
        // One by one: all of them at once would take ten times the store's memory.
        for (count, key) in keys.into_iter().enumerate() {
            around.objects.extend(self.0.certificates.at(&key).map(|certificate| Object::of(&certificate)));
            if count % DECODED_AT_ONCE == DECODED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        o.surroundings = Some(around);
    }

    /// The object that has the name of a new one, if it is about the same certificate.
    fn shows_the_same(&self, change: &Change) -> Option<Object> {
        let (namespace, name) = change.key();
        let object = Object::of(&*self.0.certificates.get(Some(&namespace), &name)?);
        change.arn().is_some_and(|arn| object.arns.contains(&arn)).then_some(object)
    }

    /// Changes some objects, and reads tags meanwhile. What the API server refuses for good is told; what somebody else
    /// changed is looked at again.
    pub(super) async fn discovered(
        &self,
        o: &mut Observed,
        changes: Vec<Change>,
        tags: Vec<CertificateArn>,
    ) -> Result<(), kube::Error> {
        let aws = if tags.is_empty() { None } else { self.0.sessions.open(&o.account).await.ok() };
        if aws.is_some() {
            o.run_steps += STEPS_OF_TAGS;
        }
        let Some(run) = self.run(o) else { return Ok(()) };
        let afresh = run.afresh;
        // An apply makes an object, or would change one that is there: that is somebody else's.
        let (taken, changes): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| {
            let (namespace, name) = change.key();
            let is_there = self.0.certificates.find(Some(&namespace), &name).is_some();
            change.is_new() && is_there && !run.deleted.contains(&change.key())
        });
        // One that shows the same certificate, as of an AwsAccount that is gone, is judged like those that were looked for.
        let mut same = vec![];
        for change in taken {
            match self.shows_the_same(&change) {
                Some(object) => same.push(object),
                None => drop(run.taken.insert(change.key())),
            }
        }
        if let Some(around) = &mut o.surroundings {
            around.objects.extend(same);
        }
        let put = |change: Change| async move {
            let stored = put(&self.0, &change).await;
            (change, stored)
        };
        let made = AtomicBool::new(false);
        let puts = async {
            let answers = stream::iter(changes).map(put).buffer_unordered(WRITERS).collect::<Vec<_>>().await;
            made.store(true, Ordering::Relaxed);
            answers
        };
        let reads = async {
            match &aws {
                Some(aws) => self.read_tags(&**aws, tags, afresh, &made).await,
                None => vec![],
            }
        };
        let (answers, read) = tokio::join!(puts, reads);
        self.see_tags(o, read);
        let mut failed = None;
        let name = o.account.name_any();
        let Some(run) = o.run.as_mut().map(Arc::make_mut) else { return Ok(()) };
        let mut stored = vec![];
        for (change, answer) in answers {
            let key = change.key();
            match answer {
                Ok(object) => {
                    run.note(&change, &name);
                    stored.push((change, object));
                }
                Err(kube::Error::Api(status)) if closes(&change, &status) => {
                    run.rooms.insert(key.0, Room::Closed);
                }
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 413 | 422) => {
                    run.refused.insert(key, format!("the API server refuses it: {}", plain(&status.message, 300)));
                }
                // The store will tell of it.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                    run.conflicts += 1;
                    if run.conflicts > MOST_CONFLICTS {
                        run.refused
                            .insert(key, format!("somebody else keeps changing it: {}", plain(&status.message, 300)));
                    }
                    failed = Some(kube::Error::Api(status));
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(around) = &mut o.surroundings {
            for (change, object) in stored {
                around.note(&change, object);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Whether it was refused because its namespace is not there, or goes.
fn closes(change: &Change, status: &Status) -> bool {
    let terminating = status.code == 403 && status.message.contains("being terminated");
    change.is_new() && (terminating || status.code == 404)
}

/// Makes one change; the object as it was stored, if any.
async fn put(context: &Context, change: &Change) -> Result<Option<Object>, kube::Error> {
    let (namespace, name) = change.key();
    let api: Api<Certificate> = Api::namespaced(context.client.clone(), &namespace);
    match change {
        Change::Apply(object) => {
            let how = PatchParams::apply(FIELD_MANAGER);
            // Without force, what somebody else made meanwhile is a conflict.
            let how = if change.is_new() { how } else { how.force() };
            api.patch(&name, &how, &Patch::Apply(object)).await.map(|stored| Some(Object::of(&stored)))
        }
        Change::Miss(object, version) => {
            let patch = json!({ "metadata": {
                "uid": object.uid, "resourceVersion": object.resource_version,
                "annotations": { ACM_VERSION_ANNOTATION: version },
            } });
            let how = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
            api.patch(&name, &how, &Patch::Merge(&patch)).await.map(|stored| Some(Object::of(&stored)))
        }
        Change::Delete(object) => {
            let preconditions =
                Some(Preconditions { uid: object.uid.clone(), resource_version: object.resource_version.clone() });
            match api.delete(&name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
                other => other.map(|_| None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_bears_being_throttled_for_some_minutes() {
        let throttled =
            || AwsError { kind: Kind::Throttled, action: "acm:ListCertificates", code: None, message: "slower".into() };
        let mut run = Run::default();
        for _ in 0..MOST_THROTTLED {
            assert_eq!(unread(Some(&mut run), throttled()), Err(THROTTLED));
        }
        let told = unread(Some(&mut run), throttled()).unwrap();
        assert!(told.passes && told.reason == "Throttled");
    }

    #[test]
    fn runs_hold_a_bounded_number_of_certificates() {
        let turns = Turns::default();
        assert!(turns.begin("big", MOST_HELD * 2), "the first one always may");
        assert!(!turns.begin("small", EXPECTED));
        turns.hold("big", MOST_HELD - EXPECTED);
        assert!(turns.begin("small", EXPECTED) && !turns.begin("other", EXPECTED));
        assert!(turns.begin("small", EXPECTED), "it has its place already");
        turns.end("big");
        assert!(turns.begin("other", EXPECTED));
    }
}
