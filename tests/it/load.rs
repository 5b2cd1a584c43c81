//! A load of jobs of every kind, enqueued and run through whatever a test puts in between, and the
//! books about it: each was started as often as it had to be, and what its enqueueing said is true.

use std::time::{Duration, Instant};

use roustabout::engine::{Client, EnqueueError, Redis, Registry, Retry, WorkerOptions};

use crate::lost_replies::held;
use crate::support::{Diary, PATIENCE, Running, Server, brisk, eventually};

// by its number: works, fails once, saves cursors, works (it comes by schedule)
job!(Task { n: usize }, |this, cx| {
    let attempt = cx.attempt();
    cx.app.note(format!("{}/{attempt}", this.n));
    tokio::time::sleep(Duration::from_millis(5)).await;
    match this.n % KINDS {
        1 => anyhow::ensure!(attempt > 1, "no luck the first time"),
        2 => {
            for at in cx.cursor::<u32>().await?.unwrap_or(0)..3 {
                cx.checkpoint(at + 1).await?;
            }
        }
        _ => {}
    }
    Ok(())
});
// fails for good
job!(Doomed { n: usize } retry Retry::Times(0), |this, cx| {
    cx.app.note(format!("{}/{}", this.n, cx.attempt()));
    anyhow::bail!("no luck")
});

const KINDS: usize = 5;

/// What its enqueueing said about a job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    Yes,
    No,
    Perhaps,
}

/// The jobs so far.
pub struct Load {
    client: Client,
    diary: Diary,
    said: Vec<Said>,
}

impl Load {
    /// One that enqueues on this connection.
    pub fn on(redis: Redis) -> Load {
        Load { client: Client::new(redis), diary: Diary::default(), said: Vec::new() }
    }

    /// A worker for these jobs.
    pub fn worker(&self, redis: Redis, options: WorkerOptions) -> Running {
        let registry = Registry::new(self.diary.clone()).job::<Task>().job::<Doomed>();
        Running::start(options, redis, registry)
    }

    /// Enqueues one more; the error, if it came to one.
    pub async fn one_more(&mut self) -> Option<EnqueueError> {
        let n = self.said.len();
        let enqueued = match n % KINDS {
            4 => self.client.enqueue(Doomed { n }).await,
            3 => self.client.enqueue_in(Duration::from_millis(300), Task { n }).await,
            _ => self.client.enqueue(Task { n }).await,
        };
        self.said.push(match &enqueued {
            Ok(_) => Said::Yes,
            Err(EnqueueError::Unknown(_)) => Said::Perhaps,
            Err(_) => Said::No,
        });
        enqueued.err()
    }

    /// Enqueues this many more, at a pace that leaves time for something to happen.
    pub async fn more(&mut self, jobs: usize) {
        for _ in 0..jobs {
            self.one_more().await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until an enqueueing succeeds.
    pub async fn gets_through(&mut self) {
        let began = Instant::now();
        while let Some(error) = self.one_more().await {
            assert!(began.elapsed() < PATIENCE, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until an enqueueing fails.
    pub async fn is_refused(&mut self) {
        let began = Instant::now();
        while self.one_more().await.is_none() {
            assert!(began.elapsed() < PATIENCE, "all is well");
        }
    }

    /// How many have started so far, attempt by attempt.
    pub fn started(&self) -> usize {
        self.diary.len()
    }

    /// How many are enqueued for sure.
    pub fn enqueued(&self) -> usize {
        self.said.iter().filter(|said| **said == Said::Yes).count()
    }

    /// Waits until the server holds none of them any more, but for the dead.
    pub async fn settles(&self, server: &Server) {
        let left = "EXISTS queue:default schedule retry";
        eventually("all is done", async || {
            // those that failed need not wait for their time
            let () = server.query("ZUNIONSTORE retry 1 retry WEIGHTS 0").await;
            server.query::<u32>(left).await == 0 && held(server).await == 0
        })
        .await;
    }

    /// Each was started once per attempt, and none that was refused.
    pub async fn check(&self, server: &Server) {
        assert_eq!(self.surplus(server).await, 0, "{:?}", self.diary.lines());
    }

    /// Each was started; returns how many starts there were too many.
    pub async fn surplus(&self, server: &Server) -> usize {
        let mut dead = 0;
        let mut expected = 0;
        for (n, said) in self.said.iter().enumerate() {
            let wanted = if n % KINDS == 1 { 2 } else { 1 };
            let attempts: Vec<usize> =
                (1..=wanted).map(|attempt| self.diary.count(&format!("{n}/{attempt}"))).collect();
            let ran = attempts.iter().all(|starts| *starts > 0);
            let rests = attempts.iter().all(|starts| *starts == 0);
            match said {
                Said::Yes => assert!(ran, "{n} is lost: {attempts:?}"),
                Said::No => assert!(rests, "{n} ran though it was refused: {attempts:?}"),
                Said::Perhaps => assert!(ran || rests, "half of {n} is lost: {attempts:?}"),
            }
            expected += if ran { wanted } else { 0 };
            dead += usize::from(ran && n % KINDS == 4);
        }
        assert_eq!(server.query::<usize>("ZCARD dead").await, dead);
        assert!(server.query::<Vec<String>>("KEYS it-*").await.is_empty(), "cursors are left");
        self.diary.len() - expected
    }
}

/// Short times, with a lifetime that outlasts what a test takes away for a moment.
pub fn sturdy() -> WorkerOptions {
    WorkerOptions { ttl: Duration::from_secs(5), ..brisk() }
}
