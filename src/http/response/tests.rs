use super::*;

fn head(response: &Response) -> (bool, String) {
    let mut out = Vec::new();
    let whole = response.write_head(&mut out);
    (whole, String::from_utf8(out).unwrap())
}

#[test]
fn a_head_is_status_line_and_fields() {
    let response = Response::new(303).header("Location", "https://a.example/?code=1");
    assert_eq!(
        head(&response),
        (true, "HTTP/1.1 303 \r\nLocation: https://a.example/?code=1\r\n".to_owned())
    );
}

#[test]
fn common_fields_do_not_replace_those_of_the_response() {
    let response = Response::new(200).header("Referrer-Policy", "same-origin");
    let response =
        response.with_fields(vec![("Referrer-Policy", "no-referrer".into()), ("Vary", "Origin".into())]);
    let fields: Vec<_> = response.headers().collect();
    assert_eq!(fields, [("Referrer-Policy", "same-origin"), ("Vary", "Origin")]);
}

/// H5: a value with CR or LF never reaches the wire.
#[test]
fn a_value_that_would_split_the_response_becomes_a_500() {
    for value in ["a\r\nSet-Cookie: x=1", "a\nb", "a\0", "\u{7f}"] {
        let response = Response::new(200).header("X-A", "fine").header("X-B", value);
        assert_eq!(head(&response), (false, "HTTP/1.1 500 \r\n".to_owned()));
    }
}
