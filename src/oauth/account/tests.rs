//! A person and their account page, from the button to the last grant, and everybody else who would like to press it.

use std::sync::Arc;

use super::*;
use crate::base::GrantId;
use crate::oauth::fake::{self, Browser, Fixture, ReadOnly, Visitor, text};
use crate::oauth::provider::ProviderError;

mod programs;

fn grants(fixture: &Fixture) -> Vec<GrantId> {
    fixture.grants.list().unwrap().iter().map(|grant| grant.id).collect()
}

/// C11: from the button through GitHub to the list, with the client, where its login was sent, scopes and times.
#[test]
fn a_person_signs_in_and_sees_their_grants() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    let mut visitor = Visitor::new(&fixture);
    let page = text(&visitor.open());
    assert!(page.contains("Sign in with GitHub") && !page.contains("octocat"), "{page}");
    let response = visitor.press("sign_in=github");
    let location = response.header_value("location").unwrap();
    assert_eq!(response.status(), 303);
    assert!(location.starts_with("https://github.test/authorize?state=account.mcp_gl_"), "{location}");
    assert!(location.contains("&code_challenge=") && location.ends_with("&scope="), "{location}");
    let response = visitor.callback("code=good");
    assert_eq!(response.status(), 303);
    assert_eq!(response.header_value("location"), Some("https://mcp.example.com/account"));
    let page = text(&visitor.open());
    for expected in [
        "<strong>octocat</strong>",
        "<h2>Test &lt;client&gt;</h2><span>your computer</span><span>last used <time",
        "<b>http://127.0.0.1:5000</b>",
        "Use the tools",
        "GitHub allows ten of these",
        ">2026-01-01 00:00 UTC</time>",
        &format!("value=\"{}\"", handle(grants(&fixture)[0])),
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("<script") && !page.contains("Test <client>"), "{page}");
}

/// C1: the host of a program's document is named, and escaped like everything that comes from outside.
#[test]
fn a_program_with_a_document_is_shown_with_its_host() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    let mut grant = (*fixture.grants.list().unwrap()[0]).clone();
    grant.client.host = Some("<b>.example".to_owned());
    fixture.grants.update(&grant).unwrap();
    let page = text(&Visitor::signed_in(&fixture).open());
    assert!(page.contains("It says that it belongs to &lt;b&gt;.example."), "{page}");
}

/// C11: one is ended, with all that was issued under it, and the others stay.
#[test]
fn ending_one_grant_leaves_the_others() {
    let fixture = fake::fixture();
    let ended = Browser::new(&fixture).tokens();
    let id = grants(&fixture)[0];
    let kept = Browser::new(&fixture).tokens();
    let mut visitor = Visitor::signed_in(&fixture);
    let page = text(&visitor.press(&format!("revoke={}", handle(id))));
    assert!(page.contains("role=status>That access has ended.") && !page.contains(&handle(id)), "{page}");
    assert!(fixture.bearer(&ended.access).is_err() && fixture.bearer(&kept.access).is_ok());
    assert_eq!(fixture.ended(), [id]);
    // Pressed again, after going back: nothing is there, and nothing else happens.
    assert_eq!(visitor.press(&format!("revoke={}", handle(id))).status(), 200);
    assert_eq!(grants(&fixture).len(), 1);
}

/// A form names at most as many grants as a person can have: a longer list is not read to its end.
#[test]
fn a_form_names_no_more_grants_than_a_person_has() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    let mine = handle(grants(&fixture)[0]);
    let others = |count: usize| "x.".repeat(count);
    let mut visitor = Visitor::signed_in(&fixture);
    visitor.press(&format!("revoke={}{mine}", others(limits::GRANTS_PER_USER)));
    assert_eq!(grants(&fixture).len(), 1);
    visitor.press(&format!("revoke={}{mine}", others(limits::GRANTS_PER_USER - 1)));
    assert_eq!(grants(&fixture).len(), 0);
}

