//! Waiting for a server that is near. To wake a thread takes as long as such a server needs for its
//! answer, and sending the wake costs it a good part of its time: so for a moment the answer is
//! looked for, in turns of the runtime that are everybody's, before the thread goes to sleep.

use std::pin::pin;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;

/// A server that answers in this time is near: on the same machine, most likely.
const NEAR: Duration = Duration::from_micros(200);
/// So long it is looked for.
const MOMENT: Duration = Duration::from_micros(80);

/// Knows whether it pays.
pub(crate) struct Lookout {
    /// With one core, looking for the answer would keep the server from giving it.
    possible: bool,
    /// The last answer came quickly. One from afar, or from a machine that is busy, is slept for.
    near: bool,
}

impl Lookout {
    pub(crate) fn new() -> Lookout {
        let cores = available_parallelism().map_or(1, usize::from);
        Lookout { possible: cores > 1, near: false }
    }

    /// What the answer is.
    pub(crate) async fn reply<F: Future>(&mut self, reply: F) -> F::Output {
        let asked = Instant::now();
        let reply = match self.near {
            true => look_out(reply).await,
            false => reply.await,
        };
        self.near = self.possible && asked.elapsed() < NEAR;
        reply
    }
}

async fn look_out<F: Future>(reply: F) -> F::Output {
    let (mut reply, until) = (pin!(reply), Instant::now() + MOMENT);
    while Instant::now() < until {
        tokio::select! {
            biased;
            reply = &mut reply => return reply,
            () = yield_now() => {}
        }
    }
    reply.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_kept_while_it_pays() {
        let mut lookout = Lookout { possible: true, near: false };
        while !lookout.near {
            assert_eq!(lookout.reply(async { 1 }).await, 1);
        }
        let slow = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            2
        };
        assert_eq!((lookout.reply(slow).await, lookout.near), (2, false));
        let mut one_core = Lookout { possible: false, near: false };
        one_core.reply(async {}).await;
        assert!(!one_core.near);
    }
}
