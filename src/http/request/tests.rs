use super::*;

#[test]
fn field_names_are_case_insensitive_and_values_unchanged() {
    let mut headers = Headers::default();
    headers.push("X-One", "A");
    headers.push("COOKIE", "a=1");
    headers.push("cookie", "b=2");
    assert_eq!(headers.one("x-one"), Ok(Some("A")));
    assert_eq!(headers.one("x-two"), Ok(None));
    assert_eq!(headers.one("cookie"), Err(Duplicate));
    assert_eq!(headers.all("cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[test]
fn a_media_type_is_compared_without_case_and_parameters() {
    let request = fake::request("POST", "/").with("Content-Type", "Application/JSON; charset=utf-8");
    assert_eq!(request.head.is_of_type("application/json"), Ok(true));
    assert_eq!(request.head.is_of_type("text/json"), Ok(false));
    assert_eq!(fake::request("POST", "/").head.is_of_type("application/json"), Ok(false));
}