#[test]
fn ending_all_grants_ends_all_of_this_person() {
    let fixture = fake::fixture();
    for _ in 0..3 {
        Browser::new(&fixture).tokens();
    }
    let page = text(&Visitor::signed_in(&fixture).press("revoke=all"));
    assert!(page.contains("All access has ended.") && page.contains("No program may act"), "{page}");
    assert_eq!((grants(&fixture).len(), fixture.ended().len()), (0, 3));
}

/// S3: if the disk refuses, the person is told, and sessions and streams end all the same.
#[test]
fn a_failed_write_still_ends_the_sessions_of_the_grants() {
    let mut fixture = fake::fixture();
    for _ in 0..2 {
        Browser::new(&fixture).tokens();
    }
    fixture.restart_over(|grants| Arc::new(ReadOnly::new(grants)));
    assert!(!fixture.server.grants.is_ready());
    let response = Visitor::signed_in(&fixture).press("revoke=all");
    assert_eq!(response.status(), 503);
    assert!(text(&response).contains("That access has ended, but this is not saved yet"));
    assert_eq!(fixture.ended().len(), 2);
}

/// S3: without a table nothing can be shown, but what the person ends is refused at once, and ended when it is back. The page
/// says that, and only that.
#[test]
fn grants_ended_while_the_table_is_unavailable_stay_ended() {
    for one in [true, false] {
        let file = crate::store::conformance::Removable::new();
        let fixture = fake::fixture_over(file.table.clone());
        let (ended, other) = (Browser::new(&fixture).tokens(), Browser::new(&fixture).tokens());
        let id = fixture.bearer(&ended.access).unwrap().grant;
        assert!(fixture.bearer(&other.access).is_ok());
        let mut visitor = Visitor::signed_in(&fixture);
        file.take_away();
        let check = |response: Response, words: &str| {
            assert!(response.status() == 503 && text(&response).contains(words), "{}", text(&response));
        };
        check(visitor.open(), "Nothing was changed.");
        let button = if one { format!("revoke={}", handle(id)) } else { "revoke=all".to_owned() };
        check(visitor.press(&button), "That access has ended");
        assert!(fixture.bearer(&ended.access).is_err());
        assert_eq!(fixture.bearer(&other.access).is_ok(), one);
        // No ending is promised that there is no room to remember.
        (1..limits::WAITING_ENDINGS.0).for_each(|_| check(visitor.press(&button), "That access has ended"));
        check(visitor.press(&button), "Nothing was changed.");
        file.put_back();
        fixture.server.grants.sweep();
        assert_eq!(grants(&fixture).len(), usize::from(one));
        assert!(fixture.bearer(&ended.access).is_err());
    }
}

/// S3: what is ended again after a failed write is not on the disk yet, and the page does not say that it is.
#[test]
fn access_that_is_ended_again_is_not_called_ended_before_it_is_written() {
    let file = crate::store::conformance::Removable::new();
    let fixture = fake::fixture_over(file.table.clone());
    Browser::new(&fixture).tokens();
    let mut visitor = Visitor::signed_in(&fixture);
    file.fail_once();
    for _ in 0..3 {
        assert_eq!(visitor.press("revoke=all").status(), 503);
        assert_eq!(grants(&fixture).len(), 0);
    }
    fixture.server.grants.sweep();
    assert_eq!(visitor.press("revoke=all").status(), 200);
}

/// Another person sees none of them, and can end none of them, whatever their form says.
#[test]
fn nobody_reaches_the_grants_of_others() {
    let fixture = fake::fixture();
    let tokens = Browser::new(&fixture).tokens();
    fixture.provider.identity(7, "stranger");
    let mut stranger = Visitor::signed_in(&fixture);
    assert!(text(&stranger.open()).contains("No program may act"));
    for button in [format!("revoke={}", handle(grants(&fixture)[0])), "revoke=all".to_owned()] {
        assert_eq!(stranger.press(&button).status(), 200);
    }
    assert!(fixture.bearer(&tokens.access).is_ok() && fixture.ended().is_empty());
}

/// The policy lets octocat in, by that login; the account is the number.
#[test]
fn a_person_who_is_not_let_in_any_more_can_still_end_their_grants() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    fixture.provider.identity(583_231, "renamed");
    let mut visitor = Visitor::signed_in(&fixture);
    assert!(text(&visitor.open()).contains("<strong>renamed</strong>"));
    visitor.press("revoke=all");
    assert_eq!(grants(&fixture).len(), 0);
}

