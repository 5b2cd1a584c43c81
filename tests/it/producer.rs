//! Enqueues jobs for as long as a campaign lasts, and keeps account of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roustabout::engine::{Client, EnqueueError, Redis};
use tokio::task::JoinHandle;

use crate::toil;

/// What the producer has enqueued: for certain, and perhaps.
#[derive(Clone, Default)]
pub struct Pushed {
    pub certain: Vec<(String, u32)>,
    pub doubtful: Vec<(String, u32)>,
}

/// Enqueues until told to stop.
pub struct Producer {
    pub pushed: Arc<Mutex<Pushed>>,
    enough: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Producer {
    pub fn start(redis: Redis, pace: f64) -> Producer {
        let (pushed, enough) = (Arc::<Mutex<Pushed>>::default(), Arc::<AtomicBool>::default());
        let task = tokio::spawn({
            let (pushed, enough) = (pushed.clone(), enough.clone());
            async move {
                let client = Client::new(redis);
                let (began, mut number) = (Instant::now(), 0.0);
                while !enough.load(Ordering::Relaxed) {
                    enqueue(&client, &pushed).await;
                    number += 1.0;
                    let due = Duration::from_secs_f64(number / pace);
                    tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
                }
            }
        });
        Producer { pushed, enough, task }
    }

    pub fn count(&self) -> usize {
        self.pushed.lock().expect("no panic").certain.len()
    }

    pub async fn end(self) -> Pushed {
        self.enough.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic");
        self.pushed.lock().expect("no panic").clone()
    }
}

/// One job, again and again under the same jid as long as the answer is that it was not
/// enqueued; some for later.
async fn enqueue(client: &Client, pushed: &Mutex<Pushed>) {
    let (mut payload, steps) = toil::any();
    let jid = format!("{:016x}", fastrand::u64(..));
    payload.set("jid", &jid);
    if fastrand::u8(..100) < 3 {
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs_f64();
        payload.set("at", now + 1.0 + 2.0 * fastrand::f64());
    }
    loop {
        let result = client.push(payload.clone()).await;
        let mut pushed = pushed.lock().expect("no panic");
        match result {
            Ok(_) => return pushed.certain.push((jid, steps)),
            Err(EnqueueError::Unknown(_)) => return pushed.doubtful.push((jid, steps)),
            Err(EnqueueError::Unavailable(_) | EnqueueError::Full) => {}
            Err(error) => panic!("{error}"),
        }
        drop(pushed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
