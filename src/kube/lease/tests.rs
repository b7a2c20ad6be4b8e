use super::*;
use proptest::prelude::*;

const TERMS: Terms = Terms {
    duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn record(holder: Option<&str>, version: u64, renewed: i64) -> Record {
    Record {
        holder: holder.map(str::to_owned),
        duration: TERMS.duration,
        acquired: time(0),
        renewed: time(renewed),
        transitions: 3,
        version: Some(version.to_string()),
    }
}

fn candidate(identity: &str) -> Candidate {
    Candidate::new(identity.to_owned(), TERMS)
}

#[test]
fn terms_leave_time_to_renew_before_they_end() {
    assert_eq!(Terms::default(), TERMS);
    TERMS.check().unwrap();
    for wrong in [
        Terms { renew_deadline: secs(15), ..TERMS },
        Terms { retry_period: secs(6), ..TERMS },
        Terms { retry_period: Duration::ZERO, ..TERMS },
        Terms { duration: ms(15_500), ..TERMS },
        Terms { duration: secs(4000), ..TERMS },
    ] {
        wrong.check().unwrap_err();
    }
}

#[test]
fn a_fresh_cluster_and_a_lease_that_was_given_back_are_taken_at_once() {
    let start = Instant::now();
    let mut first = candidate("a");
    assert_eq!(first.see(None, start, time(0)), Next::Claim);
    let claim = first.claim(time(0));
    assert_eq!((claim.version, claim.transitions, first.former()), (None, 0, None));

    let mut second = candidate("b");
    assert_eq!(second.see(Some(record(Some("a"), 1, 0)), start, time(0)), Next::Wait);
    assert_eq!(second.see(Some(record(None, 2, 1)), start + secs(2), time(2)), Next::Claim);
    let claim = second.claim(time(2));
    assert_eq!((claim.holder.as_deref(), claim.transitions, claim.version.as_deref()), (Some("b"), 4, Some("2")));
    assert_eq!(second.former(), None, "nothing of the former leader is under way");
}

#[test]
fn a_dead_leader_is_followed_after_the_duration_and_the_end_of_its_lease_is_known() {
    let start = Instant::now();
    let mut other = candidate("b");
    for at in [0, 2, 4, 6, 8, 10, 12, 14, 15] {
        // By a clock that is an hour wrong.
        assert_eq!(other.see(Some(record(Some("a"), 7, -3600)), start + secs(at), time(0)), Next::Wait, "after {at} s");
    }
    assert_eq!(other.see(Some(record(Some("a"), 7, -3600)), start + ms(15_001), time(15)), Next::Claim);
    assert_eq!(other.former(), Some(time(15 - 3600)));

    let mut other = candidate("b");
    let _ = other.see(Some(record(Some("a"), 7, 3600)), start, time(0));
    assert_eq!(other.former(), Some(time(15)), "nobody renewed after it was seen");
}

#[test]
fn a_renewal_begins_the_wait_anew_and_so_does_silence_of_the_api_server() {
    let start = Instant::now();
    let mut other = candidate("b");
    assert_eq!(other.see(Some(record(Some("a"), 1, 0)), start, time(0)), Next::Wait);
    assert_eq!(other.see(Some(record(Some("a"), 2, 9)), start + secs(9), time(9)), Next::Wait);
    assert_eq!(other.see(Some(record(Some("a"), 2, 9)), start + secs(18), time(18)), Next::Wait);
    // Ten minutes without an answer: the holder could not renew either.
    assert_eq!(other.see(Some(record(Some("a"), 2, 9)), start + secs(618), time(618)), Next::Wait);
    assert_eq!(other.see(Some(record(Some("a"), 2, 9)), start + secs(626), time(626)), Next::Wait);
    assert_eq!(other.see(Some(record(Some("a"), 2, 9)), start + secs(634), time(634)), Next::Claim);
    assert_eq!(other.former(), Some(time(24)));
}

#[test]
fn who_lost_the_lease_to_another_does_not_come_back() {
    let start = Instant::now();
    for after in [Some(record(Some("b"), 9, 30)), Some(record(None, 9, 30)), None] {
        let mut leader = candidate("a");
        assert_eq!(leader.see(None, start, time(0)), Next::Claim);
        leader.won(record(Some("a"), 1, 0), start);
        assert_eq!(leader.until(), Some(start + secs(10)));
        assert_eq!(leader.see(after, start + secs(31), time(31)), Next::Lost);
    }
}

#[test]
fn who_could_not_renew_and_finds_the_lease_still_his_goes_on() {
    let start = Instant::now();
    let mut leader = candidate("a");
    leader.won(record(Some("a"), 1, 0), start);
    // The write arrived, its answer did not.
    assert_eq!(leader.see(Some(record(Some("a"), 2, 5)), start + secs(60), time(60)), Next::Claim);
    assert_eq!(leader.until(), Some(start + secs(10)), "only an answer lengthens it");
    let claim = leader.claim(time(60));
    assert_eq!((claim.transitions, claim.version.as_deref()), (3, Some("2")));
    leader.won(record(Some("a"), 3, 60), start + secs(60));
    assert_eq!(leader.until(), Some(start + secs(70)));
}

#[test]
fn a_deleted_lease_ends_no_leadership() {
    let start = Instant::now();
    let mut other = candidate("b");
    let _ = other.see(Some(record(Some("a"), 1, 0)), start, time(0));
    assert_eq!(other.see(None, start + secs(8), time(8)), Next::Wait);
    assert_eq!(other.see(None, start + secs(16), time(16)), Next::Claim);
    assert_eq!(other.claim(time(16)).version, None);
    assert_eq!(other.former(), Some(time(15)));
}

/// The Lease as the API server has it: a write counts only with the version that it has.
#[derive(Default)]
struct Server {
    lease: Option<Record>,
    version: u64,
}

impl Server {
    fn write(&mut self, record: &Record) -> Option<Record> {
        let now = self.lease.as_ref().and_then(|lease| lease.version.clone());
        if record.version != now {
            return None;
        }
        self.version += 1;
        self.lease = Some(Record { version: Some(self.version.to_string()), ..record.clone() });
        self.lease.clone()
    }
}

/// What one exchange with the API server meets, in milliseconds.
#[derive(Clone, Debug)]
struct Weather {
    there: u64,
    back: u64,
    lost: bool,
    /// How long the process is frozen after it.
    frozen: u64,
    /// The process ends in order instead, and another begins in its place.
    ends: bool,
}

fn weather() -> impl Strategy<Value = Weather> {
    let delay = prop_oneof![4 => 0..300_u64, 1 => 0..30_000_u64];
    let frozen = prop_oneof![6 => Just(0_u64), 1 => 0..60_000_u64];
    (delay.clone(), delay, prop::bool::weighted(0.2), frozen, prop::bool::weighted(0.05))
        .prop_map(|(there, back, lost, frozen, ends)| Weather { there, back, lost, frozen, ends })
}

/// What happens next, and when.
enum Turn {
    /// A read is sent.
    Look,
    /// A read is answered.
    Seen(Option<Record>),
    /// A write is sent.
    Send,
    /// A write arrives at the API server; the candidate of this number waits for the answer, or does not any more.
    Arrive { claim: Record, sent: u64, generation: usize },
    /// Its answer arrives.
    Answer { stored: Option<Record>, sent: u64 },
}

struct World {
    start: Instant,
    server: Server,
    /// Each with what its own monotonic clock and its wall clock are ahead.
    candidates: Vec<(Candidate, u64, i64)>,
    /// How many processes there were in each place.
    generations: Vec<usize>,
    weather: Vec<std::vec::IntoIter<Weather>>,
    queue: Vec<(u64, usize, usize, Turn)>,
}

impl World {
    fn instant(&self, who: usize, at: u64) -> Instant {
        self.start + ms(self.candidates[who].1 + at)
    }

    fn clock(&self, who: usize, at: u64) -> Timestamp {
        time(self.candidates[who].2 + i64::try_from(at / 1000).unwrap())
    }

    fn leads(&self, who: usize, at: u64) -> bool {
        self.candidates[who].0.until().is_some_and(|until| self.instant(who, at) < until)
    }

    fn push(&mut self, at: u64, who: usize, turn: Turn) {
        self.queue.push((at, who, self.generations[who], turn));
    }

    fn begin_anew(&mut self, who: usize) {
        self.generations[who] += 1;
        self.candidates[who].0 = candidate(&format!("{who}-{}", self.generations[who]));
    }

    /// One turn; none, if there is none left.
    fn turn(&mut self) -> Option<u64> {
        let next = (0..self.queue.len()).min_by_key(|i| self.queue[*i].0)?;
        let (at, who, generation, turn) = self.queue.swap_remove(next);
        if let Turn::Arrive { claim, sent, generation } = turn {
            // Whoever sent it may have given up meanwhile: it counts all the same.
            let stored = self.server.write(&claim);
            if generation == self.generations[who] && at - sent < 5000 {
                let weather = self.weather[who].next()?;
                let back = at + weather.back;
                if weather.lost || back - sent >= 5000 {
                    self.push(sent + 5000 + weather.frozen, who, Turn::Look);
                } else {
                    self.push(back + weather.frozen, who, Turn::Answer { stored, sent });
                }
            } else if generation == self.generations[who] {
                self.push(at, who, Turn::Look);
            }
            return Some(at);
        }
        if generation != self.generations[who] {
            return Some(at);
        }
        match turn {
            Turn::Look => {
                let weather = self.weather[who].next()?;
                if weather.ends {
                    let given_back = self.candidates[who].0.given_back(self.clock(who, at));
                    self.begin_anew(who);
                    if let Some(claim) = given_back {
                        // Of a process that is no more: nobody waits for it.
                        self.queue.push((at + weather.there, who, 0, Turn::Arrive { claim, sent: at, generation: 0 }));
                    }
                    self.push(at + 100, who, Turn::Look);
                } else if weather.lost {
                    self.push(at + 2000 + weather.frozen, who, Turn::Look);
                } else {
                    let seen = self.server.lease.clone();
                    self.push(at + weather.back + weather.frozen, who, Turn::Seen(seen));
                }
            }
            Turn::Seen(seen) => {
                let (now, clock) = (self.instant(who, at), self.clock(who, at));
                match self.candidates[who].0.see(seen, now, clock) {
                    Next::Wait => self.push(at + 2000, who, Turn::Look),
                    Next::Claim => self.push(at, who, Turn::Send),
                    Next::Lost => {
                        self.begin_anew(who);
                        self.push(at + 1000, who, Turn::Look);
                    }
                }
            }
            Turn::Send => {
                let weather = self.weather[who].next()?;
                let claim = self.candidates[who].0.claim(self.clock(who, at));
                let generation = self.generations[who];
                self.push(at + weather.there, who, Turn::Arrive { claim, sent: at, generation });
            }
            Turn::Answer { stored: Some(stored), sent } => {
                let sent = self.instant(who, sent);
                self.candidates[who].0.won(stored, sent);
                self.push(at + 2000, who, Turn::Send);
            }
            Turn::Answer { stored: None, .. } => self.push(at, who, Turn::Look),
            Turn::Arrive { .. } => {}
        }
        Some(at)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn never_two_believe_to_lead(
        clocks in prop::collection::vec((0..100_000_000_u64, -7200..7200_i64), 3),
        weather in prop::collection::vec(prop::collection::vec(weather(), 120), 3),
    ) {
        let mut world = World {
            start: Instant::now(),
            server: Server::default(),
            candidates: clocks.iter().enumerate().map(|(i, (m, w))| (candidate(&format!("{i}-0")), *m, *w)).collect(),
            generations: vec![0; 3],
            weather: weather.into_iter().map(Vec::into_iter).collect(),
            queue: Vec::new(),
        };
        for who in 0..3 {
            world.push(u64::try_from(who).unwrap() * 700, who, Turn::Look);
        }
        let mut led = 0;
        while let Some(at) = world.turn() {
            let leaders = (0..3).filter(|who| world.leads(*who, at)).count();
            prop_assert!(leaders <= 1, "{leaders} lead after {at} ms");
            led += leaders;
        }
        prop_assert!(led > 0, "nobody ever led");
    }
}
