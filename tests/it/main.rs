//! The engine's tests: real servers, real processes, real signals. Jobs are defined inside the
//! tests; nothing here names a sample job.

#[macro_use]
mod support;

mod layers; // who may import whom

mod child; // a worker process of its own, and its jobs
mod proxy; // loses replies and delays requests on demand
mod resp; // RESP, as far as the proxy needs it

mod author; // what an author of jobs may do
mod crashes; // kill -9, and jobs that kill their process
mod flow; // enqueue, run, retry, schedule: the calm case
mod footprint; // connections, and what an idle worker sends
mod freeze; // SIGSTOP for longer than the record lives
mod full_redis; // maxmemory reached, nothing evicted
mod hostile; // payloads that were made to do harm
mod job_faults; // jobs that panic, hang, come in crowds
mod large_jobs; // 5 MB each, several at once
mod late_requests; // the server sees a request long after the worker gave it up
mod lost_replies; // the server executes a step and the worker never learns of it
mod odd_queues; // names with every odd character, and ten thousand of them
mod outage; // the first one back leaves the others alone
mod redis_faults; // Redis dies, drops clients, forgets scripts, falls silent
mod remote; // quiet, list, and commands through Redis
mod stops; // TERM: short jobs finish, long ones go back
mod tls;
mod watchdog; // a process that is stuck, or too large, makes room for a fresh one // rediss:// against a self-signed chain
