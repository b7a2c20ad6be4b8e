//! The client's process: killed, stopped and continued by its id.

use rustix::process::{Pid, Signal, kill_process};
use std::{fs, io, path::PathBuf, time::Duration};

/// How the client's process is known.
#[derive(Clone, Debug, Default)]
pub enum Victim {
    /// It is not: what would kill it fails.
    #[default]
    Nobody,
    /// By its id.
    Id(i32),
    /// By a file with its id, read at the moment of need: a restarted client has another one.
    File(PathBuf),
}

impl Victim {
    /// The id of the process.
    ///
    /// # Errors
    /// If there is no process to know, or the file does not name one.
    pub fn id(&self) -> io::Result<i32> {
        match self {
            Self::Nobody => Err(io::Error::other("no process was named as the client")),
            Self::Id(id) => Ok(*id),
            Self::File(file) => fs::read_to_string(file)?.trim().parse().map_err(io::Error::other),
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.id()?).ok_or_else(|| io::Error::other("0 is no process"))?;
        kill_process(pid, signal).map_err(io::Error::from)
    }

    /// Kills it, and returns once it does nothing any more.
    ///
    /// # Errors
    /// If there is no such process, or it is still there after ten seconds.
    pub async fn kill(&self) -> io::Result<()> {
        let id = self.id()?;
        self.signal(Signal::KILL)?;
        self.reaches(id, "ZX").await
    }

    /// Stops it, and returns once it stands still.
    ///
    /// # Errors
    /// As with [`Victim::kill`].
    pub async fn freeze(&self) -> io::Result<()> {
        let id = self.id()?;
        self.signal(Signal::STOP)?;
        self.reaches(id, "TZX").await
    }

    /// Waits for one of these states (proc_pid_stat(5), field 3), or for its end.
    async fn reaches(&self, id: i32, states: &str) -> io::Result<()> {
        for _ in 0..5000 {
            match fs::read_to_string(format!("/proc/{id}/stat")) {
                Err(_) => return Ok(()),
                Ok(stat) => {
                    // The name, in parentheses, may hold anything.
                    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
                    if state.is_some_and(|state| states.contains(state)) {
                        return Ok(());
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(io::Error::other(format!("process {id} did not take the signal")))
    }
}

/// The signal of a name such as `TERM`.
#[must_use]
pub fn signal(name: &str) -> Option<Signal> {
    Some(match name {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => return None,
    })
}
