//! A server that is there and does not serve, for reasons of its own: each has a beginning, an end,
//! and words in which the server says it.

use redis::RedisResult;

use crate::support::{Server, eventually};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// It became a replica.
    ReadOnly,
    /// The same, and a replica without its master serves nothing at all.
    MasterDown,
    /// It starts again, and reads its data for a while.
    Loading,
    /// It wants replicas and has none.
    NoReplicas,
    /// It cannot save.
    Misconfigured,
    /// Some client's script does not end.
    Busy,
}

impl Trouble {
    pub const ALL: [Trouble; 6] = [
        Trouble::ReadOnly,
        Trouble::MasterDown,
        Trouble::Loading,
        Trouble::NoReplicas,
        Trouble::Misconfigured,
        Trouble::Busy,
    ];

    /// A server that can get into each of these.
    pub async fn prone() -> Server {
        let mut args = vec!["--save", "3600 1", "--appendonly", "yes", "--appendfsync", "always"];
        args.extend([
            "--key-load-delay",
            "3000",
            "--loading-process-events-interval-bytes",
            "1024",
        ]);
        args.extend(["--busy-reply-threshold", "100"]);
        let server = Server::with(&args).await;
        let mut ballast = redis::pipe();
        for n in 0..600 {
            ballast.cmd("SET").arg(format!("ballast:{n}")).arg("x".repeat(1_000)).ignore();
        }
        let () = ballast.query_async(&mut server.connect().await).await.unwrap();
        let () = server.query("BGREWRITEAOF").await; // slow to load is only what was rewritten
        eventually("it is rewritten", async || {
            let info: String = server.query("INFO persistence").await;
            info.contains("aof_rewrites:1") && info.contains("aof_rewrite_in_progress:0")
        })
        .await;
        server
    }

    /// What a connection that cannot be had is said to suffer from.
    pub fn words(self) -> &'static str {
        match self {
            Trouble::ReadOnly | Trouble::MasterDown => "READONLY",
            Trouble::Loading => "LOADING",
            Trouble::NoReplicas => "NOREPLICAS",
            Trouble::Misconfigured => "MISCONF",
            Trouble::Busy => "BUSY",
        }
    }

    pub async fn begin(self, server: &mut Server) {
        match self {
            Trouble::ReadOnly => server.query("REPLICAOF 127.0.0.1 1").await,
            Trouble::MasterDown => {
                let () = server.query("CONFIG SET replica-serve-stale-data no").await;
                server.query("REPLICAOF 127.0.0.1 1").await
            }
            Trouble::Loading => {
                server.kill();
                server.launch();
            }
            Trouble::NoReplicas => server.query("CONFIG SET min-replicas-to-write 1").await,
            Trouble::Misconfigured => {
                // the file that it would write stands for a directory
                let place = server.socket().with_file_name("dump.rdb").join("full");
                std::fs::create_dir_all(place).unwrap();
                eventually("it tries", async || try_to(server, "BGSAVE").await.is_ok()).await;
                let failed = async || {
                    let info: String = server.query("INFO persistence").await;
                    info.contains("rdb_last_bgsave_status:err")
                };
                eventually("saving fails", failed).await;
            }
            Trouble::Busy => {
                let mut other = server.connect().await;
                tokio::spawn(async move {
                    let mut endless = redis::cmd("EVAL");
                    endless.arg("while true do end").arg(0);
                    let _: RedisResult<()> = endless.query_async(&mut other).await;
                });
            }
        }
    }

    pub async fn end(self, server: &Server) {
        match self {
            Trouble::ReadOnly => server.query("REPLICAOF NO ONE").await,
            Trouble::MasterDown => {
                let () = server.query("REPLICAOF NO ONE").await;
                server.query("CONFIG SET replica-serve-stale-data yes").await
            }
            Trouble::Loading => server.answers().await,
            Trouble::NoReplicas => server.query("CONFIG SET min-replicas-to-write 0").await,
            Trouble::Misconfigured => {
                std::fs::remove_dir_all(server.socket().with_file_name("dump.rdb")).unwrap();
                eventually("saving works", async || try_to(server, "BGSAVE").await.is_ok()).await;
                let saved = async || {
                    let info: String = server.query("INFO persistence").await;
                    info.contains("rdb_last_bgsave_status:ok")
                };
                eventually("it has saved", saved).await;
            }
            Trouble::Busy => {
                let kill = "SCRIPT KILL";
                eventually("it is killed", async || try_to(server, kill).await.is_ok()).await;
            }
        }
    }
}

/// Runs a command that may be refused.
async fn try_to(server: &Server, words: &str) -> RedisResult<()> {
    let mut command = redis::Cmd::new();
    words.split(' ').for_each(|word| {
        command.arg(word);
    });
    command.query_async(&mut server.connect().await).await
}
