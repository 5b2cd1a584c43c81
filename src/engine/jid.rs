//! Job ids, and other names that nobody else may ever have.

use std::cell::RefCell;

/// Sidekiq's jids have 24 characters.
const LONGEST_JID: usize = 200;

/// What a job is known by: its jid, or, for one that a client pushed without, a name made from
/// its bytes. A jid that would fill keys and log lines with itself gets a short name too.
pub(crate) fn known_as(raw: &[u8], jid: Option<&str>) -> String {
    match jid {
        Some(jid) if jid.len() > LONGEST_JID => fingerprint(jid.as_bytes()),
        Some(jid) if !jid.is_empty() => jid.to_owned(),
        _ => fingerprint(raw),
    }
}

/// The same 24 hex digits for the same bytes, and for no others.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    hex(&ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()[..12])
}

/// 24 lower-case hex digits from 12 random bytes, as Sidekiq's.
pub(crate) fn new_jid() -> String {
    random_hex::<12>()
}

/// `N` random bytes in lower-case hex; at most as many as the store has.
pub(crate) fn random_hex<const N: usize>() -> String {
    thread_local! {
        static STORE: RefCell<Store> = const { RefCell::new(Store { bytes: [0; 3_072], used: 3_072 }) };
    }
    STORE.with_borrow_mut(|store| hex(&store.take::<N>()))
}

/// Random bytes from the system, many at a time: asking for each few would cost more than all
/// else about a push.
struct Store {
    bytes: [u8; 3_072],
    used: usize,
}

impl Store {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.bytes.len() - self.used < N {
            if getrandom::fill(&mut self.bytes).is_err() {
                self.bytes.iter_mut().for_each(|byte| *byte = fastrand::u8(..));
            }
            self.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[self.used..self.used + N]);
        self.used += N;
        taken
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_are_alike() {
        let mut seen = HashSet::new();
        for _ in 0..1_000 {
            let (jid, nonce) = (new_jid(), random_hex::<6>());
            assert_eq!((jid.len(), nonce.len()), (24, 12));
            assert!(jid.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)));
            assert!(seen.insert(jid) && seen.insert(nonce));
        }
    }

    #[test]
    fn hex_digits() {
        assert_eq!(hex(&[0x00, 0x7f, 0xa5, 0xff]), "007fa5ff");
    }
}
