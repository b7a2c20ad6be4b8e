//! The API server's audit log: who asked for what, and when.

use super::stand::{Outcome, told};
use jiff::Timestamp;
use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::PathBuf,
};

/// One request, after it was answered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub verb: String,
    #[serde(default)]
    pub user_agent: String,
    #[serde(default, rename = "objectRef")]
    pub object: Object,
    #[serde(rename = "requestReceivedTimestamp")]
    pub received: Timestamp,
    #[serde(rename = "stageTimestamp")]
    pub answered: Timestamp,
}

/// What a request is about.
#[derive(Debug, Default, Deserialize)]
pub struct Object {
    #[serde(default)]
    pub resource: String,
    #[serde(default)]
    pub namespace: String,
    #[serde(default)]
    pub name: String,
}

impl Request {
    /// Of the operator, by its user agent.
    pub fn is_ours(&self) -> bool {
        self.user_agent.starts_with("arnkeeper/")
    }

    /// A change; the Lease is none that counts.
    pub fn is_write(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb.as_str()) && self.object.resource != "leases"
    }
}

/// The log from a place on.
pub struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// From what is written from now on.
    pub fn from_now(path: PathBuf) -> Self {
        let from = std::fs::metadata(&path).map_or(0, |m| m.len());
        Self { path, from }
    }

    /// What was written since; the log may still be behind by a moment.
    ///
    /// # Errors
    /// If it can't be read, or was begun anew: what it said is not known then.
    pub fn read(&self) -> Outcome<Vec<Request>> {
        let mut file = File::open(&self.path).map_err(told("the audit log"))?;
        let length = file.metadata().map_err(told("the audit log"))?.len();
        if length < self.from {
            return Err("the audit log was begun anew, and its older part is elsewhere".into());
        }
        file.seek(SeekFrom::Start(self.from)).map_err(told("the audit log"))?;
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()).collect())
    }

    /// The operator's requests about objects of a namespace.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn ours_in(&self, namespace: &str) -> Outcome<Vec<Request>> {
        let mut made = self.read()?;
        made.retain(|r| r.is_ours() && r.object.namespace == namespace);
        Ok(made)
    }
}
