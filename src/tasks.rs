//! Tasks with names, so that the one that ends too early can be told.

use std::{collections::HashMap, future::Future};
use tokio::task::{Id, JoinSet};

/// The tasks; they end with it.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Tasks {
    /// Begins a task.
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name.into());
    }

    /// Waits for the next task that ends, and tells which one and how; for ever, if there is none.
    pub async fn ended(&mut self) -> String {
        let Some(ended) = self.set.join_next_with_id().await else { return std::future::pending().await };
        let (id, how) = match ended {
            Ok((id, ())) => (id, "ended by itself"),
            Err(error) if error.is_panic() => (error.id(), "panicked"),
            Err(error) => (error.id(), "was cancelled"),
        };
        format!("{} {how}", self.names.remove(&id).unwrap_or_default())
    }

    /// Waits until every task has ended.
    pub async fn all_ended(&mut self) {
        while self.set.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_that_ends_is_told() {
        let mut tasks = Tasks::default();
        tasks.spawn("the patient one", std::future::pending());
        tasks.spawn("the hasty one", std::future::ready(()));
        assert_eq!(tasks.ended().await, "the hasty one ended by itself");
        tasks.spawn("the clumsy one", async { panic!("on purpose") });
        assert_eq!(tasks.ended().await, "the clumsy one panicked");
    }
}
