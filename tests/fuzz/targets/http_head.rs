//! A head is read equally whether it arrives at once or byte by byte, and is never ambiguous.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::head::{Checked, Framing, Version, parse};

fn shown(checked: &Checked) -> String {
    format!("{checked:?}")
}

fuzz_target!(|data: &[u8]| {
    let Ok(Some((checked, length))) = parse(data, None) else { return };
    let head = &data[..length];
    assert!(head.ends_with(b"\r\n\r\n"));
    for end in 0..length {
        assert!(matches!(parse(&head[..end], None), Ok(None)), "complete or refused at {end}");
    }
    let (again, _) = parse(head, None).unwrap().unwrap();
    assert_eq!(shown(&again), shown(&checked), "what follows a head changes it");
    judge(head, &checked);
});

/// Checks of every accepted head, made on its bytes.
fn judge(head: &[u8], checked: &Checked) {
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let text = text.strip_prefix("\r\n").unwrap_or(&text).strip_suffix("\r\n\r\n").unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
    assert!(lines[1..].iter().all(|line| !line.starts_with([' ', '\t']) && line.contains(':')));
    let fields = lines[1..].iter().map(|line| line.split_once(':').unwrap());
    let fields: Vec<(String, &str)> =
        fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']))).collect();
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(field, _)| field == name).map(|(_, value)| *value).collect()
    };
    // Bytes above 0x7F are opaque: each is the character of its number, in values only.
    assert!(fields.iter().all(|(name, _)| name.is_ascii()) && lines[0].is_ascii());
    assert!(checked.head.headers.iter().eq(fields.iter().map(|(name, value)| (name.as_str(), *value))));
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    let expected = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Framing::Length(0),
        ([length], []) => Framing::Length(length.parse().unwrap()),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        other => panic!("let through: {other:?}"),
    };
    assert_eq!(checked.framing, expected);
    let mut words = lines[0].split(' ');
    assert_eq!(words.next(), Some(checked.head.method.as_str()));
    let target = words.next().unwrap();
    let rest = match &checked.head.query {
        Some(query) => format!("{}?{query}", checked.head.path),
        None => checked.head.path.to_string(),
    };
    assert!(target.ends_with(&rest), "{target} became {rest}");
    assert!(values("host").len() <= 1);
    assert!(checked.version == Version::Http10 || values("host").len() == 1);
}
