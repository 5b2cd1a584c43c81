//! The record of a storm: every start and every end of a run, and every blow that the driver
//! deals, in one list in the order in which they happened.
//!
//! It is kept by a server of its own, which nobody disturbs. The driver notes a blow before it
//! strikes and goes on when the note is there, so whatever the blow causes stands behind it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{FromRedisValue, cmd};
use roustabout::engine::{JobContext, Redis, Stop};

use crate::child::Book;

const LINES: &str = "test:ledger";

/// A handle on the list.
#[derive(Clone)]
pub struct Ledger {
    redis: Redis,
}

/// When something happened: its place in the list, and the clock of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    pub place: usize,
    pub ms: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Ok,
    Failed,
    /// It was told to leave, or that the job is no longer its own.
    Left,
}

/// One run of a job.
#[derive(Clone, Debug)]
pub struct Run {
    pub jid: String,
    pub worker: String,
    pub attempt: u32,
    pub start: Moment,
    pub end: Option<(End, Moment)>,
}

/// What the driver did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sign {
    Kill,
    Freeze,
    Thaw,
    /// TERM or TSTP, with the grace of the process in ms.
    Stop(u64),
    /// Redis, or the way to it, is disturbed from here …
    Fault,
    /// … to here.
    Healed,
}

/// A blow, and the worker that it hit.
#[derive(Clone, Debug)]
pub struct Mark {
    pub sign: Sign,
    pub worker: String,
    pub moment: Moment,
}

/// The list, read.
#[derive(Default)]
pub struct Record {
    pub runs: Vec<Run>,
    pub marks: Vec<Mark>,
}

impl Ledger {
    pub fn on(redis: Redis) -> Ledger {
        Ledger { redis }
    }

    /// Asks until there is an answer: a machine under load may be late.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        loop {
            if let Ok(answer) = self.redis.query(&command).await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Notes a line. One that comes twice, because a reply was late, is read once.
    async fn note(&self, line: String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        self.ask(&["RPUSH", LINES, &format!("{line} {now}")]).await
    }

    pub async fn mark(&self, sign: Sign, worker: &str) {
        let (word, grace) = match sign {
            Sign::Kill => ("kill", 0),
            Sign::Freeze => ("freeze", 0),
            Sign::Thaw => ("thaw", 0),
            Sign::Stop(grace) => ("stop", grace),
            Sign::Fault => ("fault", 0),
            Sign::Healed => ("healed", 0),
        };
        let nonce = fastrand::u64(..);
        self.note(format!("{word} {nonce:x} {worker} {grace}")).await;
    }

    pub async fn length(&self) -> usize {
        self.ask(&["LLEN", LINES]).await
    }

    pub async fn read(&self) -> Record {
        let lines: Vec<String> = self.ask(&["LRANGE", LINES, "0", "-1"]).await;
        Record::of(lines.iter().map(String::as_str))
    }
}

/// A run with its start and its end noted.
pub async fn recorded(
    cx: &JobContext<Book>,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let (ledger, run) = (&cx.app.ledger, fastrand::u64(..));
    let (jid, worker, attempt) = (cx.jid(), &cx.app.name, cx.attempt());
    ledger.note(format!("start {run:x} {jid} {worker} {attempt}")).await;
    let result = work.await;
    let end = match &result {
        Ok(()) => "ok",
        Err(error) if error.is::<Stop>() => "left",
        Err(_) => "failed",
    };
    ledger.note(format!("{end} {run:x}")).await;
    result
}

impl Record {
    pub fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Record {
        let mut record = Record::default();
        let (mut seen, mut runs) = (std::collections::HashSet::new(), HashMap::new());
        for (place, line) in lines.enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, id, ref more @ .., ms] = words[..] else { panic!("no line: {line}") };
            let moment = Moment { place, ms: ms.parse().expect("a time") };
            if !seen.insert((what, id)) {
                continue;
            }
            match (what, more) {
                ("start", [jid, worker, attempt]) => {
                    runs.insert(id, record.runs.len());
                    record.runs.push(Run {
                        jid: jid.to_string(),
                        worker: worker.to_string(),
                        attempt: attempt.parse().expect("an attempt"),
                        start: moment,
                        end: None,
                    });
                }
                ("ok", []) => record.runs[runs[id]].end = Some((End::Ok, moment)),
                ("failed", []) => record.runs[runs[id]].end = Some((End::Failed, moment)),
                ("left", []) => record.runs[runs[id]].end = Some((End::Left, moment)),
                (sign, [worker, grace]) => {
                    let sign = Sign::of(sign, grace.parse().expect("a grace"));
                    record.marks.push(Mark { sign, worker: worker.to_string(), moment });
                }
                _ => panic!("no line: {line}"),
            }
        }
        record
    }
}

impl Sign {
    fn of(word: &str, grace: u64) -> Sign {
        match word {
            "kill" => Sign::Kill,
            "freeze" => Sign::Freeze,
            "thaw" => Sign::Thaw,
            "stop" => Sign::Stop(grace),
            "fault" => Sign::Fault,
            "healed" => Sign::Healed,
            _ => panic!("no sign: {word}"),
        }
    }
}
