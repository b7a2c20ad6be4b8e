//! What is read and written for the members of an organization, in the pass of its account.

use super::account::Accounts;
use crate::{
    api::{AwsAccount, Certificate},
    core::{
        account::Observed,
        organization::{Around, Change, Shown},
    },
};
use futures::{StreamExt, stream};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

/// Members that are written at the same time.
const WRITERS: usize = 8;
/// Objects that are held at the same time, and those of one more member: they take about 200 bytes each.
const MOST_HELD: usize = 2_000;
/// Objects that are decoded before others have their turn.
const DECODED_AT_ONCE: usize = 64;

impl Accounts {
    /// The members of an organization, who else there is, and which of them Certificates and requests name.
    pub(super) fn around(&self, owner: &AwsAccount) -> Around {
        let certificates = self.0.certificates.uses(|gist| !gist.discovered);
        let (discovered, requests) = (self.0.certificates.uses(|gist| gist.discovered), self.0.requests.uses(|_| true));
        let is_used = |name: &str| certificates.contains(name) || requests.contains(name);
        Around::new(owner, self.0.accounts.all(), is_used, |name| discovered.contains(name))
    }

    /// What the discovery of these members made, of as many of them as are to be held at the same time.
    pub(super) async fn shown(&self, o: &mut Observed, members: Vec<String>) {
        o.member_steps += 1;
        let Some(around) = &mut o.around else { return };
        let mut held = 0;
        for name in members {
            if held >= MOST_HELD {
                break;
            }
            let mut shown = vec![];
            let keys = self.0.certificates.keys(|_, gist| gist.discovered && gist.uses(&name));
            for (count, key) in keys.into_iter().enumerate() {
                let certificate = self.0.certificates.at(&key);
                shown.extend(certificate.and_then(|certificate| Shown::of(&certificate, &name)));
                if count % DECODED_AT_ONCE == DECODED_AT_ONCE - 1 {
                    tokio::task::yield_now().await;
                }
            }
            held += shown.len();
            around.shown.insert(name, shown);
            tokio::task::yield_now().await;
        }
    }

    /// Makes these changes; those that were made count, whatever became of the others.
    pub(super) async fn change_members(&self, o: &mut Observed, changes: Vec<Change>) -> Result<(), kube::Error> {
        o.member_steps += 1;
        let put = |change: Change| async move {
            let stored = self.put_member(&change).await;
            (change, stored)
        };
        let answers = stream::iter(changes).map(put).buffer_unordered(WRITERS).collect::<Vec<_>>().await;
        let mut failed = None;
        for (change, answer) in answers {
            match answer {
                Ok(stored) => {
                    match &change {
                        Change::Delete { name, .. } => o.removed.0.push(name.clone()),
                        Change::Hide(_) => o.removed.1 += 1,
                        Change::Create(_) | Change::Replace(_) => {}
                    }
                    // The store tells of it later.
                    if let Some(around) = &mut o.around {
                        around.note(&change, stored);
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        o.removed.0.sort();
        failed.map_or(Ok(()), Err)
    }

    /// Makes one change; the member as it was stored, if it is one.
    async fn put_member(&self, change: &Change) -> Result<Option<AwsAccount>, kube::Error> {
        let api: Api<AwsAccount> = Api::all(self.0.client.clone());
        let delete = |uid: &Option<String>, version: &Option<String>| {
            let preconditions = Preconditions { uid: uid.clone(), resource_version: version.clone() };
            DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
        };
        let gone = match change {
            Change::Create(new) => return api.create(&PostParams::default(), new).await.map(Some),
            Change::Replace(new) => {
                return api.replace(&new.name_any(), &PostParams::default(), new).await.map(Some);
            }
            Change::Delete { name, uid, version } => api.delete(name, &delete(uid, version)).await.map(|_| ()),
            Change::Hide(Shown { namespace, name, uid, version, .. }) => {
                let api: Api<Certificate> = Api::namespaced(self.0.client.clone(), namespace);
                api.delete(name, &delete(uid, version)).await.map(|_| ())
            }
        };
        match gone {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            other => other.map(|()| None),
        }
    }
}
