use super::*;
use crate::oauth::bearer::BearerError;
use crate::oauth::client::AuthMethod;
use crate::oauth::fake::{Browser, Fixture, fixture, fixture_over};
use crate::oauth::{DenyList, Rules};
use crate::store::conformance::Removable;

fn put_back(file: &Removable, fixture: &Fixture) {
    file.put_back();
    fixture.clock.advance(std::time::Duration::from_secs(1));
    fixture.server.grants.sweep();
    assert!(fixture.grants.list().is_ok());
}

/// S3: a client that is told 503 has ended its grant all the same, whether or not the server still knew it.
#[test]
fn a_revocation_without_a_table_is_carried_out_when_it_is_back() {
    for (by_access_token, known) in [(true, true), (true, false), (false, true), (false, false)] {
        let file = Removable::new();
        let fixture = fixture_over(file.table.clone());
        let mut browser = Browser::new(&fixture);
        let pair = browser.tokens();
        assert!(!known || fixture.bearer(&pair.access).is_ok());
        file.take_away();
        let token = if by_access_token { &pair.access } else { &pair.refresh };
        let body = format!("token={token}&client_id={}", browser.client_id);
        assert_eq!(fixture.post("/revoke", &body).status(), 503);
        assert_eq!(fixture.bearer(&pair.access).unwrap_err(), BearerError::Invalid);
        assert_eq!(fixture.ended().len(), 1);
        put_back(&file, &fixture);
        assert_eq!(fixture.bearer(&pair.access).unwrap_err(), BearerError::Invalid);
        assert_eq!(browser.refresh(&pair.refresh).status(), 400);
        assert!(fixture.grants.list().unwrap().is_empty());
    }
}

/// T14: without a table, too, a refresh token is ended by its own client alone.
#[test]
fn a_foreign_client_revokes_nothing_without_a_table() {
    let file = Removable::new();
    let fixture = fixture_over(file.table.clone());
    let refresh = Browser::new(&fixture).tokens().refresh;
    file.take_away();
    let other = fixture.client_id(AuthMethod::None, &["https://other.example/cb"]);
    assert_eq!(fixture.post("/revoke", &format!("token={refresh}&client_id={other}")).status(), 200);
    put_back(&file, &fixture);
    assert_eq!(fixture.grants.list().unwrap().len(), 1);
}

/// S3, D6: what the operator ends, or a rule about clients, holds at once for grants in memory, and is carried out for all
/// when the table is back, even if the rule is gone by then. What is made later is not meant.
#[test]
fn endings_wait_while_the_table_is_unavailable() {
    let by_operator = |fixture: &Fixture, _: &str| {
        assert!(fixture.server.grants.end_later(None, "operator", Box::new(<[_]>::to_vec)));
    };
    let by_rule = |fixture: &Fixture, clients: &str| {
        let before = (*fixture.server.grants.rules()).clone();
        let denied = DenyList::parse(clients).unwrap();
        fixture.server.grants.change_rules(Rules { denied, ..before.clone() });
        fixture.server.grants.change_rules(before);
    };
    let check = |end: &dyn Fn(&Fixture, &str)| {
        let file = Removable::new();
        let fixture = fixture_over(file.table.clone());
        let pairs = [Browser::new(&fixture).tokens(), Browser::new(&fixture).tokens()];
        fixture.bearer(&pairs[0].access).unwrap();
        let grants = fixture.grants.list().unwrap();
        let clients: Vec<_> = grants.iter().map(|grant| grant.client.fingerprint.as_str()).collect();
        file.take_away();
        end(&fixture, &clients.join(","));
        assert_eq!(fixture.bearer(&pairs[0].access).unwrap_err(), BearerError::Invalid);
        put_back(&file, &fixture);
        assert!(fixture.grants.list().unwrap().is_empty());
        assert_eq!(fixture.ended().len(), 2);
        let later = Browser::new(&fixture).tokens();
        fixture.server.grants.sweep();
        assert!(fixture.bearer(&later.access).is_ok());
    };
    check(&by_operator);
    check(&by_rule);
}

/// S5: what waits is bounded, of each person too; whoever finds no room is told so.
#[test]
fn waiting_endings_are_bounded() {
    let fixture = fixture();
    let wait = |user| fixture.server.grants.end_later(Some(UserId(user)), "owner", Box::new(|_| Vec::new()));
    let (of_user, of_all) = limits::WAITING_ENDINGS;
    assert_eq!((0..of_user + 5).filter(|_| wait(0)).count(), of_user);
    let others = u64::try_from(of_all + 5).unwrap();
    assert_eq!((1..others).filter(|user| wait(*user)).count(), of_all - of_user);
    fixture.server.grants.sweep();
    assert!(wait(0));
}

/// A table that is away for a moment cuts no stream off.
#[test]
fn a_grant_that_cannot_be_read_is_taken_to_be_live() {
    let file = Removable::new();
    let fixture = fixture_over(file.table.clone());
    let unknown = GrantId([7; 16]);
    assert!(!fixture.server.grants.is_live(&fixture.resource, unknown));
    file.take_away();
    assert!(fixture.server.grants.is_live(&fixture.resource, unknown));
}
