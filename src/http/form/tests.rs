use super::*;

fn form(text: &str) -> Form {
    Form::parse(text.as_bytes()).unwrap()
}

#[test]
fn values_are_decoded_once() {
    let form = form("state=a%2520b+c&empty=&&flag&redirect_uri=http%3A%2F%2F127.0.0.1%2F%3Fx%3D1");
    assert_eq!(form.value("state"), Some("a%20b c"));
    assert_eq!(form.value("redirect_uri"), Some("http://127.0.0.1/?x=1"));
    for absent in ["empty", "flag", "other"] {
        assert_eq!(form.value(absent), None, "{absent}");
    }
}

/// O8: what no browser sends is an error, not a guess.
#[test]
fn bad_escapes_and_bytes_are_errors() {
    for bad in ["a=%", "a=%4", "a=%zz", "%g0=1", "a=%%41", "a=%4+"] {
        assert_eq!(Form::parse(bad.as_bytes()), Err(BadForm), "{bad}");
    }
    assert_eq!(Form::parse(b"a=%ff"), Err(BadForm));
    assert_eq!(Form::parse(b"a=\xff"), Err(BadForm));
}

/// O8: limit, and limit plus one.
#[test]
fn a_form_has_a_bounded_number_of_parameters() {
    let form = |count: usize| (0..count).map(|n| format!("p{n}=1&")).collect::<String>();
    assert!(Form::parse(form(limits::FORM_PARAMETERS).as_bytes()).is_ok());
    assert_eq!(Form::parse(form(limits::FORM_PARAMETERS + 1).as_bytes()), Err(BadForm));
}

/// O8: a repeated parameter is seen, even if one of its values is empty.
#[test]
fn repeated_names_are_found() {
    assert_eq!(form("a=1&b=2").repeated(&[]), None);
    assert_eq!(form("a=1&b=2&a=").repeated(&[]), Some("a"));
    assert_eq!(form("resource=1&resource=2").repeated(&["resource"]), None);
}
