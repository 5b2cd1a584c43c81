//! Reading an uploaded CSV file, the same way at upload and, any number of times, in the job.
//!
//! `check` decides whether the file as a whole can be used; `Table` is one that can; `Rows` goes through it from any
//! row on. The header line settles the delimiter, so the job finds the same one without being told.

mod check;
mod rows;

use std::collections::HashSet;

use serde::ser::{Serialize, Serializer};

pub use check::{Checked, check};
pub use rows::{Place, Row, Rows};

/// A file whose header makes sense.
pub struct Table<'a> {
    text: &'a str,
    delimiter: u8,
    columns: Vec<String>,
    key: usize,
    first_row: Place,
}

impl<'a> Table<'a> {
    /// Reads the header. `key` is the column that identifies a row, the first one if not given.
    /// The error is a sentence for the person who sent the file.
    pub fn open(text: &'a str, key: Option<&str>) -> Result<Table<'a>, String> {
        let delimiter = delimiter(text);
        let header = Rows::new(text, delimiter, Place::START).next().ok_or("the file is empty")?;
        let columns: Vec<String> = header.fields.iter().map(str::to_owned).collect();
        check_names(&columns)?;
        let key = key_index(&columns, key)?;
        Ok(Table { text, delimiter, columns, key, first_row: header.next })
    }

    /// Where the first row after the header begins.
    pub fn first_row(&self) -> Place {
        self.first_row
    }

    /// The rows from `place` on.
    pub fn rows(&self, place: Place) -> Rows<'a> {
        Rows::new(self.text, self.delimiter, place)
    }

    /// The key of a row, or why the row cannot be taken.
    pub fn key_of<'r>(&self, row: &'r Row) -> Result<&'r str, String> {
        let (found, wanted) = (row.fields.len(), self.columns.len());
        if found != wanted {
            return Err(format!(
                "{} fields: {found} instead of {wanted}",
                if found < wanted { "too few" } else { "too many" }
            ));
        }
        match row.fields.get(self.key) {
            Some(key) if !key.is_empty() => Ok(key),
            _ => Err(format!("the key column {} is empty", quoted(&self.columns[self.key]))),
        }
    }

    /// A row as a JSON object, its columns in the order of the file.
    pub fn json(&self, row: &Row) -> serde_json::Result<String> {
        serde_json::to_string(&Object { columns: &self.columns, row })
    }

    /// What the column names cost in every record.
    fn names_len(&self) -> usize {
        self.columns.iter().map(|name| name.len() + r#""":"","#.len()).sum()
    }
}

/// serde_json's own map would sort the columns.
struct Object<'a> {
    columns: &'a [String],
    row: &'a Row,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().zip(self.row.fields.iter()))
    }
}

/// Whichever of the three stands most often in the header line, outside quotes. A tie, or none, is a comma.
fn delimiter(text: &str) -> u8 {
    let (mut quoted, mut counts) = (false, [(b',', 0), (b';', 0), (b'\t', 0)]);
    for byte in text.trim_start_matches(['\r', '\n']).bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => break,
            _ if !quoted => counts
                .iter_mut()
                .filter(|(known, _)| *known == byte)
                .for_each(|(_, count)| *count += 1),
            _ => {}
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max();
    counts.iter().find(|(_, count)| Some(*count) == most).map_or(b',', |(known, _)| *known)
}

/// One column may go without a name, as the index column of an exported data frame does: its name is "".
fn check_names(columns: &[String]) -> Result<(), String> {
    if columns.iter().all(|name| name.trim().is_empty()) {
        return Err("the header line names no column".into());
    }
    let mut seen = HashSet::new();
    match columns.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) if name.is_empty() => {
            Err("the header line has more than one column without a name".into())
        }
        Some(name) => Err(format!("the header line has two columns named {}", quoted(name))),
        None => Ok(()),
    }
}

fn key_index(columns: &[String], key: Option<&str>) -> Result<usize, String> {
    let Some(key) = key else { return Ok(0) };
    columns.iter().position(|name| name == key).ok_or_else(|| {
        let known: Vec<String> = columns.iter().take(50).map(|name| quoted(name)).collect();
        format!("key: there is no column {}; the columns are {}", quoted(key), known.join(", "))
    })
}

/// A name inside a message, however long it is.
fn quoted(name: &str) -> String {
    match name.char_indices().nth(60) {
        Some((end, _)) => format!("\"{}…\"", &name[..end]),
        None => format!("\"{name}\""),
    }
}

#[cfg(test)]
mod tests;
