//! What a worker tells orchestrators on `WORKER_HEALTH_PORT`.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roustabout::engine::{
    Job, JobContext, Lifecycle, Redis as Connection, RedisOptions, Registry, TlsVerify, Worker,
    WorkerOptions,
};
use roustabout::health::Health;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exposition::Exposition;
use crate::http::get;
use crate::support::{Redis, Web, free_port, program, run, wait_for};
use crate::webhook::PRIVATE;

/// Waits until `/ready` says this.
fn ready(port: u16, status: u16, reason: &str) {
    wait_for(&format!("{status} {reason}"), || {
        let answer = get(port, "/ready");
        let fits = answer.status == status && answer.body.contains(reason);
        fits.then_some(())
    });
}

#[test]
fn a_worker_is_ready_while_redis_knows_it_and_lives_all_the_time() {
    let mut redis = Redis::absent();
    let mut worker = Web::worker(&redis, &[]);
    ready(worker.port, 503, "waiting for Redis");
    assert_eq!(worker.get("/live").json(), json!({"status": "live"}));
    redis.run();
    ready(worker.port, 200, "ready");
    let page = Exposition::read(&worker.get("/metrics").body);
    assert_eq!(page.value("roustabout_worker_ready"), 1.0);
    redis.stop();
    ready(worker.port, 503, "waiting for Redis");
    assert_eq!(worker.get("/live").status, 200);
    let page = Exposition::read(&worker.get("/metrics").body);
    assert_eq!(page.value("roustabout_worker_redis_up"), 0.0);
    assert_eq!(page.value("roustabout_worker_ready"), 0.0);
    redis.run();
    ready(worker.port, 200, "ready");
    worker.process.signal("TERM");
    assert_eq!(worker.process.end().code(), Some(0));
}

#[test]
fn it_answers_until_the_last_job_has_ended() {
    let redis = Redis::start();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", receiver.local_addr().unwrap());
    let job = json!({ "class": "DeliverWebhook", "args": [url, {}], "jid": "slow" });
    redis.ask::<()>(&["LPUSH", "queue:webhooks", &job.to_string()]);
    let mut worker = Web::worker(&redis, &[PRIVATE]);
    let (mut socket, _) = receiver.accept().unwrap();
    ready(worker.port, 200, "ready");
    worker.process.signal("TSTP");
    ready(worker.port, 503, "quiet");
    assert_eq!(worker.get("/live").status, 200);
    worker.process.signal("TERM");
    ready(worker.port, 503, "stopping");
    assert_eq!(worker.get("/live").status, 200);
    let page = Exposition::read(&worker.get("/metrics").body);
    assert_eq!(page.value("roustabout_worker_jobs_busy"), 1.0);
    socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(worker.process.end().code(), Some(0));
}

#[test]
fn a_frozen_process_is_ready_again_when_it_wakes() {
    let redis = Redis::start();
    let worker = Web::worker(&redis, &[]);
    ready(worker.port, 200, "ready");
    worker.process.signal("STOP");
    worker.process.signal("CONT");
    assert_eq!(worker.get("/live").status, 200);
    ready(worker.port, 200, "ready");
}

type Gate = Arc<Mutex<()>>;

/// Holds its thread as long as the gate is shut.
#[derive(Serialize, Deserialize)]
struct Hog {}

impl Job for Hog {
    type App = Gate;
    const CLASS: &'static str = "Hog";

    async fn perform(self, cx: JobContext<Gate>) -> anyhow::Result<()> {
        drop(cx.app.lock());
        Ok(())
    }
}

// with a worker in this process: none of the sample's jobs would do such a thing
#[test]
fn a_worker_that_jobs_block_is_first_not_ready_and_then_not_live() {
    let redis = Redis::start();
    let port = free_port();
    let health = Health::open(Some(port)).unwrap();
    ready(port, 503, "starting");
    let (gate, lifecycle) = (Gate::default(), Lifecycle::new());
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let shut = gate.lock().unwrap(); // gone before the runtime, which waits for its threads
    let (url, jobs, stop) = (redis.url(), gate.clone(), lifecycle.clone());
    let ended = runtime.spawn(async move {
        let options = RedisOptions::parse(&url, TlsVerify::Full).unwrap();
        let registry = Registry::new(jobs).job::<Hog>();
        let options_of_worker = WorkerOptions { stall_timeout: None, ..WorkerOptions::default() };
        let worker = Worker::new(options_of_worker, Connection::connect(options), registry);
        health.watch(&lifecycle, worker.meter());
        worker.run(lifecycle).await
    });
    ready(port, 200, "ready");
    let job = json!({ "class": "Hog", "args": [{}], "jid": "1" });
    redis.ask::<()>(&["LPUSH", "queue:default", &job.to_string()]);
    ready(port, 503, "has not answered");
    assert_eq!(get(port, "/live").status, 200, "too early to restart it");
    wait_for("not live", || (get(port, "/live").status == 503).then_some(()));
    let page = Exposition::read(&get(port, "/metrics").body);
    assert_eq!(page.value("roustabout_worker_jobs_busy"), 1.0);
    drop(shut);
    ready(port, 200, "ready");
    assert_eq!(get(port, "/live").status, 200);
    stop.stop();
    runtime.block_on(ended).unwrap().unwrap();
    runtime.shutdown_timeout(Duration::ZERO);
}

#[test]
fn a_worker_listens_nowhere_else() {
    let redis = Redis::start();
    let port = free_port().to_string();
    let worker = Web::worker(&redis, &[("PORT", &port)]);
    ready(worker.port, 200, "ready");
    assert!(TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_err());
    assert_eq!((worker.get("/").status, worker.get("/records").status), (404, 404));
}

#[test]
fn a_taken_port_is_one_line_and_1() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let vars = [("WORKER_HEALTH_PORT", &*port), ("RUST_LOG", "off")];
    let output = run(program("worker", &Redis::absent(), &vars));
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains(&format!("WORKER_HEALTH_PORT: {port} is in use")), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn web_has_the_port_only_with_a_worker_in_it() {
    let redis = Redis::start();
    let health = free_port();
    let vars = [("WORKER_HEALTH_PORT", &*health.to_string()), ("WORKER_EMBEDDED", "1")];
    let mut web = Web::ready(&redis, &vars);
    ready(health, 200, "ready");
    web.process.signal("TERM");
    web.process.end();
    let _web = Web::ready(&redis, &vars[..1]);
    assert!(TcpStream::connect(("127.0.0.1", health)).is_err());
}
