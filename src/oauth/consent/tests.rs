use super::*;
use crate::base::{Clock, limits};
use crate::oauth::fake::{self, Browser};

#[test]
fn approving_sends_the_browser_to_github_with_pkce() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let response = browser.approve();
    assert_eq!(response.status(), 303);
    let location = response.header_value("location").unwrap();
    assert!(location.starts_with("https://github.test/authorize?state=mcp_gl_"), "{location}");
    assert!(location.contains("&code_challenge="), "{location}");
    assert_eq!(fixture.grants.list().unwrap().len(), 0);
}

/// C10: a no goes back to the client.
#[test]
fn denying_tells_the_client() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let response = browser.post_consent("deny", &[]);
    let location = response.header_value("location").unwrap();
    assert!(location.starts_with("http://127.0.0.1:5000/cb?error=access_denied&"), "{location}");
    assert!(response.header_value("set-cookie").unwrap().contains("Max-Age=0"));
}

/// C10, O7: an open web client is told by the person's own hand.
#[test]
fn denying_a_web_client_shows_the_way_back() {
    let fixture = fake::fixture();
    let id = fixture.client_id(crate::oauth::client::AuthMethod::None, &["https://a.example/cb"]);
    let mut browser = Browser::at(&fixture, id, "https://a.example/cb");
    let response = browser.post_consent("deny", &[]);
    assert_eq!(response.header_value("location"), None);
    let page = fake::text(&response);
    assert!(page.contains("href=\"https://a.example/cb?error=access_denied&amp;"), "{page}");
    assert!(page.contains("You did not let the program in."), "{page}");
    assert!(response.header_value("set-cookie").unwrap().contains("Max-Age=0"));
}

/// One sender cannot use up the logins that GitHub allows the app.
#[test]
fn logins_per_sender_are_limited() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    browser.peer = std::net::IpAddr::from([192, 0, 2, 1]);
    for _ in 0..limits::LOGINS {
        assert_eq!(browser.approve().status(), 303);
    }
    let response = browser.approve();
    assert_eq!((response.status(), response.header_value("location")), (429, None));
    assert!(fake::text(&response).contains("cb?error=temporarily_unavailable&amp;"));
}

/// C10: a denial spends what an approval spends. Over the limit it is still told to the client, and leaves nothing behind.
#[test]
fn a_denial_counts_against_the_limit_of_logins() {
    let fixture = fake::fixture();
    let mut last = String::new();
    for _ in 0..limits::LOGINS + 3 {
        let mut browser = from_outside(&fixture);
        assert_eq!(browser.post_consent("maybe", &[]).status(), 400);
        let response = browser.post_consent("deny", &[]);
        assert_eq!(response.status(), 303);
        assert!(response.header_value("location").unwrap().contains("error=access_denied"));
        assert!(response.header_value("set-cookie").unwrap().contains("Max-Age=0"));
        last = browser.form;
    }
    let consent = &fixture.server.consent;
    let pending = consent.sealer.open_here::<PendingAuthorization>(&last, fixture.clock.now()).unwrap();
    assert!(!consent.spent.has_ended(pending.browser.hash()));
    assert_eq!(from_outside(&fixture).approve().status(), 429);
}

/// C4: after a login has ended, no number of denials by its sender makes the server forget that.
#[test]
fn denials_do_not_make_a_spent_login_usable_again() {
    let fixture = fake::fixture();
    let mut browser = from_outside(&fixture);
    browser.approve();
    assert_eq!(browser.callback("code=good").status(), 303);
    fixture.clock.advance(std::time::Duration::from_secs(1));
    for _ in 0..limits::SPENT_LOGINS.0 {
        assert_eq!(from_outside(&fixture).post_consent("deny", &[]).status(), 303);
    }
    assert_eq!((browser.callback("code=good").status(), fixture.provider.redemptions()), (400, 1));
}

/// L2: many senders, each within its limits, do not choose how long the log is.
#[test]
fn the_log_is_told_of_few_of_many_answers() {
    let fixture = fake::fixture();
    let told = |event| fixture.server.consent.log_limit.pass(event, fixture.clock.monotonic());
    for number in 0..=250 {
        let mut browser = Browser::new(&fixture);
        browser.peer = std::net::IpAddr::from([198, 18, 0, number]);
        assert_eq!(browser.approve().status(), 303);
        assert_eq!(browser.post_consent("deny", &[]).status(), 303);
    }
    assert_eq!([told("consent.given"), told("consent.denied")], [None; 2]);
    fixture.clock.advance(std::time::Duration::from_secs(1));
    let omitted = Some(152);
    assert_eq!([told("consent.given"), told("consent.denied")], [omitted; 2]);
}

fn from_outside(fixture: &fake::Fixture) -> Browser<'_> {
    let mut browser = Browser::new(fixture);
    browser.peer = std::net::IpAddr::from([192, 0, 2, 1]);
    browser
}

/// C4, C10: a no in one tab and GitHub's answer in another, at the same time: one of them counts, and the client hears one.
#[test]
fn a_concurrent_denial_and_callback_have_one_winner() {
    let fixture = fake::fixture();
    for number in 0..100 {
        let mut login = Browser::new(&fixture);
        login.peer = std::net::IpAddr::from([192, 0, 2, number]);
        login.approve();
        let mut other_tab = login.clone();
        let start = std::sync::Barrier::new(2);
        let (answer, no) = std::thread::scope(|scope| {
            let answer = scope.spawn(|| {
                start.wait();
                login.callback("code=good")
            });
            start.wait();
            let no = other_tab.post_consent("deny", &[]);
            (answer.join().unwrap(), no)
        });
        let statuses = [answer.status(), no.status()];
        assert!(statuses == [303, 400] || statuses == [400, 303], "{statuses:?}");
        let grants = fixture.grants.list().unwrap();
        assert_eq!(grants.len(), usize::from(answer.status() == 303));
        grants.iter().for_each(|grant| drop(fixture.grants.delete(grant.id)));
    }
}

