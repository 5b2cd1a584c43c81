//! RESP as far as a proxy needs it: where a value ends, and the words of a request.

/// The length of the first value, if all of it is there.
pub fn frame(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|end| end == b"\r\n")? + 2;
    let number = std::str::from_utf8(&bytes[1..line - 2]).ok().and_then(|n| n.parse::<i64>().ok());
    let length = number.unwrap_or(0).max(0) as usize; // -1 is RESP2's nothing
    let parts = match bytes[0] {
        b'$' | b'=' | b'!' if number == Some(-1) => 0,
        b'$' | b'=' | b'!' => {
            let end = line + length + 2;
            return (bytes.len() >= end).then_some(end);
        }
        b'*' | b'~' | b'>' => length,
        b'%' => 2 * length,
        _ => 0,
    };
    (0..parts).try_fold(line, |end, _| Some(end + frame(&bytes[end..])?))
}

/// The words of a request, which is an array of strings.
pub fn words(request: &[u8]) -> Vec<&[u8]> {
    let line = |from: usize| {
        let rest = &request[from..];
        from + rest.windows(2).position(|end| end == b"\r\n").map_or(rest.len(), |at| at + 2)
    };
    let (mut words, mut at) = (Vec::new(), line(0));
    while at < request.len() {
        let (begin, length) = (line(at), frame(&request[at..]).expect("a whole request"));
        words.push(&request[begin..at + length - 2]);
        at += length;
    }
    words
}

#[test]
fn values_end_where_they_end() {
    let whole: [&[u8]; 8] = [
        b"+OK\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"*2\r\n*1\r\n:1\r\n$4\r\n\r\n\r\n\r\n",
        b"%1\r\n+a\r\n,1.5\r\n",
        b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nq\r\n",
        b"_\r\n",
        b"*-1\r\n",
    ];
    for value in whole {
        let followed = [value, b"+more\r\n"].concat();
        assert_eq!(frame(&followed), Some(value.len()), "{}", value.escape_ascii());
        assert_eq!(frame(&value[..value.len() - 1]), None);
    }
    let request = b"*2\r\n$4\r\nHDEL\r\n$5\r\na\r\nbc\r\n";
    assert_eq!(words(request), [&b"HDEL"[..], b"a\r\nbc"]);
}
