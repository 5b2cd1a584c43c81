//! What a fetch brought, read from the reply of its script (`lua/fetch.lua`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use redis::{Value, from_redis_value};
use tokio::time::Instant;

use super::delivery::Delivery;
use super::field::Field;
use super::keys;
use super::serving::Serving;

#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) deliveries: Vec<Arc<Delivery>>,
    /// The queues that may have more. The others are empty, paused or at a limit, and will be
    /// heard of.
    pub(crate) rest: Vec<String>,
    /// Whose starts are used up, and until when.
    pub(crate) waits: Vec<(String, Instant)>,
    /// Some jobs have outlived their processes; perhaps these.
    pub(crate) rescues: bool,
}

impl Taken {
    /// `queues`: those that were asked for.
    pub(crate) fn read(
        reply: Vec<Value>,
        queues: &[String],
        batch: u64,
        serving: &Serving,
    ) -> Taken {
        let mut words = reply.into_iter();
        let rescues = words.next() == Some(Value::Int(1));
        let mut list = || words.next().and_then(|list| from_redis_value::<Vec<usize>>(list).ok());
        let settled: HashSet<usize> = list().unwrap_or_default().into_iter().collect();
        let (waits, now) = (list().unwrap_or_default(), Instant::now());
        let waits = waits.chunks_exact(2).map(|wait| {
            let until = now + Duration::from_millis(wait[1] as u64);
            (keys::queue(&queues[wait[0] - 1]), until)
        });
        let waits = waits.collect();
        let rest = queues.iter().enumerate().filter(|(k, _)| !settled.contains(&(k + 1)));
        let rest = rest.map(|(_, name)| keys::queue(name)).collect();
        let mut deliveries = Vec::with_capacity(words.len());
        while let (Some(Value::Int(queue)), Some(Value::Int(jobs))) = (words.next(), words.next()) {
            let queue: Arc<str> = queues[queue as usize - 1].as_str().into();
            for raw in words.by_ref().take(jobs as usize) {
                let Value::BulkString(raw) = raw else {
                    continue;
                };
                let field = Field { batch, index: deliveries.len() as u32 + 1 };
                deliveries.push(Delivery::new(field, queue.clone(), raw));
            }
        }
        deliveries.iter().for_each(|delivery| serving.mark(delivery));
        Taken { deliveries, rest, waits, rescues }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_what_came_and_what_to_look_at_again() {
        let number = Value::Int;
        let list = |numbers: &[i64]| Value::Array(numbers.iter().copied().map(number).collect());
        let job = |raw: &str| Value::BulkString(raw.into());
        let queues = ["a", "b", "c"].map(str::to_owned);
        let serving =
            Serving::new("a,b,c".parse().unwrap(), "a:2,c:1/s".parse().unwrap(), Vec::new());
        let reply = vec![
            number(1),
            list(&[1, 3]),
            list(&[3, 500]),
            number(1),
            number(2),
            job("x"),
            job("y"),
            number(3),
            number(1),
            job("z"),
        ];
        let taken = Taken::read(reply, &queues, 7, &serving);
        let names: Vec<String> = taken.deliveries.iter().map(|d| d.name()).collect();
        let limited: Vec<bool> = taken.deliveries.iter().map(|d| d.limited()).collect();
        assert_eq!(names, ["7:1:a", "7:2:a", "7:3:c"]);
        assert_eq!(limited, [true, true, false]);
        assert_eq!((&taken.rest[..], taken.rescues), (&["queue:b".to_owned()][..], true));
        assert_eq!(taken.waits.len(), 1);
        assert_eq!(taken.waits[0].0, "queue:c");
        assert!(taken.waits[0].1 > Instant::now());
    }
}
