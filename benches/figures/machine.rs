//! How fast it starts and how large it is.

use super::{
    stand::{Operator, Outcome, Stand, told},
    table::Row,
};
use std::{fs, time::Duration};

/// So often it is started; the middle one counts.
const STARTS: usize = 5;
/// What gcr.io/distroless/static-debian12 adds: time zones, CA certificates, users (its published size, rounded up).
const BASE_MIB: f64 = 2.0;

/// From the start of the process until `/readyz` says yes.
pub async fn start(stand: &Stand) -> Outcome<Vec<Row>> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let operator = Operator::start(stand, &[]).await?;
        times.push(operator.start);
        operator.stop().await?;
    }
    times.sort();
    let middle = times[STARTS / 2];
    let measured = format!(
        "{:.2} s (of {STARTS}: {:.2} to {:.2})",
        middle.as_secs_f64(),
        times[0].as_secs_f64(),
        times[STARTS - 1].as_secs_f64()
    );
    Ok(vec![Row::new("Start to ready", "≤ 1 s", measured, middle <= Duration::from_secs(1))])
}

/// What the image holds: the binary, the licence, and the base image's files.
pub fn size(stand: &Stand) -> Outcome<Vec<Row>> {
    let binary = fs::metadata(&stand.operator).map_err(told("the operator's binary"))?.len();
    #[expect(clippy::cast_precision_loss, reason = "a size of some MiB")]
    let binary = binary as f64 / f64::from(1 << 20);
    let all = binary + BASE_MIB;
    let measured = format!("{all:.1} MiB: binary {binary:.1}, base image {BASE_MIB:.0}, uncompressed");
    Ok(vec![Row::new("Image", "≤ 25 MB", measured, all * 1.048_576 <= 25.0)])
}
