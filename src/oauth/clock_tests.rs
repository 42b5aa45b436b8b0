//! Clocks that jump, and clocks that are not set yet.

use std::time::Duration;

use super::fake::{self, Browser, tokens};
use super::token::tests::{error, invalid_grant};
use crate::base::{Clock, limits};
use crate::http::fake::request;

/// T18: until the clock is set, ten minutes at most, nothing is issued that would have expired then; what was issued works.
#[test]
fn nothing_is_issued_while_the_clock_is_a_day_behind_the_table() {
    let mut fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    browser.open_consent_page();
    browser.approve();
    let callback = format!("/auth/callback?state={}&code=good", browser.github_state);
    let callback = request("GET", &callback).with("Cookie", &browser.cookies.join("; "));
    let now = fixture.clock.now();
    fixture.restart(|parts| parts.newest = now.plus(limits::CLOCK_BEHIND));
    assert!(!fixture.server.token.sealer.is_behind());
    fixture.restart(|parts| parts.newest = now.plus(limits::CLOCK_BEHIND + Duration::from_secs(1)));
    for response in [
        fixture.server.callback.get(&callback.head),
        fixture.server.authorize.get(&fixture.resource, &request("GET", "/authorize").head),
        fixture.server.consent.post(&fixture.resource, &request("POST", "/consent")),
        fixture.server.token.post(&fixture.resource, &request("POST", "/token")),
    ] {
        assert_eq!((response.status(), response.header_value("retry-after")), (503, Some("30")));
    }
    assert!(fixture.bearer(&pair.access).is_ok());
    // The clock is set: the login goes on.
    fixture.clock.go_ahead(Duration::from_secs(1));
    assert_eq!(fixture.server.callback.get(&callback.head).status(), 303);
    // It is not, for as long as that can be waited for.
    fixture.clock.go_back(Duration::from_secs(2));
    assert!(fixture.server.token.sealer.is_behind());
    fixture.restart(|parts| parts.newest = now.plus(limits::GRANT_LIFETIME));
    fixture.clock.advance(limits::CLOCK_WAIT);
    assert_eq!(error(&fixture.server.token.post(&fixture.resource, &request("POST", "/token"))).0, 400);
}

/// S5: a clock that jumps ahead for some seconds refuses everybody, and deletes nobody's grant.
#[test]
fn a_jump_of_the_clock_and_back_ends_no_grant() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    let sweep_for = |seconds| {
        for _ in 0..seconds / 2 {
            fixture.clock.advance(limits::SWEEP);
            fixture.server.grants.sweep();
        }
    };
    sweep_for(2 * 3600);
    let jump = Duration::from_secs(120 * 86_400);
    fixture.clock.go_ahead(jump);
    sweep_for(6);
    assert_eq!(error(&browser.refresh(&pair.refresh)), invalid_grant());
    fixture.clock.go_back(jump);
    sweep_for(2 * 3600);
    tokens(&browser.refresh(&pair.refresh));
}
