//! Redemptions and refreshes that lose a race at the table, or find it failing.

use super::tests::error;
use super::*;
use crate::oauth::fake::{Browser, Contended, Fixture, fixture_over, tokens};
use crate::store::conformance::Removable;
use crate::store::{Grants, MemoryGrants};

fn unavailable() -> (u16, String) {
    (503, "temporarily_unavailable".to_owned())
}

fn contended() -> (Arc<Contended>, Fixture) {
    let memory: Arc<dyn Grants> = Arc::new(MemoryGrants::default());
    let table = Arc::new(Contended::new(&memory));
    (Arc::clone(&table), fixture_over(table))
}

fn generation(fixture: &Fixture) -> Option<u32> {
    match fixture.grants.list().unwrap()[0].stage {
        Stage::Live { generation, .. } => Some(generation),
        Stage::CodeIssued | Stage::Service { .. } => None,
    }
}

#[test]
fn a_redemption_that_loses_a_race_decides_again() {
    let (table, fixture) = contended();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    table.lose(limits::STORE_ATTEMPTS - 1);
    assert!(fixture.bearer(&tokens(&browser.redeem(&code, &[])).access).is_ok());
}

#[test]
fn a_refresh_that_loses_a_race_decides_again() {
    let (table, fixture) = contended();
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    table.lose(limits::STORE_ATTEMPTS - 1);
    assert!(fixture.bearer(&tokens(&browser.refresh(&pair.refresh)).access).is_ok());
    assert_eq!(generation(&fixture), Some(1));
}

/// T3: 503 has the client repeat its request, which must then be good.
#[test]
fn a_code_that_cannot_be_redeemed_is_not_consumed() {
    let (table, fixture) = contended();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    table.lose(limits::STORE_ATTEMPTS);
    assert_eq!(error(&browser.redeem(&code, &[])), unavailable());
    assert_eq!(generation(&fixture), None);
    assert_eq!(browser.redeem(&code, &[]).status(), 200);

    let file = Removable::new();
    let fixture = fixture_over(file.table.clone());
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    file.fail_once();
    assert_eq!(error(&browser.redeem(&code, &[])), unavailable());
    fixture.server.grants.sweep();
    assert_eq!(browser.redeem(&code, &[]).status(), 200);
}

/// T10: nor does a refresh that cannot be written count as a use of its token.
#[test]
fn a_refresh_token_that_cannot_be_rotated_is_not_consumed() {
    let (table, fixture) = contended();
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    table.lose(limits::STORE_ATTEMPTS);
    assert_eq!(error(&browser.refresh(&pair.refresh)), unavailable());
    assert_eq!(generation(&fixture), Some(0));
    assert_eq!(browser.refresh(&pair.refresh).status(), 200);

    let file = Removable::new();
    let fixture = fixture_over(file.table.clone());
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    file.fail_once();
    assert_eq!(error(&browser.refresh(&pair.refresh)), unavailable());
    fixture.server.grants.sweep();
    assert_eq!(generation(&fixture), Some(0));
    assert_eq!(browser.refresh(&pair.refresh).status(), 200);
}

/// A refresh at another replica, of which this one has not heard, is no table that was rolled back.
#[test]
fn a_token_newer_than_the_cached_grant_is_refreshed() {
    let (table, fixture) = contended();
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    let before = Arc::clone(&fixture.grants.list().unwrap()[0]);
    let next = tokens(&browser.refresh(&pair.refresh));
    table.cache(before);
    assert!(fixture.bearer(&tokens(&browser.refresh(&next.refresh)).access).is_ok());
    assert_eq!(generation(&fixture), Some(2));
}
