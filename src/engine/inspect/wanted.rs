//! Which bytes are the job that is looked for. No I/O.

use std::collections::HashSet;

use super::super::head::Head;

/// The jids that are looked for.
pub(crate) struct Wanted<'a> {
    jids: HashSet<&'a str>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn of(jids: impl IntoIterator<Item = &'a str>) -> Wanted<'a> {
        Wanted { jids: jids.into_iter().collect() }
    }

    pub(crate) fn has(&self, jid: &str) -> bool {
        self.jids.contains(jid)
    }

    /// Whether these bytes are one of the jobs.
    pub(crate) fn is(&self, raw: &[u8]) -> bool {
        // reading a payload takes longer than seeing that it is not the one
        let one = || self.jids.iter().next().is_some_and(|jid| plain(jid) && !contains(raw, jid));
        if self.jids.len() == 1 && one() {
            return false;
        }
        let jid = Head::parse(raw).ok().and_then(|head| head.jid);
        jid.is_some_and(|jid| self.jids.contains(&*jid))
    }

    /// What a payload with the jid matches, if it is one.
    pub(crate) fn pattern(&self) -> Option<String> {
        match self.jids.len() {
            1 => self.jids.iter().next().map(|jid| pattern(jid)),
            _ => None,
        }
    }
}

/// Whether it stands in JSON as it is.
fn plain(jid: &str) -> bool {
    jid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

fn contains(raw: &[u8], text: &str) -> bool {
    raw.windows(text.len().max(1)).any(|part| part == text.as_bytes())
}

/// A glob that texts with this in them match. What JSON may write in several ways, or has a meaning
/// in a glob, is anything: the bytes are looked at afterwards.
fn pattern(jid: &str) -> String {
    let mut pattern = "*\"".to_owned();
    for c in jid.chars() {
        match plain(c.encode_utf8(&mut [0; 4])) {
            true => pattern.push(c),
            false if !pattern.ends_with('*') => pattern.push('*'),
            false => {}
        }
    }
    pattern + "\"*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_only_the_jid() {
        assert_eq!(pattern("0a1b"), "*\"0a1b\"*");
        assert_eq!(pattern("a*[b]\\\"é?c"), "*\"a*b*c\"*");
        assert_eq!(pattern("?"), "*\"*\"*");
    }

    #[test]
    fn only_the_job_itself_is_the_one() {
        let wanted = Wanted::of(["x1"]);
        assert!(wanted.is(br#"{"class":"A", "jid" : "x1"}"#));
        for other in
            [&br#"{"jid":"x2","args":["x1"]}"#[..], br#"{"jid":"x12"}"#, b"x1", b"", b"\xff"]
        {
            assert!(!wanted.is(other));
        }
        let odd = Wanted::of(["\u{e9}"]);
        assert!(odd.is(br#"{"jid":"\u00e9"}"#) && odd.is("{\"jid\":\"é\"}".as_bytes()));
        let both = Wanted::of(["a", "b"]);
        assert!(both.is(br#"{"jid":"b"}"#) && !both.is(br#"{"jid":"c"}"#));
    }
}