/// Two servers with one key file: what one has begun is worth nothing at the other, but a registration is.
#[test]
fn a_login_goes_on_only_at_the_server_that_began_it() {
    let (here, there) = (fake::fixture(), fake::elsewhere());
    let mut browser = Browser::new(&here);
    browser.turn_to(&there);
    assert_eq!(browser.approve().status(), 400);
    browser.turn_to(&here);
    assert_eq!(browser.approve().status(), 303);
    browser.turn_to(&there);
    assert_eq!((browser.callback("code=good").status(), there.provider.redemptions()), (400, 0));
    browser.turn_to(&here);
    assert_eq!(browser.callback("code=good").status(), 303);
    browser.turn_to(&there);
    assert_eq!(browser.log_in().status(), 303);
}

/// C10: a no is final.
#[test]
fn a_denied_login_cannot_be_approved() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let kept = browser.cookies.clone();
    browser.post_consent("deny", &[]);
    browser.cookies = kept;
    assert_eq!(browser.approve().status(), 400);
}

/// C3: a form that another site sent is refused.
#[test]
fn a_foreign_form_is_refused() {
    let fixture = fake::fixture();
    let check = |name: &str, value: &str, status| {
        let response = Browser::new(&fixture).post_consent("approve", &[(name, value)]);
        assert_eq!(response.status(), status, "{name}: {value}");
    };
    check("Origin", "https://mcp.example.com", 303);
    check("Origin", "https://evil.example", 403);
    check("Origin", "null", 403);
    check("Sec-Fetch-Site", "same-origin", 303);
    check("Sec-Fetch-Site", "cross-site", 403);
    check("Sec-Fetch-Site", "same-site", 403);
    check("Sec-Fetch-Site", "none", 403);
}

/// C3: another browser, with the form but not the cookie, gets nowhere: the confused deputy's victim never approved.
#[test]
fn a_form_from_another_browser_is_refused() {
    let fixture = fake::fixture();
    let attacker = Browser::new(&fixture);
    let mut victim = Browser::new(&fixture);
    victim.form = attacker.form.clone();
    assert_eq!(victim.post_consent("approve", &[]).status(), 400);
    victim.cookies.clear();
    assert_eq!(victim.post_consent("approve", &[]).status(), 400);
}

#[test]
fn a_form_is_good_for_ten_minutes() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    fixture.clock.advance(limits::LOGIN_LIFETIME);
    assert_eq!(browser.approve().status(), 400);
}

/// C5: eight logins at once, the ninth clears the oldest.
#[test]
fn the_oldest_login_makes_room() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    for _ in 1..limits::LOGINS_PER_BROWSER {
        assert_eq!(
            browser.open_consent_page().headers().filter(|(name, _)| *name == "Set-Cookie").count(),
            1
        );
    }
    let oldest = browser.cookies[0].split_once('=').unwrap().0.to_owned();
    let response = browser.open_consent_page();
    let cleared =
        response.headers().filter(|(name, value)| *name == "Set-Cookie" && value.contains("Max-Age=0"));
    assert_eq!(cleared.map(|(_, value)| value.split_once('=').unwrap().0).collect::<Vec<_>>(), [oldest]);
}

/// A stranger's request with many cookies like ours does not make the server write as many.
#[test]
fn few_cookies_are_removed_at_once() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    browser.cookies = (0..1000).map(|number| format!("__Host-mcp_login_{number:08}=")).collect();
    let page = browser.open_consent_page();
    let cookies = page.headers().filter(|(name, _)| *name == "Set-Cookie").count();
    assert_eq!(cookies, 1 + limits::LOGINS_PER_BROWSER);
}

/// O17, C2: whoever has just logged in is asked again, whatever cookies they kept.
#[test]
fn every_login_asks_again() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    assert_eq!(browser.log_in().status(), 303);
    let response = browser.open_consent_page();
    assert_eq!((response.status(), response.header_value("location")), (200, None));
}

/// C3: form type, damaged and repeated parameters, an answer that is none.
#[test]
fn an_incomplete_consent_form_is_refused() {
    use crate::http::fake::request;
    let fixture = fake::fixture();
    let browser = Browser::new(&fixture);
    let check = |kind: &str, body: String, status| {
        let cookies = browser.cookies.join("; ");
        let request = request("POST", "/consent").with("Content-Type", kind).with("Cookie", &cookies);
        assert_eq!(
            fixture.server.consent.post(&fixture.resource, &request.body(body.clone())).status(),
            status,
            "{kind} {body}"
        );
    };
    let (form, sealed) = ("application/x-www-form-urlencoded", &browser.form);
    check("text/plain", format!("pending={sealed}&decision=approve"), 403);
    check("application/json", format!("pending={sealed}&decision=approve"), 403);
    check(form, format!("pending={sealed}&decision=approve&decision=deny"), 400);
    check(form, format!("pending={sealed}&decision=%zz"), 400);
    check(form, format!("pending={sealed}"), 400);
    check(form, "decision=approve".to_owned(), 400);
    check(form, format!("pending={sealed}&decision=approve"), 303);
}

/// C5: the cookie's attributes.
#[test]
fn the_cookie_is_bound_to_this_host() {
    let fixture = fake::fixture();
    let response = Browser::new(&fixture).open_consent_page();
    let cookie = response.header_value("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-mcp_login_"), "{cookie}");
    assert!(cookie.ends_with("; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
}
