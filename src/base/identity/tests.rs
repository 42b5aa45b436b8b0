use super::*;

#[test]
fn scopes_are_a_sorted_set() {
    assert_eq!(Scopes::parse("b a  b ").unwrap().to_string(), "a b");
    assert!(Scopes::parse("").unwrap().is_empty());
    for bad in ["a\"b", "a\\b", "a\tb", "ä", "a\u{7f}"] {
        assert_eq!(Scopes::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn a_grant_id_survives_its_text_form() {
    let id = GrantId([7; 16]);
    assert_eq!(GrantId::try_from(id.to_string()).unwrap(), id);
    assert!(GrantId::try_from(String::from("short")).is_err());
}
