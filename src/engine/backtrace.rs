//! Where a failure came from, for payloads that ask for it with `backtrace`: as many lines as
//! they want of its causes, and of the frames where those were captured (`RUST_BACKTRACE=1`).

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::io::{Read, Write};
use std::panic;
use std::sync::Once;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

/// What is known of a failure beside its message.
#[derive(Debug, Default)]
pub(crate) enum Trace {
    #[default]
    None,
    Error(anyhow::Error),
    Panic(Spot),
}

/// The place of a panic.
#[derive(Debug)]
pub(crate) struct Spot {
    at: String,
    frames: Backtrace,
}

/// No line is longer: a cause may quote what a stranger sent. As long as a message.
const LONGEST: usize = 10_000;

thread_local! {
    static LATEST: Cell<Option<Spot>> = const { Cell::new(None) };
}

/// From now on the places of panics are known: what catches one is not told. The hook that was
/// there before still does its work.
pub(crate) fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(place) = info.location() {
                let spot =
                    Spot { at: format!("panicked at {place}"), frames: Backtrace::capture() };
                let _ = LATEST.try_with(|latest| latest.set(Some(spot)));
            }
            before(info);
        }));
    });
}

/// Of the panic that was just caught on this thread.
pub(crate) fn of_panic() -> Trace {
    LATEST.take().map_or(Trace::None, Trace::Panic)
}

impl Trace {
    fn lines(&self) -> Vec<String> {
        let (mut lines, backtrace) = match self {
            Trace::None => return Vec::new(),
            Trace::Panic(spot) => (vec![spot.at.clone()], &spot.frames),
            Trace::Error(error) => {
                let causes = error.chain().skip(1).map(|cause| format!("caused by: {cause}"));
                let causes = causes.map(|cause| cause.chars().take(LONGEST).collect());
                (causes.collect(), error.backtrace())
            }
        };
        if backtrace.status() == BacktraceStatus::Captured {
            lines.extend(frames(&backtrace.to_string()));
        }
        lines
    }
}

/// The standard library gives a frame one or two lines: its number and function, its place.
fn frames(text: &str) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        match (line.strip_prefix("at "), frames.last_mut()) {
            (Some(place), Some(frame)) => *frame = format!("{place}: in {frame}"),
            _ => frames.push(line.split_once(": ").map_or(line, |(_, name)| name).to_owned()),
        }
    }
    frames
}

/// `error_backtrace` as Sidekiq keeps it: base64 of a zlib stream of a JSON array of lines. The
/// first one is the failure's own; `wanted` is the field `backtrace`, `true` or a number.
pub(crate) fn packed(message: &str, trace: &Trace, wanted: Option<&str>) -> Option<String> {
    let most = match wanted? {
        "true" => usize::MAX,
        number => number.trim_matches('"').parse::<f64>().ok()? as usize,
    };
    let mut lines = vec![message.to_owned()];
    lines.append(&mut trace.lines());
    lines.truncate(most);
    let json = serde_json::to_vec(&lines).ok()?;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&json).ok()?;
    Some(STANDARD.encode(zlib.finish().ok()?))
}

/// So much of a stranger's backtrace is unpacked.
const MOST: u64 = 256 << 10;

/// The lines of `error_backtrace`, which is JSON here: what `packed` and every Sidekiq writes (up to
/// its 6 with line breaks in the base64), or the plain list of older ones. Of one that is longer
/// than anybody reads, the beginning.
pub(crate) fn unpacked(raw: &str) -> Vec<String> {
    let Ok(text) = serde_json::from_str::<String>(raw) else {
        return serde_json::from_str(raw).unwrap_or_default();
    };
    let base64: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut json = Vec::new();
    let zlib = STANDARD.decode(base64).unwrap_or_default();
    // what came before an error is as good as what comes before the limit
    let _ = ZlibDecoder::new(&zlib[..]).take(MOST).read_to_end(&mut json);
    let json = String::from_utf8_lossy(&json);
    serde_json::from_str(&json).ok().or_else(|| beginning(&json)).unwrap_or_default()
}