/// C3: what a page of another site sends, or a form that was not rendered for this session, ends nothing.
#[test]
fn foreign_forms_are_refused() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    let check = |status, prepare: &dyn Fn(&mut Visitor<'_>), headers: &[(&str, &str)]| {
        let mut visitor = Visitor::signed_in(&fixture);
        prepare(&mut visitor);
        assert_eq!(visitor.press_with("revoke=all", headers).status(), status, "{headers:?}");
        assert_eq!(grants(&fixture).len(), 1, "{headers:?}");
    };
    let nothing = |_: &mut Visitor<'_>| ();
    check(403, &nothing, &[("Origin", "https://evil.example")]);
    check(403, &nothing, &[("Origin", "null")]);
    check(403, &nothing, &[("Sec-Fetch-Site", "cross-site")]);
    check(403, &nothing, &[("Sec-Fetch-Site", "same-site")]);
    check(403, &nothing, &[("Sec-Fetch-Site", "none")]);
    check(403, &nothing, &[("Content-Type", "text/plain")]);
    check(403, &|visitor| visitor.form.clear(), &[]);
    check(403, &|visitor| visitor.form = Visitor::signed_in(&fixture).form, &[]);
    check(403, &|visitor| visitor.form = visitor.session().to_owned(), &[]);
    check(400, &|visitor| visitor.cookies.clear(), &[]);
    let mut site = Visitor::new(&fixture);
    assert_eq!(site.press_with("sign_in=github", &[("Origin", "https://evil.example")]).status(), 403);
}

#[test]
fn a_form_that_names_no_single_button_ends_nothing() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    let mut visitor = Visitor::signed_in(&fixture);
    for button in ["", "revoke=", "revoke=all&sign_out=here", "revoke=all&revoke=all", "revoke=%"] {
        assert_eq!(visitor.press(button).status(), 400, "{button}");
        assert_eq!(grants(&fixture).len(), 1, "{button}");
    }
    assert_eq!((visitor.press("revoke=all").status(), grants(&fixture).len()), (200, 0));
}

/// C4: without the cookie of this sign-in GitHub is not even asked, and nobody becomes anybody.
#[test]
fn a_sign_in_belongs_to_its_browser() {
    let fixture = fake::fixture();
    let mut attacker = Visitor::new(&fixture);
    attacker.press("sign_in=github");
    let mut victim = Visitor::new(&fixture);
    victim.press("sign_in=github");
    victim.github_state.clone_from(&attacker.github_state);
    let response = victim.callback("code=good");
    assert_eq!((response.status(), fixture.provider.redemptions()), (400, 0));
    assert!(!victim.cookies.iter().any(|cookie| cookie.contains("mcp_account")));
}

/// G1: the verifier that GitHub gets is the one of the challenge.
#[test]
fn a_sign_in_has_a_verifier_of_its_own() {
    let fixture = fake::fixture();
    let mut visitor = Visitor::new(&fixture);
    let location = visitor.press("sign_in=github").header_value("location").unwrap().to_owned();
    visitor.callback("code=good");
    let expected = browser::hash(&fixture.provider.last_verifier());
    assert!(location.contains(&format!("code_challenge={expected}")), "{location}");
}

