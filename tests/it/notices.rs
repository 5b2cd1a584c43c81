//! What people are told of stuck jobs, by real processes to a real receiver: when a job passes
//! its limit, when its process goes for it, when another has taken the place. And that telling
//! never costs more than it is worth.

use std::time::Duration;

use roustabout::engine::{Notice, Registry, Stopped, Worker, inspect};

use crate::child::{Block, Child, Nap, Note, Setup, notes};
use crate::receiver::Receiver;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

/// The child's runtime has two threads.
const THREADS: usize = 2;
/// What no notice and no log may show: an argument.
const LONG: u64 = 77_777_777;

fn telling(server: &Server, receiver: &Receiver) -> Setup {
    let notices = Some((receiver.url.clone(), true));
    Setup { notices, grace: Duration::from_secs(1), ..Setup::new(server) }
}

/// Jobs may take a second.
fn hurried(server: &Server, receiver: &Receiver) -> Setup {
    Setup { job_timeout: Some(Duration::from_secs(1)), ..telling(server, receiver) }
}

fn stalling(server: &Server, receiver: &Receiver) -> Setup {
    Setup { stall_timeout: Some(Duration::from_secs(3)), ..telling(server, receiver) }
}

/// Jobs hold so many threads, as the watchdog has seen.
async fn block(child: &Child, server: &Server, threads: usize) {
    client(server).enqueue_all((0..threads).map(|_| Block {})).await.unwrap();
    let late = || child.log().matches("the job holds a thread").count();
    eventually("they hold their threads", async || late() == threads).await;
}

async fn naps(server: &Server, n: usize) {
    client(server).enqueue_all((0..n).map(|_| Nap { millis: LONG })).await.unwrap();
}

async fn failed(child: &Child, times: usize) {
    let count = || child.log().matches("failed: again").count();
    eventually("they failed", async || count() == times).await;
}

async fn told(receiver: &Receiver, words: &str) -> String {
    eventually(words, async || receiver.count(words) > 0).await;
    receiver.texts().into_iter().find(|text| text.contains(words)).unwrap()
}

#[tokio::test]
async fn a_job_past_its_limit_is_told_of_once_an_hour() {
    let (server, receiver) = (Server::start().await, Receiver::start());
    let child = hurried(&server, &receiver).start();
    let identity = child.identity(&server).await;
    let jid = client(&server).enqueue(Nap { millis: LONG }).await.unwrap();
    let text = told(&receiver, &jid).await;
    for words in ["Nap", "on default", "running for ", &identity, "counts as failed"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains(&LONG.to_string()), "{text}");
    // its retry runs into the limit too
    eventually("its retry", async || server.query::<u32>("ZCARD retry").await == 1).await;
    let retry: Vec<String> = server.query("ZRANGE retry 0 -1").await;
    let mut sooner = redis::cmd("ZADD");
    sooner.arg("retry").arg(1).arg(&retry[0]);
    let () = sooner.query_async(&mut server.connect().await).await.unwrap();
    failed(&child, 2).await;
    let other = client(&server).enqueue(Nap { millis: LONG }).await.unwrap();
    told(&receiver, &other).await;
    assert_eq!((receiver.texts().len(), receiver.count(&jid)), (2, 1), "{:?}", receiver.texts());
    child.stop().await;
}

