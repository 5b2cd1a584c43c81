//! Is this file usable at all? Everything that is wrong with it as a whole is found here, before anything is stored.

use super::rows::line_ends;
use super::{Table, delimiter};

/// A file that passed.
pub struct Checked<'a> {
    /// The text without its byte order mark: what is to be stored.
    pub text: &'a str,
    /// Rows, the header not counted.
    pub rows: u64,
    /// About how many bytes the rows will need as records, column names in each of them included.
    pub stored_len: u64,
}

/// Checks a whole upload. The error is a sentence for the person who sent it.
pub fn check<'a>(bytes: &'a [u8], key: Option<&str>) -> Result<Checked<'a>, String> {
    let text = text(bytes)?;
    if let Some(line) = unclosed_quote(text.as_bytes(), delimiter(text)) {
        return Err(format!("the quote that opens on line {line} is never closed"));
    }
    let table = Table::open(text, key)?;
    let rows = table.rows(table.first_row()).count() as u64;
    if rows == 0 {
        return Err("the file has a header line but no rows".into());
    }
    Ok(Checked { text, rows, stored_len: rows * table.names_len() as u64 + text.len() as u64 })
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let line = 1 + line_ends(bytes, 0, at);
        return Err(format!(
            "not a CSV file in UTF-8: line {line} has a NUL byte (binary, or UTF-16?)"
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + line_ends(bytes, 0, error.valid_up_to());
        format!("line {line} is not valid UTF-8: save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim().is_empty() {
        true => Err("the file is empty".into()),
        false => Ok(text),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum In {
    FieldStart,
    Field,
    Quotes,
    /// After a quote inside quotes: the end of them, or the first half of an escaped one.
    QuoteInQuotes,
}

/// The line of the quote that is still open at the end, if any.
///
/// The csv reader accepts such a file and takes everything after the quote for one field; it has no way to tell us.
/// So these are its own rules: a quote opens only at the start of a field, elsewhere it is an ordinary character.
fn unclosed_quote(text: &[u8], delimiter: u8) -> Option<u64> {
    let (mut state, mut opened) = (In::FieldStart, 0);
    for (at, byte) in text.iter().enumerate() {
        state = match (state, byte) {
            (In::FieldStart, b'"') => {
                opened = at;
                In::Quotes
            }
            (In::Quotes, b'"') => In::QuoteInQuotes,
            (In::Quotes, _) | (In::QuoteInQuotes, b'"') => In::Quotes,
            (_, b'\r' | b'\n') => In::FieldStart,
            (_, byte) if *byte == delimiter => In::FieldStart,
            _ => In::Field,
        };
    }
    (state == In::Quotes).then(|| 1 + line_ends(text, 0, opened))
}
