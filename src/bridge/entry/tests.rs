use super::*;

#[test]
fn users_are_found_by_name_and_number() {
    assert_eq!(find_user("root").unwrap(), RunAs { id: 0, group: 0 });
    assert_eq!(find_user("0").unwrap(), RunAs { id: 0, group: 0 });
    assert_eq!(find_user("54321").unwrap(), RunAs { id: 54321, group: 54321 });
    assert!(find_user("no-such-user").unwrap_err().contains("no-such-user"));
}