/// The whole lines of a list that breaks off. Inside of a line each quote has a backslash before it.
fn beginning(json: &str) -> Option<Vec<String>> {
    let end = json.rfind("\",\"")?;
    serde_json::from_str(&format!("{}]", &json[..=end])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(trace: &Trace, wanted: &str) -> Option<Vec<String>> {
        let packed = packed("it failed", trace, Some(wanted))?;
        assert!(!packed.contains('\n'));
        Some(unpacked(&format!("\"{packed}\"")))
    }

    #[test]
    fn what_others_wrote_is_read() {
        let zip = |json: &str| {
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
            zlib.write_all(json.as_bytes()).unwrap();
            zlib.finish().unwrap()
        };
        let json = |text: &str| serde_json::to_string(text).unwrap();
        assert_eq!(unpacked(r#"["a:1:in 'x'","b"]"#), ["a:1:in 'x'", "b"]);
        let lines = STANDARD.encode(zip(r#"["a","b"]"#));
        let broken = format!("{}\n{}\n", &lines[..8], &lines[8..]);
        assert_eq!(unpacked(&json(&broken)), ["a", "b"]);
        for nothing in ["7", "null", "\"\"", "\"?\"", "[7]", "\"AAAA\"", "{"] {
            assert_eq!(unpacked(nothing), [""; 0], "{nothing}");
        }
        assert_eq!(unpacked(&json(&STANDARD.encode(zip("7")))), [""; 0]);
        let cut = &zip(&serde_json::to_string(&vec!["line"; 1_000]).unwrap());
        let cut = STANDARD.encode(&cut[..cut.len() - 4]);
        assert!(unpacked(&json(&cut)).iter().all(|line| line == "line"));
    }

    #[test]
    fn a_bomb_is_read_as_far_as_anybody_would() {
        let odd = "\u{e9}\\\",\"x";
        let bomb = vec![odd.to_owned(); 1_000_000];
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&serde_json::to_vec(&bomb).unwrap()).unwrap();
        let lines = unpacked(&format!("\"{}\"", STANDARD.encode(zlib.finish().unwrap())));
        assert!(lines.len() > 10_000 && lines.len() < 50_000, "{}", lines.len());
        assert!(lines.iter().all(|line| line == odd));
    }

    #[test]
    fn as_many_lines_as_are_wanted() {
        let error = || anyhow::anyhow!("the disk is full").context("no file").context("it failed");
        let lines = |wanted| there_and_back(&Trace::Error(error()), wanted);
        let all = lines("true").unwrap();
        assert_eq!(all[..3], ["it failed", "caused by: no file", "caused by: the disk is full"]);
        assert_eq!(lines("2").unwrap(), all[..2]);
        assert_eq!(lines("\"1\"").unwrap(), all[..1]);
        for none in ["0", "-1"] {
            assert_eq!(lines(none).unwrap(), [""; 0], "{none}");
        }
        for not in ["false", "null", "[]", "\"x\""] {
            assert_eq!(lines(not), None, "{not}");
        }
        assert!(packed("", &Trace::None, None).is_none());
    }

    #[test]
    fn no_cause_fills_the_payload() {
        let error = anyhow::Error::msg("ä".repeat(20_000)).context("it failed");
        let lines = there_and_back(&Trace::Error(error), "2").unwrap();
        assert_eq!(lines[1].chars().count(), LONGEST);
    }

    #[test]
    fn a_panic_tells_its_place() {
        note_panics();
        assert!(matches!(of_panic(), Trace::None));
        let caught = panic::catch_unwind(|| panic!("on purpose"));
        let lines = there_and_back(&of_panic(), "2").unwrap();
        assert!(caught.is_err() && lines[1].starts_with("panicked at src/engine/backtrace.rs:"));
        assert!(matches!(of_panic(), Trace::None));
    }

    #[test]
    fn frames_in_one_line_each() {
        let text = "   0: app::run\n             at ./src/app.rs:7:5\n   1: main\n";
        assert_eq!(frames(text), ["./src/app.rs:7:5: in app::run", "main"]);
    }
}
