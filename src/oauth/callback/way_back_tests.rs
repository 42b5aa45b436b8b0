//! Where the person goes from a page that ends a login.

use super::*;
use crate::oauth::fake::{self, Browser, text};

/// O7: a client that waits on this computer is told by the person's own hand; the page keeps its words.
#[test]
fn a_failed_login_has_a_way_back_to_the_client() {
    let check = |prepare: &dyn Fn(&mut fake::Fixture), query: &str, error: &str| {
        let mut fixture = fake::fixture();
        prepare(&mut fixture);
        let state = "a&b=\"c\"";
        let mut browser = Browser::with_state(&fixture, state);
        browser.approve();
        let page = text(&browser.callback(query));
        let (_, link) = page.split_once("<a class=button rel=\"noopener noreferrer\" href=\"").expect(&page);
        let (href, label) = link.split_once("\">").unwrap();
        assert!(label.starts_with("Back to Test &lt;client&gt;</a>"), "{page}");
        let (target, query) = href.split_once('?').unwrap();
        let query = Form::parse(query.replace("&amp;", "&").as_bytes()).unwrap();
        assert_eq!((target, query.value("error")), ("http://127.0.0.1:5000/cb", Some(error)), "{page}");
        assert_eq!(
            (query.value("state"), query.value("iss")),
            (Some(state), Some("https://mcp.example.com"))
        );
        assert!(query.value("error_description").is_some() && query.value("code").is_none());
    };
    let fails = |error| move |f: &mut fake::Fixture| f.provider.fail_with(error);
    check(&|f| f.provider.identity(7, "stranger"), "code=good", "access_denied");
    check(&|_| (), "code=bad", "server_error");
    check(&|_| (), "error=server_error", "server_error");
    check(&|_| (), "error=application_suspended", "server_error");
    check(&|_| (), "", "server_error");
    check(&fails(ProviderError::Misconfigured), "code=good", "server_error");
    check(&fails(ProviderError::Unreachable), "code=good", "temporarily_unavailable");
    check(&fails(ProviderError::Nonsense), "code=good", "temporarily_unavailable");
    check(&fails(ProviderError::UsedUp), "code=good", "temporarily_unavailable");
    check(&fails(ProviderError::Busy), "code=good", "temporarily_unavailable");
    let full = |f: &mut fake::Fixture| f.restart_over(|grants| Arc::new(fake::ReadOnly::new(grants)));
    check(&full, "code=good", "temporarily_unavailable");
}

/// O7: nobody is lured to a web site that registered itself: the page names it, and offers a plain link.
#[test]
fn the_way_back_to_a_web_client_names_it() {
    let fixture = fake::fixture();
    fixture.provider.identity(7, "stranger");
    let id = fixture.client_id(crate::oauth::client::AuthMethod::None, &["https://a.example/cb"]);
    let mut browser = Browser::at(&fixture, id, "https://a.example/cb");
    browser.approve();
    let response = browser.callback("code=good");
    assert_eq!((response.status(), response.header_value("location")), (403, None));
    let page = text(&response);
    assert!(page.contains("<strong>https://a.example</strong>, which asked for this login"), "{page}");
    assert!(page.contains("href=\"https://a.example/cb?error=access_denied&amp;"), "{page}");
    assert!(
        page.contains(">Back to https://a.example</a>") && !page.contains("Test &lt;client&gt;"),
        "{page}"
    );
}

/// A problem is shown on the page of the login's sealed purpose; the mark before the state, which anybody can write, counts for a
/// state that does not open.
#[test]
fn a_problem_is_shown_on_the_page_of_the_logins_purpose() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    browser.approve();
    browser.cookies.clear();
    let (of_client, sign_in) = (browser.github_state.clone(), "Sign in with GitHub");
    let check = |state: &str, is_sign_in: bool| {
        let mut browser = browser.clone();
        browser.github_state = state.to_owned();
        let page = text(&browser.callback("code=good"));
        assert_eq!(page.contains(sign_in), is_sign_in, "{state}: {page}");
    };
    check(&of_client, false);
    check(&format!("account.{of_client}"), false);
    check("forged", false);
    check("account.forged", true);
}

/// Where nothing is proven, nobody is sent anywhere (O6).
#[test]
fn an_unproven_login_has_no_way_back() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    browser.approve();
    let state = browser.github_state.clone();
    let mut other = Browser::new(&fixture);
    other.github_state = state;
    assert!(!text(&other.callback("code=good")).contains("Back to"));
    assert!(!text(&browser.callback("iss=https%3A%2F%2Fevil.test&code=good")).contains("Back to"));
    browser.callback("code=good");
    assert!(!text(&browser.callback("code=good")).contains("Back to"));
}
