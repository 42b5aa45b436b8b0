//! A head is read the same whether it arrives at once or byte by byte, and never read two ways.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::edge::head::{Checked, Framing, Origin, Version, parse};
use mcp_oauth_server::http::Scheme;

const ORIGIN: Origin = Origin { peer: None, scheme: Scheme::Http };

fn shown(checked: &Checked) -> String {
    format!("{checked:?}")
}

fuzz_target!(|data: &[u8]| {
    let Ok(Some((checked, length))) = parse(data, ORIGIN) else { return };
    let head = &data[..length];
    assert!(head.ends_with(b"\r\n\r\n"));
    for end in 0..length {
        assert!(matches!(parse(&head[..end], ORIGIN), Ok(None)), "complete or refused at {end}");
    }
    let (again, _) = parse(head, ORIGIN).unwrap().unwrap();
    assert_eq!(shown(&again), shown(&checked), "what follows a head changes it");
    judge(head, &checked);
});

/// What must hold of every head that is let through, looked for in its bytes.
fn judge(head: &[u8], checked: &Checked) {
    let text = std::str::from_utf8(head).unwrap();
    let text = text.strip_prefix("\r\n").unwrap_or(text).strip_suffix("\r\n\r\n").unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
    assert!(lines[1..].iter().all(|line| !line.starts_with([' ', '\t']) && line.contains(':')));
    let values = |name: &str| -> Vec<&str> {
        let fields = lines[1..].iter().map(|line| line.split_once(':').unwrap());
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    };
    assert_eq!(checked.head.headers.iter().count(), lines.len() - 1);
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
