//! The rows of a file, each with the line it starts on and the place where the next one begins.

use csv::{Reader, ReaderBuilder, StringRecord};
use serde::{Deserialize, Serialize};

/// A point between two rows, exact enough to go on from after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Bytes before it.
    pub offset: usize,
    /// The line it is on, as an editor counts: the header is line 1.
    pub line: u64,
}

impl Place {
    pub(super) const START: Place = Place { offset: 0, line: 1 };

    /// The same text, further on.
    fn to(self, offset: usize, text: &[u8]) -> Place {
        Place { offset, line: self.line + line_ends(text, self.offset, offset) }
    }
}

/// One row as it stands in the file.
pub struct Row {
    /// The line it starts on. A quoted field may hold line breaks, so this is not a row number.
    pub line: u64,
    /// Its fields, unquoted.
    pub fields: StringRecord,
    /// Where the next row begins.
    pub next: Place,
}

/// Goes through a file row by row. Blank lines are no rows.
pub struct Rows<'a> {
    text: &'a [u8],
    reader: Reader<&'a [u8]>,
    /// Where the reader started, counted from the beginning of the text.
    base: usize,
    place: Place,
}

impl<'a> Rows<'a> {
    pub(super) fn new(text: &'a str, delimiter: u8, place: Place) -> Rows<'a> {
        let text = text.as_bytes();
        // One byte early, on the line end of the row before, which the reader skips: at the very start of its input
        // it would take U+FEFF for a byte order mark, and a resumed import would differ from one in a single go.
        // But not at the end of a file without a last line end: that byte would be a row.
        let base =
            if place.offset < text.len() { place.offset.saturating_sub(1) } else { text.len() };
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(delimiter);
        Rows { text, reader: builder.from_reader(&text[base..]), base, place }
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let mut fields = StringRecord::new();
        // The text is UTF-8 and the reader is flexible: there is no error left that could end the file early.
        if !self.reader.read_record(&mut fields).ok()? {
            return None;
        }
        let blank = self.text[self.place.offset..]
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let start = self.place.to(self.place.offset + blank, self.text);
        let end = self.base + self.reader.position().byte() as usize;
        self.place = start.to(end, self.text);
        Some(Row { line: start.line, fields, next: self.place })
    }
}

/// Line ends in `text[from..to]`: LF, CRLF, or a CR alone. A CRLF counts at its LF, so that windows add up.
pub(super) fn line_ends(text: &[u8], from: usize, to: usize) -> u64 {
    let is_end = |at: &usize| match text[*at] {
        b'\n' => true,
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    (from..to).filter(is_end).count() as u64
}
