//! What the server itself can do: the bare work of the same safety on one connection, without a
//! client that does anything with a job.

use std::time::{Duration, Instant};

use redis::{Client, Connection, ConnectionLike, Script, Value, cmd, pipe};

use crate::child::epoch;
use crate::server::Usage;

const QUEUE: &str = "load:limit";
const HELD: &str = "load:limit:held";
/// What the limit takes at a time.
pub const BATCH: usize = 100;
/// Jobs to a push that fills the queue.
const FILL: usize = 100;

/// Takes a batch and records it in the same step; the other half of the pair is one HDEL.
const FETCH: &str = "
    local jobs = redis.call('RPOP', KEYS[1], ARGV[1])
    if not jobs then return {} end
    local words = {}
    for i, job in ipairs(jobs) do
      words[2 * i - 1], words[2 * i] = i, job
    end
    redis.call('HSET', KEYS[2], unpack(words))
    return jobs";

fn connect() -> anyhow::Result<Connection> {
    Ok(Client::open(crate::url()?)?.get_connection()?)
}

/// Jobs per second, and Redis CPU in µs a job, of the bare pair.
pub async fn take_and_finish(
    redis: &roustabout::engine::Redis,
    jobs: usize,
    size: usize,
    batch: usize,
) -> anyhow::Result<(f64, f64)> {
    let fill = move || -> anyhow::Result<()> {
        let (mut connection, job) = (connect()?, "x".repeat(size));
        for _ in 0..jobs / FILL {
            let mut push = cmd("LPUSH");
            push.arg(QUEUE);
            push.arg(vec![job.as_str(); FILL]);
            push.exec(&mut connection)?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(fill).await??;
    let before = Usage::now(redis).await?;
    let took = tokio::task::spawn_blocking(move || drain(batch)).await??;
    let used = Usage::now(redis).await?.since(before);
    let jobs = (jobs / FILL * FILL) as f64;
    Ok((jobs / took.as_secs_f64(), used.cpu * 1e6 / jobs))
}

fn drain(batch: usize) -> anyhow::Result<Duration> {
    let (mut connection, script) = (connect()?, Script::new(FETCH));
    let mut load = cmd("SCRIPT");
    load.arg("LOAD").arg(FETCH).exec(&mut connection)?;
    let mut fetch = cmd("EVALSHA");
    fetch.arg(script.get_hash()).arg(2).arg(QUEUE).arg(HELD).arg(batch);
    let (fetch, mut done) = (fetch.get_packed_command(), cmd("HDEL"));
    done.arg(HELD);
    done.arg((1..=batch).collect::<Vec<_>>());
    let done = done.get_packed_command();
    let began = Instant::now();
    loop {
        match connection.req_packed_command(&fetch)? {
            Value::Array(jobs) if jobs.is_empty() => return Ok(began.elapsed()),
            _ => drop(connection.req_packed_command(&done)?),
        }
    }
}

/// Bare LPUSHes per second, as many in flight as given, on one connection.
pub fn push(jobs: usize, in_flight: usize, size: usize) -> anyhow::Result<f64> {
    let (mut connection, job) = (connect()?, "x".repeat(size));
    let mut round = pipe();
    for _ in 0..in_flight {
        round.cmd("LPUSH").arg(QUEUE).arg(&job);
    }
    let packed = round.get_packed_pipeline();
    let (rounds, began) = (jobs / in_flight, Instant::now());
    for _ in 0..rounds {
        connection.req_packed_commands(&packed, 0, in_flight)?;
    }
    let rate = (rounds * in_flight) as f64 / began.elapsed().as_secs_f64();
    cmd("DEL").arg(QUEUE).exec(&mut connection)?;
    Ok(rate)
}

/// From a push to the end of a plain blocking pop on one queue, in µs: jobs 20 ms apart.
pub fn blocking_pop(jobs: usize) -> anyhow::Result<Vec<u32>> {
    let reader = std::thread::spawn(move || -> anyhow::Result<Vec<u32>> {
        let (mut connection, mut late) = (connect()?, Vec::with_capacity(jobs));
        let mut pop = cmd("BRPOP");
        pop.arg(QUEUE).arg(10);
        while late.len() < jobs {
            let (_, moment): (String, f64) = pop.query(&mut connection)?;
            late.push(((epoch() - moment) * 1e6) as u32);
        }
        Ok(late)
    });
    let mut connection = connect()?;
    for _ in 0..jobs {
        std::thread::sleep(Duration::from_millis(20));
        cmd("LPUSH").arg(QUEUE).arg(epoch()).exec(&mut connection)?;
    }
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
}
