//! Deliveries to a receiver of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::support::{DEADLINE, Redis, wait_for, worker};

/// What arrived: headers as lines, and the body.
pub type Delivery = (Vec<String>, String);

/// A receiver that gives these answers in turn, the last one for ever.
pub fn receiver(answers: &'static [&'static str]) -> (u16, Receiver<Delivery>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, deliveries) = channel();
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let answer = answers[number.min(answers.len() - 1)];
            if sender.send(receive(socket.unwrap(), answer)).is_err() {
                return;
            }
        }
    });
    (port, deliveries)
}

fn receive(socket: TcpStream, answer: &str) -> Delivery {
    let mut reader = BufReader::new(socket);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = header(&head, "content-length").parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let reply = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    reader.get_mut().write_all(reply.as_bytes()).unwrap();
    (head, String::from_utf8(body).unwrap())
}

pub fn header<'a>(head: &'a [String], name: &str) -> &'a str {
    let lines = head.iter().filter_map(|line| line.split_once(": "));
    lines
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value)
}

/// Enqueues a delivery as a client in another language would.
pub fn enqueue(redis: &Redis, jid: &str, url: &str) {
    let args = json!([url, { "type": "test" }]);
    let job = json!({ "class": "DeliverWebhook", "args": args, "jid": jid, "retry": true });
    redis.ask::<()>(&["LPUSH", "queue:webhooks", &job.to_string()]);
}

pub const PRIVATE: (&str, &str) = ("WEBHOOK_ALLOW_PRIVATE", "true");

#[test]
fn a_refusal_is_retried_under_the_same_id() {
    let (port, deliveries) = receiver(&["302 Found\r\nlocation: http://127.0.0.1:1/"]);
    let redis = Redis::start();
    let _worker = worker(&redis, &[PRIVATE]);
    enqueue(
        &redis,
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        &format!("http://user:s3cret@127.0.0.1:{port}/hook?s3cret"),
    );
    let (head, _) = deliveries.recv_timeout(DEADLINE).unwrap();
    assert_eq!(header(&head, "webhook-id"), "aaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(header(&head, "webhook-signature"), "", "there is no secret to sign with");
    let retried: Vec<String> = wait_for("the retry", || {
        Some(redis.ask::<Vec<String>>(&["ZRANGE", "retry", "0", "-1"]))
            .filter(|retries| !retries.is_empty())
    });
    let job: Value = serde_json::from_str(&retried[0]).unwrap();
    assert_eq!(job["jid"], "aaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(job["error_message"], "the receiver answered 302");
}

#[test]
fn a_gone_receiver_is_left_alone() {
    let (port, deliveries) = receiver(&["410 Gone"]);
    let redis = Redis::start();
    let _worker = worker(&redis, &[PRIVATE]);
    enqueue(&redis, "bbbbbbbbbbbbbbbbbbbbbbbb", &format!("http://127.0.0.1:{port}/"));
    deliveries.recv_timeout(DEADLINE).unwrap();
    wait_for("the job to be over", || {
        let inflight: Vec<String> = redis.ask(&["KEYS", "roustabout:inflight:*"]);
        inflight.is_empty().then_some(())
    });
    assert_eq!(redis.ask::<usize>(&["ZCARD", "retry"]) + redis.ask::<usize>(&["ZCARD", "dead"]), 0);
}

#[test]
fn private_targets_are_never_connected_to() {
    let (port, deliveries) = receiver(&["204 No Content"]);
    let redis = Redis::start();
    let _worker = worker(&redis, &[]);
    let hosts = [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "LOCALHOST",
    ];
    for (number, host) in hosts.iter().enumerate() {
        enqueue(&redis, &format!("{number:024x}"), &format!("http://{host}:{port}/"));
    }
    wait_for("all to be buried", || {
        (redis.ask::<usize>(&["ZCARD", "dead"]) == hosts.len()).then_some(())
    });
    assert!(deliveries.try_recv().is_err());
    let dead: Vec<String> = redis.ask(&["ZRANGE", "dead", "0", "-1"]);
    assert!(dead.iter().all(|job| job.contains("WEBHOOK_ALLOW_PRIVATE")), "{dead:?}");
}
