use super::*;

/// The data of the events in these bytes, for any split of them.
fn data(bytes: &[u8]) -> Vec<String> {
    let read = |size: usize| {
        let (mut events, mut found) = (Events::new(), Vec::new());
        for piece in bytes.chunks(size) {
            events.push(piece, &mut |text| found.push(text.to_owned())).unwrap();
        }
        found
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(read(1), whole);
    whole
}

#[test]
fn events_are_read_as_the_standard_says() {
    assert_eq!(data(b"data: a\n\ndata:b\r\n\r\n"), ["a\n", "b\n"]);
    assert_eq!(
        data(b"data: a\ndata:  b\n\n"),
        ["a\n b\n"],
        "lines are joined, one space belongs to the field"
    );
    assert_eq!(data(b"\xef\xbb\xbfdata: a\n\n"), ["a\n"]);
    assert!(data(b": comment\nid: 1\nevent: x\nother\n\ndata:\n\ndata: unfinished").is_empty());
}

#[test]
fn id_and_retry_fields_determine_how_a_stream_is_resumed() {
    let check = |bytes: &[u8], last_id: Option<&str>, retry: Duration| {
        let mut events = Events::new();
        events.push(bytes, &mut |_| {}).unwrap();
        let end = events.fields;
        assert_eq!((end.last_id.as_deref(), end.retry), (last_id, retry));
    };
    check(b"data: x\n\n", None, limits::bridge::PAUSE);
    check(b"id: a\nretry: 250\n\n", Some("a"), Duration::from_millis(250));
    check(b"id: a\n\ndata: x\n\n", Some("a"), limits::bridge::PAUSE);
    check(b"id: a\n\nid: b\ndata: cut off\n", Some("a"), limits::bridge::PAUSE);
    check(b"id: a\n\nid\n\n", None, limits::bridge::PAUSE);
    check("id: \u{fc}\u{20ac}\n\n".as_bytes(), Some("\u{fc}\u{20ac}"), limits::bridge::PAUSE);
    check(b"id: a\n\nid: b\0\n\nid: c\x01d\n\nid: e\x7f\n\nid: f\rg\n\n", Some("a"), limits::bridge::PAUSE);
    check(b"retry: soon\n", None, limits::bridge::PAUSE);
    check(b"retry: 0\n", None, limits::bridge::RETRY_MIN);
    check(b"retry: 99999999\n", None, limits::bridge::PAUSE_MAX);
}

#[test]
fn events_have_a_limit_and_are_utf_8() {
    let error = |bytes: &[u8]| Events::new().push(bytes, &mut |_| {}).unwrap_err().to_string();
    let half = [b"data: ".as_slice(), &vec![b'x'; limits::bridge::LINE_BYTES / 2 + 1], b"\n"].concat();
    assert!(error(&[half.clone(), half].concat()).contains("8 MiB"));
    assert!(error(b"data: \xff\n\n").contains("not UTF-8"));
}
