use super::*;

/// Every row as (line, fields), read in one go.
fn rows(text: &str) -> Vec<(u64, Vec<String>)> {
    let table = Table::open(text, None).unwrap();
    table
        .rows(table.first_row())
        .map(|row| (row.line, row.fields.iter().map(str::to_owned).collect()))
        .collect()
}

/// The same, with a new reader for every row: as if the job had been killed after each of them.
fn rows_resumed(text: &str) -> Vec<(u64, Vec<String>)> {
    let table = Table::open(text, None).unwrap();
    let (mut place, mut rows) = (table.first_row(), Vec::new());
    while let Some(row) = table.rows(place).next() {
        rows.push((row.line, row.fields.iter().map(str::to_owned).collect()));
        place = row.next;
    }
    rows
}

fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
    (line, fields.iter().map(|field| (*field).to_owned()).collect())
}

#[test]
fn the_shapes_files_come_in() {
    let plain = vec![row(2, &["1", "x"]), row(3, &["2", "y"])];
    for text in [
        "a,b\n1,x\n2,y\n",
        "a,b\n1,x\n2,y",
        "a,b\r\n1,x\r\n2,y\r\n",
        "a,b\r1,x\r2,y\r",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty",
        "\"a\",\"b\"\n\"1\",\"x\"\n\"2\",\"y\"\n",
        "a,b\n1,x\n2,y\n\n\r\n",
    ] {
        assert_eq!(rows(text), plain, "{text:?}");
        assert_eq!(rows_resumed(text), plain, "{text:?}");
    }
}

#[test]
fn a_row_has_the_line_it_starts_on() {
    let text = "a,b\r\n\r\n1,\"two\r\nlines\"\r\n\n2,\"a \"\"quote\"\", and\n;\n\"\n3,z";
    let expected = vec![
        row(3, &["1", "two\r\nlines"]),
        row(6, &["2", "a \"quote\", and\n;\n"]),
        row(9, &["3", "z"]),
    ];
    assert_eq!(rows(text), expected);
    assert_eq!(rows_resumed(text), expected);
}

#[test]
fn resuming_changes_nothing_about_odd_rows() {
    for text in [
        "a,b\n\u{feff}1,x\n\u{feff}2,y",
        "a\n\"\"\n \n\"x\"y\n",
        "a,b\n1\"2,\"\"\n,\n1,2,3\n",
        "\n\na,b\n1,2",
    ] {
        assert_eq!(rows(text), rows_resumed(text), "{text:?}");
    }
    assert_eq!(rows("a,b\n\u{feff}1,x")[0].1[0], "\u{feff}1");
}

#[test]
fn the_header_line_settles_the_delimiter() {
    for (text, expected) in [
        ("a,b;c,d", b','),
        ("a;b;c,d", b';'),
        ("\"a,b,c\";d\n1,2,3,4", b';'),
        ("a\tb", b'\t'),
        ("single\n1;2;3", b','),
        ("a,b;c", b','),
        ("\r\n\na;b", b';'),
    ] {
        assert_eq!(delimiter(text), expected, "{text:?}");
    }
}

#[test]
fn an_unusable_file_is_refused_with_a_reason() {
    let cases: [(&[u8], &str); 15] = [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b" \r\n\n", "empty"),
        (b"a,b\n1,\0", "line 2 has a NUL byte"),
        (b"\xff\xfea\0,\0", "NUL"),
        (b"a,b\r\n1,x\r\n2,\xe4", "line 3 is not valid UTF-8"),
        (b"a,b\n", "no rows"),
        (b"a,b", "no rows"),
        (b"a,b\n\n\r\n", "no rows"),
        (b",\n1,2", "names no column"),
        (b"\"\"\n1", "names no column"),
        (b"a,b,a\n1,2,3", "two columns named \"a\""),
        (b"a,,\n1,2,3", "more than one column without a name"),
        (b"a,b\n1,2\n3,\"x\n4,y\n", "opens on line 3"),
        (b"a,\"b\n1,2\n", "opens on line 1"),
    ];
    for (bytes, reason) in cases {
        let refusal = check(bytes, None).err().unwrap_or_default();
        assert!(refusal.contains(reason), "{:?}: {refusal:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn quotes_that_are_not_at_the_start_of_a_field_are_text() {
    for text in ["a,b\n1,5\"\n", "a,b\n1,\"x\"y\"\n", "a,b\n1,\"\"\"\"", "a\n \"x\n"] {
        assert!(check(text.as_bytes(), None).is_ok(), "{text:?}");
    }
}

#[test]
fn the_key_column_is_looked_up_by_name() {
    assert_eq!(Table::open("id,name\n1,x", Some("name")).unwrap().key, 1);
    assert_eq!(Table::open("\u{20}id,name\n1,x", None).unwrap().key, 0);
    let refusal = Table::open("id,name\n1,x", Some("Name")).err().unwrap();
    assert_eq!(refusal, "key: there is no column \"Name\"; the columns are \"id\", \"name\"");
}

#[test]
fn a_checked_file_is_counted_without_its_mark() {
    let checked = check("\u{feff}id;b\r\n1;2\r\n\r\n3;4\r\n".as_bytes(), Some("id")).unwrap();
    assert_eq!((checked.text.starts_with("id"), checked.rows), (true, 2));
    assert!(checked.stored_len > checked.text.len() as u64);
}

#[test]
fn a_big_field_is_fine() {
    let big = "x".repeat(1_000_000);
    let text = format!("id,text\n1,\"{big}\"\n2,y\n");
    assert_eq!(rows(&text), vec![row(2, &["1", &big]), row(3, &["2", "y"])]);
}

#[test]
fn a_record_keeps_the_order_of_the_columns() {
    let table = Table::open("z,a,\n1,\"q\"\"\",3\n", None).unwrap();
    let row = table.rows(table.first_row()).next().unwrap();
    assert_eq!(table.json(&row).unwrap(), r#"{"z":"1","a":"q\"","":"3"}"#);
}

#[test]
fn a_bad_row_has_a_reason() {
    let table = Table::open("id,b\n1\n1,2,3\n,2\n1,2", None).unwrap();
    let reasons: Vec<_> =
        table.rows(table.first_row()).map(|row| table.key_of(&row).err()).collect();
    assert_eq!(reasons[0].as_deref(), Some("too few fields: 1 instead of 2"));
    assert_eq!(reasons[1].as_deref(), Some("too many fields: 3 instead of 2"));
    assert_eq!(reasons[2].as_deref(), Some("the key column \"id\" is empty"));
    assert_eq!(reasons[3], None);
}