#[tokio::test]
async fn a_process_that_goes_for_a_job_is_told_of_and_its_successor_says_so_once() {
    let (server, receiver) = (Server::start().await, Receiver::start());
    let place = [("DYNO", "worker.7")];
    let mut child = stalling(&server, &receiver).start_with(&place);
    let gone = child.identity(&server).await;
    let jid = client(&server).enqueue(Block {}).await.unwrap();
    assert_eq!(child.ended().await, Some(70), "{}", child.log());
    let texts = receiver.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    for words in ["Block", &*jid, "on default", &*gone, "exit 70"] {
        assert!(texts[0].contains(words), "{words}: {texts:?}");
    }
    // somewhere else is not its place
    let elsewhere = telling(&server, &receiver).start_with(&[("DYNO", "worker.8")]);
    elsewhere.identity(&server).await;
    let next = [0; 3].map(|_| telling(&server, &receiver).start_with(&place));
    for child in &next {
        child.identity(&server).await;
    }
    let text = told(&receiver, "is back after").await;
    for words in ["worker.7:", "Block", &*jid, &*gone] {
        assert!(text.contains(words), "{words}: {text}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await; // for another one to say so too
    assert_eq!(receiver.texts().len(), 2, "{:?}", receiver.texts());
    assert_eq!(server.query::<u32>("EXISTS roustabout:stopped:worker.7").await, 0);
}

job!(Idle {}, |_this, _cx| Ok(()));

#[tokio::test]
async fn of_many_that_start_at_once_one_says_that_it_is_back() {
    let (server, diary) = (Server::start().await, Diary::default());
    let launch = || {
        let diary = diary.clone();
        let registry = Registry::new(diary.clone()).job::<Idle>();
        let worker = Worker::new(brisk(), server.redis(), registry);
        Running::launch(worker.notices(move |notice| match notice {
            Notice::Back { stopped, after, .. } if after.as_secs() >= 60 => {
                diary.note(stopped.process);
            }
            other => diary.note(format!("{other:?}")),
        }))
    };
    let registered = async || server.query::<Vec<String>>("SMEMBERS processes").await;
    let first = launch();
    eventually("one", async || registered().await.len() == 1).await;
    let (place, _) =
        registered().await[0].split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let gone = Stopped { process: format!("{place}:1:gone"), at: 1.0, jobs: Vec::new() };
    inspect::remember(&server.redis(), &gone).await.unwrap();
    let others: Vec<Running> = (0..8).map(|_| launch()).collect();
    eventually("all", async || registered().await.len() == 9).await;
    eventually("it is said", async || diary.len() > 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // for another one to say so too
    assert_eq!(diary.lines(), [gone.process]);
    first.stop().await;
    for worker in others {
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_runtime_that_is_stuck_gets_its_last_words_out() {
    let (server, receiver) = (Server::start().await, Receiver::start());
    let mut child = stalling(&server, &receiver).start();
    let identity = child.identity(&server).await;
    block(&child, &server, THREADS).await;
    assert_eq!(child.ended().await, Some(70), "{}", child.log());
    assert!(child.log().contains("stopped while the runtime was stuck"), "{}", child.log());
    let texts = receiver.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains(&identity) && texts[0].contains("Block"), "{texts:?}");
}

#[tokio::test]
async fn last_words_are_waited_for_but_not_for_long() {
    let (server, receiver) = (Server::start().await, Receiver::hanging());
    for threads in [1, THREADS] {
        let mut child = stalling(&server, &receiver).start();
        block(&child, &server, threads).await;
        assert_eq!(child.ended().await, Some(70), "{}", child.log());
        assert_eq!(child.log().matches("not delivered before").count(), 1, "{}", child.log());
        let () = server.query("FLUSHALL").await;
    }
    assert_eq!(receiver.texts().len(), 2, "a first attempt each: {:?}", receiver.texts());
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody_and_misses_only_a_number() {
    let (server, receiver) = (Server::start().await, Receiver::hanging());
    let mut child = Setup { concurrency: 50, ..hurried(&server, &receiver) }.start();
    naps(&server, 1).await;
    told(&receiver, "Nap").await;
    naps(&server, 43).await;
    failed(&child, 44).await;
    client(&server).enqueue(Note { name: "beside".into() }).await.unwrap();
    notes(&server, "beside").await;
    receiver.answer();
    let text = told(&receiver, "and 23 more").await;
    assert_eq!((text.lines().count(), text.matches("Nap").count()), (21, 20), "{text}");

    let hanging = Receiver::hanging();
    let mut other = hurried(&server, &hanging).start();
    child.kill();
    naps(&server, 1).await;
    told(&hanging, "Nap").await;
    other.signal("TERM");
    assert_eq!(other.ended().await, Some(0), "{}", other.log());
    assert_eq!(hanging.texts().len(), 1, "it left during the first attempt");
}

#[tokio::test]
async fn a_receiver_that_stumbles_is_tried_again_under_the_same_id() {
    let answers = &["503 Service Unavailable", "200 OK"];
    let (server, receiver) = (Server::start().await, Receiver::answering(answers));
    let child = hurried(&server, &receiver).start();
    naps(&server, 1).await;
    eventually("two attempts", async || receiver.posts().len() == 2).await;
    let posts = receiver.posts();
    assert!(posts[0] == posts[1] && !posts[0].0.is_empty(), "{posts:?}");
    failed(&child, 1).await;
    assert!(!child.log().contains("STUCK_JOB_WEBHOOK"), "{}", child.log());
    child.stop().await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_said_once_and_without_the_address() {
    let (server, receiver) = (Server::start().await, Receiver::start());
    let notices = Some((receiver.url.clone(), false));
    let private = Setup { notices, ..hurried(&server, &receiver) }.start();
    naps(&server, 1).await;
    private.logs("WEBHOOK_ALLOW_PRIVATE").await;
    private.stop().await;
    assert!(receiver.texts().is_empty(), "{:?}", receiver.texts());

    let receiver = Receiver::answering(&["410 Gone"]);
    let gone = hurried(&server, &receiver).start();
    for n in 1..=3 {
        naps(&server, 1).await;
        eventually("an attempt", async || receiver.texts().len() == n).await;
    }
    gone.logs("(410)").await;
    failed(&gone, 3).await;
    let log = gone.log();
    assert_eq!(log.matches("STUCK_JOB_WEBHOOK").count(), 1, "{log}");
    assert!(!log.contains("s3cret") && !log.contains(&LONG.to_string()), "{log}");
    gone.stop().await;
}
