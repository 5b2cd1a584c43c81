//! How a worker works, as numbers.

use std::time::Duration;

use super::limits::QueueLimits;
use super::queues::QueueList;

/// How a worker works. The times are options so that tests need not wait.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Jobs in progress at once.
    pub concurrency: usize,
    /// Which queues, in which order.
    pub queues: QueueList,
    /// How many jobs of a queue, over all processes, may be in progress or start.
    pub limits: QueueLimits,
    /// What running jobs get at a stop before they are given back.
    pub shutdown_timeout: Duration,
    /// What a job may take unless it says otherwise; `None` = no limit.
    pub job_timeout: Option<Duration>,
    /// How long a job may hold a thread of the runtime, or the runtime not answer, before the
    /// process gives up: the other jobs are given back, and `run` returns `Exit::Stalled`, or,
    /// where the runtime cannot even do that, the process exits with code 70. `None` = never.
    pub stall_timeout: Option<Duration>,
    /// Above this much resident memory, in MiB, no new job is taken, and `run` returns
    /// `Exit::Memory` when the last one has ended. `None` = no limit.
    pub memory_limit: Option<u64>,
    /// Whether the worker is only a part of its process, which serves HTTP besides: Sidekiq's API
    /// is told, and its commands to be quiet or to stop are not obeyed, as they would end more than
    /// jobs.
    pub embedded: bool,
    /// Whether to measure how long jobs waited in their queues ([`Readings`](super::Readings)).
    pub measure_waits: bool,
    /// Between two heartbeats.
    pub beat: Duration,
    /// How long the record of a silent process lives; after that it counts as dead.
    pub ttl: Duration,
    /// Between two looks for the jobs of dead processes.
    pub reap: Duration,
    /// Between two looks at all queues, whatever the server's notices say.
    pub safety_poll: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        WorkerOptions {
            concurrency: 10,
            queues: QueueList::default(),
            limits: QueueLimits::default(),
            shutdown_timeout: Duration::from_secs(25),
            job_timeout: Some(Duration::from_secs(1_800)),
            stall_timeout: Some(Duration::from_secs(60)),
            memory_limit: None,
            embedded: false,
            measure_waits: false,
            beat: Duration::from_secs(5),
            ttl: Duration::from_secs(20),
            reap: Duration::from_secs(3),
            safety_poll: Duration::from_secs(10),
        }
    }
}
