use super::*;

const LIMIT: usize = 100;

/// Decodes `input` whole and byte by byte; both must agree. The content and the rest of the input, or the status.
fn decode(input: &str) -> Result<(String, &str), u16> {
    let run = |step: usize| {
        let (mut decoder, mut body, mut used) = (Decoder::new(LIMIT), Vec::new(), 0);
        for piece in input.as_bytes().chunks(step.max(1)) {
            used += decoder.decode(piece, &mut body).map_err(Refusal::status)?;
        }
        assert!(body.len() <= LIMIT);
        Ok::<_, u16>((decoder.is_done(), String::from_utf8(body).unwrap(), used))
    };
    let (whole, bytewise) = (run(input.len()), run(1));
    assert_eq!(whole, bytewise, "{input:?}");
    let (done, body, used) = whole?;
    if done { Ok((body, &input[used..])) } else { Err(0) }
}

fn check(input: &str, expected: Result<(&str, &str), u16>) {
    let expected = expected.map(|(body, rest)| (body.to_owned(), rest));
    assert_eq!(decode(input), expected, "{input:?}");
}

#[test]
fn chunked_bodies_are_decoded() {
    check("0\r\n\r\n", Ok(("", "")));
    check("3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\nGET", Ok(("abc0123456789", "GET")));
    check("3;a=b;c=\"d\"\r\n\r\na\r\n000\r\nX: y\r\nZ:\r\n\r\n", Ok(("\r\na", "")));
    for end in 0.."3\r\nabc\r\n0\r\nX: y\r\n\r\n".len() {
        check(&"3\r\nabc\r\n0\r\nX: y\r\n\r\n"[..end], Err(0));
    }
}

/// H1, H3: ambiguous encodings, which decoders interpret differently, are refused.
#[test]
fn malformed_chunks_are_refused() {
    for bad in [
        "\r\n",
        ";a\r\n",
        "g\r\n",
        "+1\r\na",
        "-1\r\n",
        " 1\r\n",
        "1 \r\na",
        "0x1\r\n",
        "1\na",
        "1\r\ra",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\r\r",
        "1;\n",
        "1;a\u{0}\r\n",
        "0\r\n\n",
        "0\r\nX: y\n",
        "0\r\nX\r\n",
        "0\r\n X: y\r\n",
        "0\r\n: y\r\n",
        "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "0\r\n\u{0}",
        "0\r\n\r\r",
        "00000000000000001\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
    ] {
        check(bad, Err(400));
    }
}

/// H3: each limit, at it and one past it.
#[test]
fn the_limits_of_chunks_hold_to_the_byte() {
    let content = "a".repeat(LIMIT);
    check(&format!("64\r\n{content}\r\n0\r\n\r\n"), Ok((&content, "")));
    check("65\r\n", Err(413));
    check(&format!("63\r\n{}\r\n2\r\n", &content[1..]), Err(413));
    check("FFFFFFFFFFFFFFFF\r\n", Err(413));

    let extension = |length: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(length - 1));
    check(&extension(limits::CHUNK_LINE_BYTES), Ok(("a", "")));
    check(&extension(limits::CHUNK_LINE_BYTES + 1), Err(400));
    let trailer = |length: usize| format!("0\r\nX:{}\r\n\r\n", "x".repeat(length - 2));
    check(&trailer(limits::TRAILER_BYTES), Ok(("", "")));
    check(&trailer(limits::TRAILER_BYTES + 1), Err(400));
}
