//! What a process takes of the machine, from `/proc`.

use std::{fs, path::Path};

/// One of the processes of the stand.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

/// The clock ticks of `/proc/PID/stat` in a second: 100 on every Linux (proc(5), USER_HZ).
const TICKS: f64 = 100.0;

/// CPU seconds that all processors had since the machine began, and how many of them they were idle or waited for a disk.
pub fn processors() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; the guests' are in user and nice already (proc(5)).
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    (ticks.iter().sum::<f64>() / TICKS, idle / TICKS)
}

impl Process {
    /// The process of a pid file.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        text.trim().parse().map(Self).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// CPU seconds that it used so far, its own and the kernel's for it.
    pub fn cpu(self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th fields after it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
        (ticks(11) + ticks(12)) / TICKS
    }

    /// Resident memory now and at its peak, in MiB.
    pub fn memory(self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or_default() / 1024.0
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// The value of a flag `--name=value` that it was started with.
    pub fn flag(self, name: &str) -> Option<String> {
        let line = fs::read(format!("/proc/{}/cmdline", self.0)).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let prefix = format!("--{name}=");
        line.split('\0').find_map(|flag| flag.strip_prefix(&prefix).map(str::to_owned))
    }
}
