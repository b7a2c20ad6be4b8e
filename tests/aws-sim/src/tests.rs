//! What the tests share.

use crate::api::Call;

mod http;
mod readme;

/// A call of account 111122223333 in eu-west-1, at the start of 2026.
pub fn call() -> Call {
    Call {
        account: "111122223333".to_owned(),
        region: "eu-west-1".to_owned(),
        partition: "aws".to_owned(),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}
