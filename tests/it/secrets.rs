//! Who we are to Redis: user and password in the URL. A wrong one is told clearly and once, and
//! none is ever in a log, whatever its level.

use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

use crate::program::{Program, free_port};
use crate::support::{Server, eventually};
use crate::tls::{Chain, tls_server};

const PROGRAMS: [&str; 2] = ["worker", "web"];
/// The core of all passwords below: escaping, of any kind, leaves it as it is.
const CORE: &str = "S3kr1t";
const PASSWORD: &str = "S3kr1t@x/y:z%#?";
const ESCAPED: &str = "S3kr1t%40x%2Fy%3Az%25%23%3F";

/// A server on a TLS port and a plain one, with an ACL user `app`, whose password has every odd
/// character, and the same password for those who name no user.
async fn guarded(dir: &std::path::Path) -> (Server, u16, u16) {
    Chain::new(dir);
    let (tls, plain) = (free_port(), free_port());
    let server = tls_server(dir, tls).await;
    let () = server.query(&format!("CONFIG SET port {plain}")).await;
    let () = server.query(&format!("ACL SETUSER app on >{PASSWORD} ~* &* +@all")).await;
    let () = server.query(&format!("ACL SETUSER default resetpass >{PASSWORD}")).await;
    (server, tls, plain)
}

/// A connection that stays allowed.
async fn admin(server: &Server) -> MultiplexedConnection {
    let url = format!("{}?user=app&pass={ESCAPED}", server.url());
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn ask<T: FromRedisValue>(connection: &MultiplexedConnection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(&mut connection.clone()).await.unwrap()
}

fn start(program: &str, url: &str) -> Program {
    Program::start(program, url, &[("REDIS_TLS_VERIFY", "none"), ("RUST_LOG", "trace")])
}

/// Neither as text nor as a list of bytes.
fn keeps_the_secret(program: &Program) {
    let log = program.log();
    let bytes = format!("{:?}", CORE.as_bytes());
    for shape in [CORE, bytes.trim_matches(['[', ']'])] {
        let line = log.lines().find(|line| line.contains(shape));
        assert!(line.is_none(), "{}", line.unwrap_or_default());
    }
}

#[tokio::test]
async fn user_and_password_let_in_and_stay_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, tls, plain) = guarded(dir.path()).await;
    for program in PROGRAMS {
        for user in ["app", ""] {
            for place in [
                format!("rediss://{user}:{ESCAPED}@localhost:{tls}/0"),
                format!("redis://{user}:{ESCAPED}@localhost:{plain}/0"),
            ] {
                let program = start(program, &place);
                program.says("connections").await; // what the server is, which needs a connection
                keeps_the_secret(&program);
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_is_told_once_and_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    let (server, tls, plain) = guarded(dir.path()).await;
    let refused = [
        (format!("rediss://app:{CORE}-wrong@localhost:{tls}"), "WRONGPASS"),
        (format!("redis://:{CORE}-wrong@localhost:{plain}"), "WRONGPASS"),
        (format!("redis://localhost:{plain}"), "NOAUTH"),
    ];
    let mut programs = Vec::new();
    for (url, code) in &refused {
        for program in PROGRAMS {
            let program = start(program, url);
            let headline = program.says("Redis refuses us").await;
            assert!(headline.contains(code), "{headline}");
            programs.push(program);
        }
    }
    let admin = admin(&server).await;
    let attempts = async || {
        let stats: String = ask(&admin, &["INFO", "stats"]).await;
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse::<usize>().unwrap()
    };
    let before = attempts().await;
    eventually("all have tried again", async || attempts().await > before + 6 * programs.len())
        .await;
    let () = ask(&admin, &["ACL", "SETUSER", "app", &format!(">{CORE}-wrong")]).await;
    let () = ask(&admin, &["ACL", "SETUSER", "default", "nopass"]).await;
    for program in &programs {
        program.says("connections").await;
        assert_eq!(program.said("Redis refuses us"), 1, "{}", program.log());
        assert_eq!(program.said("Redis is not reachable"), 0, "{}", program.log());
        keeps_the_secret(program);
    }
}

#[tokio::test]
async fn an_unreachable_server_does_not_bring_it_to_light() {
    for program in PROGRAMS {
        for scheme in ["redis", "rediss"] {
            let port = free_port();
            let program = start(program, &format!("{scheme}://app:{ESCAPED}@localhost:{port}/0"));
            program.says("Redis is not reachable").await;
            keeps_the_secret(&program);
        }
    }
}
