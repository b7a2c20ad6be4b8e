//! What the calls that were made have shown of permissions.

use crate::{
    api::names::Region,
    aws::error::{AwsError, Kind},
};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A denial that nothing repeated says nothing any more after this long: somebody may have allowed it.
const DENIAL_LASTS: Duration = Duration::from_hours(2);

/// What a call showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whether it was allowed.
    pub allowed: bool,
    /// When.
    pub at: Instant,
}

/// By action and region.
pub type All = BTreeMap<(&'static str, Region), Shown>;

#[derive(Default)]
struct Account {
    /// What another identity may is no matter.
    caller: String,
    shown: All,
}

/// What was shown, by the name of the AwsAccount.
pub struct Learned {
    accounts: Mutex<HashMap<String, Account>>,
    sender: UnboundedSender<String>,
    receiver: Mutex<Option<UnboundedReceiver<String>>>,
}

impl Default for Learned {
    fn default() -> Self {
        let (sender, receiver) = unbounded();
        Self { accounts: Mutex::default(), sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Learned {
    /// Notes the answer to a call.
    pub fn note(&self, account: &str, caller: &str, action: &'static str, region: &Region, error: Option<&AwsError>) {
        let allowed = match error.map(|error| error.kind) {
            None | Some(Kind::NotFound) => true,
            // A role that could not be assumed is another matter.
            Some(Kind::AccessDenied) if error.is_some_and(|error| error.action == action) => false,
            Some(_) => return,
        };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if !accounts.contains_key(account) {
            accounts.insert(account.to_owned(), Account::default());
        }
        let Some(entry) = accounts.get_mut(account) else { return };
        if entry.caller != caller {
            *entry = Account { caller: caller.to_owned(), shown: All::new() };
        }
        let before = entry.shown.insert((action, region.clone()), Shown { allowed, at: Instant::now() });
        if before.map_or(!allowed, |before| before.allowed != allowed) {
            // Without a listener nobody has to be told.
            let _ = self.sender.unbounded_send(account.to_owned());
        }
    }

    /// What was shown of this identity.
    #[must_use]
    pub fn of(&self, account: &str, caller: &str) -> All {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = accounts.get(account).filter(|entry| entry.caller == caller) else { return All::new() };
        let holds = |shown: &Shown| shown.allowed || shown.at.elapsed() < DENIAL_LASTS;
        entry.shown.iter().filter(|(_, shown)| holds(shown)).map(|(key, shown)| (key.clone(), *shown)).collect()
    }

    /// The names of accounts in which a first call was denied, or one is allowed that was denied before; once.
    #[must_use]
    pub fn news(&self) -> Option<UnboundedReceiver<String>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// An account is gone.
    pub fn forget(&self, account: &str) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMPORT: &str = "acm:ImportCertificate";

    fn failed(kind: Kind, action: &'static str) -> AwsError {
        AwsError { kind, action, code: None, message: String::new() }
    }

    #[test]
    fn only_what_says_something_is_noted_and_turns_are_told() {
        let learned = Learned::default();
        let mut news = learned.news().unwrap();
        assert!(learned.news().is_none());
        let region: Region = "eu-west-1".parse().unwrap();
        let note = |error: Option<AwsError>| learned.note("prod", "me", IMPORT, &region, error.as_ref());
        let shown = || learned.of("prod", "me").get(&(IMPORT, region.clone())).map(|shown| shown.allowed);
        note(Some(failed(Kind::Throttled, IMPORT)));
        note(Some(failed(Kind::AccessDenied, "sts:AssumeRole")));
        assert_eq!(shown(), None);
        note(Some(failed(Kind::NotFound, IMPORT)));
        assert_eq!(shown(), Some(true));
        assert!(news.try_recv().is_err(), "nothing new");
        note(Some(failed(Kind::AccessDenied, IMPORT)));
        note(Some(failed(Kind::AccessDenied, IMPORT)));
        assert_eq!(shown(), Some(false));
        note(None);
        assert_eq!(shown(), Some(true));
        assert_eq!([news.try_recv().ok(), news.try_recv().ok()].map(Option::unwrap), ["prod", "prod"]);
        assert!(news.try_recv().is_err());
        assert!(learned.of("prod", "another").is_empty());
        learned.note("prod", "another", "acm:ListCertificates", &region, None);
        assert_eq!((shown(), learned.of("prod", "another").len()), (None, 1));
        learned.forget("prod");
        assert!(learned.of("prod", "another").is_empty());
    }
}