/// A failure at GitHub is shown on the page where the person can try again.
#[test]
fn a_failed_sign_in_can_be_repeated() {
    let check = |prepare: &dyn Fn(&Fixture), query: &str, status, words: &str| {
        let fixture = fake::fixture();
        let mut visitor = Visitor::new(&fixture);
        visitor.press("sign_in=github");
        prepare(&fixture);
        let response = visitor.callback(query);
        assert_eq!(response.status(), status, "{words}");
        let page = text(&response);
        assert!(page.contains(words) && page.contains("name=sign_in"), "{page}");
        assert!(visitor.cookies.iter().all(|cookie| cookie.contains("mcp_login")), "{words}");
    };
    let late = |fixture: &Fixture| fixture.clock.advance(limits::LOGIN_LIFETIME);
    check(&|f| f.provider.fail_with(ProviderError::Unreachable), "code=good", 502, "GitHub does not answer");
    check(&|f| f.provider.fail_with(ProviderError::Busy), "code=good", 503, "Too many people");
    check(&|_| (), "code=bad", 400, "did not confirm");
    check(&|_| (), "", 400, "did not confirm");
    check(&|_| (), "error=application_suspended", 502, "does not accept this server");
    check(&late, "code=good", 400, "took too long");
    let fixture = fake::fixture();
    let mut visitor = Visitor::new(&fixture);
    visitor.press("sign_in=github");
    let response = visitor.callback("error=access_denied");
    assert_eq!(response.header_value("location"), Some("https://mcp.example.com/account"));
    assert!(visitor.cookies.is_empty());
}

/// O17: whoever is signed in here still passes consent and GitHub for each authorization, and the cookie, its form and the
/// state of its sign-in are worth nothing anywhere else.
#[test]
fn an_account_session_grants_nothing_else() {
    let fixture = fake::fixture();
    let visitor = Visitor::signed_in(&fixture);
    let mut browser = Browser::new(&fixture);
    browser.cookies.extend(visitor.cookies.clone());
    assert_eq!(browser.open_consent_page().status(), 200);
    for (form, cookies) in [
        (browser.form.clone(), visitor.cookies.clone()),
        (visitor.form.clone(), browser.cookies.clone()),
        (visitor.session().to_owned(), browser.cookies.clone()),
        (visitor.github_state.clone(), browser.cookies.clone()),
    ] {
        (browser.form, browser.cookies) = (form, cookies);
        let response = browser.post_consent("approve", &[]);
        assert_eq!((response.status(), response.header_value("location")), (400, None));
    }
    for sealed in [visitor.session(), &visitor.form, &visitor.github_state] {
        assert!(fixture.bearer(sealed).is_err());
    }
    // Signing in gives a session and no code.
    assert_eq!(grants(&fixture).len(), 0);
}

/// Two servers with one key file: being signed in at one is worth nothing at the other.
#[test]
fn a_person_is_signed_in_at_one_server() {
    let (here, there) = (fake::fixture(), fake::elsewhere());
    Browser::new(&there).tokens();
    let mut visitor = Visitor::new(&here);
    visitor.press("sign_in=github");
    visitor.fixture = &there;
    assert_eq!((visitor.callback("code=good").status(), there.provider.redemptions()), (400, 1));
    let mut visitor = Visitor::signed_in(&here);
    let foreign_form = visitor.form.clone();
    visitor.fixture = &there;
    assert!(text(&visitor.open()).contains("name=sign_in"));
    let origin = [("Origin", "https://other.example.com")];
    assert_eq!(visitor.press_with("revoke=all", &origin).status(), 400);
    let mut visitor = Visitor::new(&there);
    visitor.press_with("sign_in=github", &origin);
    visitor.callback("code=good");
    visitor.form = foreign_form;
    assert_eq!(visitor.press_with("revoke=all", &origin).status(), 403);
    assert_eq!(grants(&there).len(), 1);
}

/// The other way round: the login of a client signs nobody in here.
#[test]
fn the_login_of_a_client_gives_no_session() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let response = browser.log_in();
    assert!(response.headers().all(|(_, value)| !value.contains("mcp_account")));
    let mut visitor = Visitor::new(&fixture);
    for value in [&browser.form, &browser.github_state, &browser.client_id] {
        visitor.cookies = vec![format!("__Host-mcp_account={value}")];
        assert!(text(&visitor.open()).contains("name=sign_in"));
    }
}

