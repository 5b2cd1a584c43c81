//! A piece of the file, from a cursor to the next one. Pure: the same cursor always gives the same piece.

use serde::{Deserialize, Serialize};

use crate::csv_file::{Place, Table};
use crate::jobs::store::Rejection;

/// A piece ends after so many rows, or so many bytes of records: one row may be large.
const ROWS: usize = 250;
const BYTES: usize = 256 * 1024;

/// How far the import is. Everything that is counted is counted here and only here, so it goes back and forth
/// together with the place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub(super) place: Place,
    pub(super) rows: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
}

impl Cursor {
    pub(super) fn start(table: &Table<'_>) -> Cursor {
        Cursor { place: table.first_row(), rows: 0, accepted: 0, rejected: 0 }
    }
}

/// What some rows came to.
pub(super) struct Piece {
    /// Keys and JSON objects.
    pub(super) records: Vec<(String, String)>,
    pub(super) rejections: Vec<Rejection>,
    /// Equal to the cursor it was read from when there are no more rows.
    pub(super) next: Cursor,
}

impl Piece {
    pub(super) fn read(table: &Table<'_>, cursor: Cursor) -> serde_json::Result<Piece> {
        let mut piece = Piece { records: Vec::new(), rejections: Vec::new(), next: cursor };
        let mut bytes = 0;
        for row in table.rows(cursor.place).take(ROWS) {
            match table.key_of(&row) {
                Ok(key) => {
                    let json = table.json(&row)?;
                    bytes += json.len();
                    piece.records.push((key.to_owned(), json));
                    piece.next.accepted += 1;
                }
                Err(reason) => {
                    piece.rejections.push(Rejection { line: row.line, reason });
                    piece.next.rejected += 1;
                }
            }
            piece.next.rows += 1;
            piece.next.place = row.next;
            if bytes >= BYTES {
                break;
            }
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_file_and_can_be_read_again() {
        let rows: String = (0..1000)
            .map(|n| if n % 10 == 9 { format!("{n}\r\n") } else { format!("{n},x\r\n") })
            .collect();
        let text = format!("id,b\r\n{rows}");
        let table = Table::open(&text, None).unwrap();
        let (mut cursor, mut records, mut rejected) =
            (Cursor::start(&table), Vec::new(), Vec::new());
        loop {
            let piece = Piece::read(&table, cursor).unwrap();
            assert_eq!(Piece::read(&table, cursor).unwrap().next, piece.next);
            if piece.next == cursor {
                break;
            }
            (cursor, _) = (piece.next, records.extend(piece.records));
            rejected.extend(piece.rejections.iter().map(|rejection| rejection.line));
        }
        assert_eq!((cursor.rows, cursor.accepted, cursor.rejected), (1000, 900, 100));
        assert_eq!(records[0], ("0".into(), r#"{"id":"0","b":"x"}"#.into()));
        assert_eq!((records.len(), rejected[0], rejected[99]), (900, 11, 1001));
    }

    #[test]
    fn a_large_row_ends_a_piece() {
        let big = "x".repeat(BYTES);
        let text = format!("id,b\n1,{big}\n2,{big}\n");
        let table = Table::open(&text, None).unwrap();
        assert_eq!(Piece::read(&table, Cursor::start(&table)).unwrap().next.rows, 1);
    }
}
