//! What the reader has before them: a terminal of some width with colours, or a pipe.

use std::io::{IsTerminal, stdout};

use terminal_size::terminal_size;

/// Where an answer will be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Screen {
    /// Columns; `None`: as many as it takes.
    pub(super) width: Option<usize>,
    pub(super) colours: bool,
}

/// What a text means, beside what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tone {
    Plain,
    Head,
    Warn,
    Bad,
}

impl Screen {
    /// That of stdout. `COLUMNS` counts wherever that goes; colours are for terminals only, and
    /// not where `NO_COLOR` is set (no-color.org).
    pub(super) fn here() -> Screen {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let columns = set("COLUMNS").and_then(|columns| columns.parse().ok());
        let terminal = stdout().is_terminal();
        let asked = || terminal_size().filter(|_| terminal).map(|(width, _)| width.0.into());
        Screen {
            width: columns.or_else(asked).filter(|width| *width > 0),
            colours: terminal
                && set("NO_COLOR").is_none()
                && set("TERM").as_deref() != Some("dumb"),
        }
    }

    pub(super) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            _ if !self.colours || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Head => "1",
            Tone::Warn => "33",
            Tone::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals() {
        let mut screen = Screen::default();
        assert_eq!(screen.paint("x", Tone::Bad), "x");
        screen.colours = true;
        assert_eq!(screen.paint("x", Tone::Bad), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(screen.paint("x", Tone::Plain), "x");
        assert_eq!(screen.paint("", Tone::Bad), "");
    }
}
