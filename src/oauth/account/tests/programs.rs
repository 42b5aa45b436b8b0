//! How the list shows programs, and what its buttons end.

use super::*;

/// A program that has logged in three times is one line with one button; each login still has its own.
#[test]
fn several_logins_of_one_client_are_listed_as_one_line() {
    let fixture = fake::fixture();
    for _ in 0..3 {
        Browser::new(&fixture).tokens();
    }
    let other = fixture.client_id(crate::oauth::client::AuthMethod::None, &["https://a.example/cb"]);
    Browser::at(&fixture, other, "https://a.example/cb").log_in();
    // Each login of a program on a computer has a port of its own.
    let mut moved = (*fixture.grants.list().unwrap()[0]).clone();
    moved.client.redirect = "http://127.0.0.1:5001".to_owned();
    fixture.grants.update(&moved).unwrap();
    let mut visitor = Visitor::signed_in(&fixture);
    let page = text(&visitor.open());
    assert_eq!(page.matches(">End</button>").count(), 2, "{page}");
    assert!(
        page.contains("<summary>3 logins</summary>") && page.contains("<summary>Details</summary>"),
        "{page}"
    );
    assert_eq!(page.matches(">End this login</button>").count(), 3, "{page}");
    assert!(page.contains("<span>https://a.example</span>"), "{page}");
    let button = page.split("name=revoke value=\"").map(|rest| rest.split('"').next().unwrap());
    let all_three = button.clone().find(|value| value.matches('.').count() == 2).unwrap();
    assert!(
        text(&visitor.press(&format!("revoke={all_three}"))).contains("role=status>That access has ended.")
    );
    assert_eq!((grants(&fixture).len(), fixture.ended().len()), (1, 3));
}

/// One click does not end everything: the button stands behind a line that has to be opened first, without a script.
#[test]
fn ending_all_access_asks_once_more() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    let page = text(&Visitor::signed_in(&fixture).open());
    let (_, all) = page.split_once("<details class=all><summary>End all access</summary>").unwrap();
    let (inside, after) = all.split_once("</details>").unwrap();
    assert!(inside.contains("value=all>Yes, end all access</button>"), "{inside}");
    assert!(!after.contains("value=all"), "{after}");
}
