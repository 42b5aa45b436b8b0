use super::*;

/// Feeds the chunks and collects the lines.
fn check(chunks: &[&str], expected: Result<&[&str], TooLong>) {
    let (mut lines, mut found) = (Lines::new(8), Vec::new());
    let mut feed = |chunk: &&str| {
        lines.push(chunk.as_bytes(), |line| found.push(String::from_utf8(line.to_owned()).unwrap()))
    };
    let outcome = chunks.iter().try_for_each(&mut feed);
    match expected {
        Ok(expected) => assert_eq!(
            (outcome, &found[..]),
            (Ok(()), &expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
        ),
        Err(TooLong) => assert_eq!(outcome, Err(TooLong), "{chunks:?}"),
    }
}

#[test]
fn lines_are_found_however_the_bytes_arrive() {
    check(&["a\nb\n"], Ok(&["a", "b"]));
    check(&["a", "b", "\n", "c\nd"], Ok(&["ab", "c"]));
    check(&["\n\n"], Ok(&["", ""]));
    check(&["a\r\n"], Ok(&["a\r"]));
    check(&["", "a"], Ok(&[]));
}

/// P3: at the limit and one past it.
#[test]
fn a_line_has_a_limit() {
    check(&["12345678\n"], Ok(&["12345678"]));
    check(&["1234", "5678", "\n"], Ok(&["12345678"]));
    check(&["12345678"], Ok(&[]));
    check(&["123456789\n"], Err(TooLong));
    check(&["123456789"], Err(TooLong));
    check(&["12345678", "9\n"], Err(TooLong));
    check(&["a\n123456789\n"], Err(TooLong));
}

#[test]
fn the_rest_of_a_line_that_is_cut_is_dropped() {
    let (mut lines, mut found) = (Lines::cut(4), Vec::new());
    for chunk in ["123456\nab", "cdef", "ghi", "jk\n", "x\n1234\n", "56789"] {
        lines.push(chunk.as_bytes(), |line| found.push(String::from_utf8(line.to_owned()).unwrap())).unwrap();
    }
    assert_eq!(found, ["1234", "abcd", "x", "1234"]);
    assert_eq!(lines.take(), b"5678");
}

#[test]
fn an_unterminated_rest_can_be_taken() {
    let mut lines = Lines::new(8);
    lines.push(b"a\nrest", |_| {}).unwrap();
    assert_eq!((lines.take(), lines.take()), (b"rest".to_vec(), Vec::new()));
}