/// C5: ten minutes, this host only, not for scripts.
#[test]
fn a_session_is_short_and_bound_to_this_host() {
    let fixture = fake::fixture();
    let mut visitor = Visitor::new(&fixture);
    visitor.press("sign_in=github");
    let response = visitor.callback("code=good");
    let cookies = response.headers().filter(|(name, _)| *name == "Set-Cookie");
    let cookie = cookies.map(|(_, value)| value).find(|value| value.contains("account")).unwrap();
    assert!(cookie.starts_with("__Host-mcp_account=mcp_as_"), "{cookie}");
    assert!(cookie.ends_with("; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    visitor.open();
    fixture.clock.advance(limits::ACCOUNT_LIFETIME);
    assert!(text(&visitor.open()).contains("name=sign_in"));
    let late = visitor.press("revoke=all");
    assert_eq!(late.status(), 400);
    assert!(text(&late).contains("You are not signed in any more"));
}

/// H11: a cookie that somebody else put in front does not hide the right one.
#[test]
fn the_first_valid_cookie_counts() {
    let fixture = fake::fixture();
    let mut visitor = Visitor::signed_in(&fixture);
    visitor.cookies.insert(0, "__Host-mcp_account=mcp_as_planted".to_owned());
    assert!(text(&visitor.open()).contains("<strong>octocat</strong>"));
}

#[test]
fn signing_out_clears_the_cookie() {
    let fixture = fake::fixture();
    let mut visitor = Visitor::signed_in(&fixture);
    let page = text(&visitor.press("sign_out=here"));
    assert!(page.contains("You are signed out here"), "{page}");
    assert!(visitor.cookies.is_empty());
}

/// One sender cannot use up the logins that GitHub allows the app.
#[test]
fn sign_ins_are_limited_like_logins() {
    let fixture = fake::fixture();
    let mut visitor = Visitor::new(&fixture);
    for _ in 0..limits::SIGN_INS {
        assert_eq!(visitor.press("sign_in=github").status(), 303);
    }
    let response = visitor.press("sign_in=github");
    assert_eq!((response.status(), response.header_value("location")), (429, None));
    assert!(response.header_value("retry-after").is_some());
}

/// Four senders do for an hour what they can, and people who have nothing here at that: everybody else sees their account.
#[test]
fn four_senders_cannot_exhaust_sign_ins_for_others() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    fixture.provider.identity(7, "stranger");
    let mut asked = 0;
    for _ in 0..6 {
        for number in 0..4 {
            for _ in 0..limits::SIGN_INS {
                let mut visitor = Visitor { peer: [203, 0, 113, number], ..Visitor::new(&fixture) };
                visitor.press("sign_in=github");
                asked += usize::from(visitor.callback("code=good").status() == 303);
            }
        }
        fixture.clock.advance(std::time::Duration::from_secs(600));
    }
    assert!(asked <= 4 * 2 * usize::try_from(limits::FAILED_LOGINS).unwrap(), "{asked}");
    fixture.provider.identity(583_231, "octocat");
    assert!(text(&Visitor::signed_in(&fixture).open()).contains("<strong>octocat</strong>"));
}

/// B1, C9: the headers of every page, and a referrer policy that lets browsers send a true Origin with the form.
#[test]
fn the_page_is_as_guarded_as_the_consent_page() {
    let fixture = fake::fixture();
    let mut visitor = Visitor::signed_in(&fixture);
    let response = visitor.open();
    let check = |name, expected| assert_eq!(response.header_value(name), Some(expected), "{name}");
    check("x-frame-options", "DENY");
    check("cache-control", "no-store");
    check("referrer-policy", "same-origin");
    assert!(response.header_value("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
}

/// S4: whoever has the key can forge a session for this page, but learns no grant's id here, without which no token can be
/// forged.
#[test]
fn the_page_names_no_grant_by_its_id() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    let mut visitor = Visitor::signed_in(&fixture);
    let id = grants(&fixture)[0].to_string();
    assert!(!text(&visitor.open()).contains(&id));
    visitor.press(&format!("revoke={id}"));
    assert_eq!(grants(&fixture).len(), 1);
}

/// Expired grants are not shown, even before the sweep has deleted them.
#[test]
fn grants_that_are_over_are_not_listed() {
    let fixture = fake::fixture();
    Browser::new(&fixture).tokens();
    fixture.clock.advance(limits::GRANT_LIFETIME);
    assert!(text(&Visitor::signed_in(&fixture).open()).contains("No program may act"));
}
