//! Tables that fit their reader's screen: where it is too narrow, the widest columns give way.

use super::screen::{Screen, Tone};

/// Rows under a head. The last column is not padded.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

struct Column {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Text that is of use in full only: a job's id.
    Whole,
    /// Text that may be cut.
    Text,
    /// A number, which stands to the right.
    Number,
}

struct Cell {
    text: String,
    tone: Tone,
}

/// No column gets narrower than this.
const NARROWEST: usize = 6;
const GAP: usize = 2;

impl Table {
    pub(super) fn new() -> Table {
        Table { columns: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn whole(self, name: &'static str) -> Table {
        self.column(name, Kind::Whole)
    }

    pub(super) fn text(self, name: &'static str) -> Table {
        self.column(name, Kind::Text)
    }

    pub(super) fn number(self, name: &'static str) -> Table {
        self.column(name, Kind::Number)
    }

    fn column(mut self, name: &'static str, kind: Kind) -> Table {
        self.columns.push(Column { name, kind });
        self
    }

    /// Adds a row. The texts must have gone through `plain`, where they are a stranger's.
    pub(super) fn row<const N: usize>(&mut self, texts: [String; N], tone: Tone) {
        self.rows.push(texts.map(|text| Cell { text, tone }).into());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn show(&self, screen: Screen) -> String {
        let widths = self.widths(screen.width);
        let head = self.columns.iter().map(|column| (column.name, Tone::Head));
        let mut lines = vec![self.line(head, &widths, screen)];
        for row in &self.rows {
            let cells = row.iter().map(|cell| (cell.text.as_str(), cell.tone));
            lines.push(self.line(cells, &widths, screen));
        }
        lines.join("\n")
    }

    fn widths(&self, most: Option<usize>) -> Vec<usize> {
        let longest = |at: usize| {
            let cells = self.rows.iter().map(|row| width(&row[at].text));
            cells.fold(width(self.columns[at].name), usize::max)
        };
        let mut widths: Vec<usize> = (0..self.columns.len()).map(longest).collect();
        let gaps = GAP * widths.len().saturating_sub(1);
        while most.is_some_and(|most| widths.iter().sum::<usize>() + gaps > most) {
            let text = |at: &usize| self.columns[*at].kind == Kind::Text && widths[*at] > NARROWEST;
            let Some(widest) = (0..widths.len()).filter(text).max_by_key(|at| widths[*at]) else {
                break; // as narrow as it gets: the terminal breaks the lines
            };
            widths[widest] -= 1;
        }
        widths
    }

    fn line<'a>(
        &self,
        cells: impl Iterator<Item = (&'a str, Tone)>,
        widths: &[usize],
        screen: Screen,
    ) -> String {
        let mut line = String::new();
        for (at, (text, tone)) in cells.enumerate() {
            let text = cut(text, widths[at]);
            let blank = " ".repeat(widths[at] - width(&text).min(widths[at]));
            let painted = screen.paint(&text, tone);
            let gap = if at == 0 { "" } else { "  " };
            line += gap;
            match self.columns[at].kind {
                Kind::Number => line += &(blank + &painted),
                _ => line += &(painted + &blank),
            }
        }
        line.trim_end().to_owned()
    }
}

/// The text in so many columns.
fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut used = 1; // for the dots
    let fits = |c: &char| {
        used += wide(*c);
        used <= columns
    };
    text.chars().take_while(fits).collect::<String>() + "…"
}

/// Columns that a text takes on a terminal. Of what takes none nothing comes here: `plain` escapes
/// it.
fn width(text: &str) -> usize {
    text.chars().map(wide).sum()
}

/// East Asian letters and pictures take two: near enough for a table.
fn wide(c: char) -> usize {
    let two = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
        | 0xff01..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1f64f | 0x1f680..=0x1faff
        | 0x20000..=0x3fffd);
    1 + usize::from(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new().whole("jid").text("class").number("n").text("error");
        let row = ["0123456789", "Report::Weekly", "7", "connection refused by peer"];
        table.row(row.map(str::to_owned), Tone::Plain);
        table.row(["1", "日本語", "1234", ""].map(str::to_owned), Tone::Plain);
        table
    }

    #[test]
    fn columns_stand_below_each_other() {
        let expected = "\
jid         class              n  error
0123456789  Report::Weekly     7  connection refused by peer
1           日本語          1234";
        assert_eq!(table().show(Screen::default()), expected);
    }

    #[test]
    fn the_widest_gives_way_first_and_ids_never() {
        let at = |columns| table().show(Screen { width: Some(columns), ..Screen::default() });
        for columns in [58, 50, 40, 36] {
            assert!(at(columns).lines().all(|line| width(line) <= columns), "{}", at(columns));
        }
        assert!(at(50).contains("Report::Weekly") && at(50).contains("connection"), "{}", at(50));
        let narrow = at(10);
        assert!(narrow.contains("0123456789") && narrow.contains("Repor…"), "{narrow}");
    }

    #[test]
    fn a_wide_letter_is_not_cut_in_half() {
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("abc", 2), "a…");
    }
}
