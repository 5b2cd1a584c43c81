//! The engine's tests: real servers, real processes, real signals. Jobs are defined inside the
//! tests; nothing here names a sample job.

#[macro_use]
mod support;

mod docs; // the page of promises names tests that are there
mod layers; // who may import whom

mod board; // a browser on our own dashboard
mod browser; // a headless Chromium
mod child; // a worker process of its own
mod child_jobs; // … and its jobs
mod desk; // a browser on Sidekiq's own pages
mod load; // jobs of every kind, and the books about them
mod notify; // what systemd is to a service
mod program; // the real programs, and what they log
mod proxy; // loses replies and delays requests on demand
mod receiver; // takes webhooks
mod relay; // bytes on a port: led elsewhere, torn, late, broken
mod resp; // RESP, as far as the proxy needs it
mod trouble; // a server that does not serve, and says why

mod campaign; // a load, disturbed while it lasts, and judged
mod fleet; // many worker processes, and what is done to them
mod ledger; // what ran when and where
mod producer; // enqueues while a campaign lasts
mod toil; // the jobs of a campaign
mod verdict; // was anything lost, and is every repetition explained?

mod rounds; // one kind of fault after the other
mod soak; // as long as you like: bin/soak
mod table; // what came of it

mod author; // what an author of jobs may do
mod brimful; // 25 MB, and not a byte left
mod buffered; // a client that keeps jobs while Redis is away
mod buffered_faults; // … and sends each once, whatever is lost on the way
mod clocks; // wall clocks that are off, or jump
mod crashes; // kill -9, and jobs that kill their process
mod cron; // lines of jobs at set times
mod dashboard; // the dashboard, in a browser: what it shows, and what strangers put into it
mod dashboard_acts; // … its buttons, on real jobs and processes
mod dashboard_crowd; // … of a hundred thousand dead jobs
mod dashboard_live; // … followed, and by the keyboard
mod dashboard_look; // … in light and dark, at a desk and on a phone
mod data_loss; // Redis comes back without its last writes
mod deploys; // a thousand of them over one long job, and kills
mod enqueue; // what a plain client says while Redis is away
mod everything; // all that a job may ask for, in a storm
mod failover; // a replica takes over under load
mod fairness; // nobody takes more than it can start; weights
mod flow; // enqueue, run, retry, schedule: the calm case
mod footprint; // connections, and what an idle worker sends
mod foreign_keys; // something else stands under a key of ours
mod freeze; // SIGSTOP for longer than the record lives
mod full_redis; // maxmemory reached, nothing evicted
mod hostile; // payloads that were made to do harm
mod hostile_cases;
mod interop; // beside the real Sidekiq
mod iterable; // cursors: saved, carried on from, cancelled
mod job_faults; // jobs that panic and hang
mod large_jobs; // 5 MB each, several at once
mod late_requests; // the server sees a request long after the worker gave it up
mod limits; // no connections left, no memory, idle ones closed
mod lines; // what the log says of outages
mod looks; // what runs, waits, is due, and was: as a page asks for it
mod lost_replies; // the server executes a step and the worker never learns of it
mod many_jobs; // jobs that look alike, come from jobs, come in crowds
mod metrics; // the numbers of each class, as Sidekiq shows them
mod middleware; // around every run, around every push
mod notices; // what people are told of stuck jobs
mod odd_queues; // names with every odd character, and ten thousand of them
mod options; // what a type of job may ask for
mod outage; // the first one back leaves the others alone
mod pauses; // a queue of which nobody takes a job
mod pictures; // of the dashboard, for the README
mod queue_limits; // so many jobs of a queue at once, over all processes
mod queue_lists; // QUEUES as Resque reads it
mod queue_rates; // so many starts in a second
mod redis_faults; // Redis dies, drops clients, forgets scripts, falls silent
mod refusals; // Redis is there and says no
mod remote; // quiet, list, and commands through Redis
mod secrets; // user and password in the URL
mod sets; // pages of what waits or is dead, and what people do with what they chose
mod shared_writes;
mod sidekiq_web; // Sidekiq's own pages and buttons, in a browser
mod status; // how far a job is, by its jid
mod stops; // TERM: short jobs finish, long ones go back
mod storm; // all the ways a process can end, at once
mod strangers; // what they put wherever they may write
mod stuck; // the stuck-worker script of Sidekiq's operators, and our answer to it
mod supervision; // what systemd hears of a process that is stuck
mod testing; // … and what helps to test them
mod tls; // rediss:// against a self-signed chain
mod torn_streams; // byte by byte, late, cut, shut, stalled, reset
mod unheard; // no notice comes twice
mod watchdog; // a process that is stuck, or too large, makes room for a fresh one
