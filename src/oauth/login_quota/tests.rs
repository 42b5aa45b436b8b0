//! Many people, few people who come often, and a GitHub that takes its time.

use std::net::IpAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::base::{AllowRule, Clock, Group};
use crate::oauth::AuthorizationServer;
use crate::oauth::fake::{self, Browser, Fixture, text, tokens};
use crate::oauth::provider::ProviderError;

const HOUR: Duration = Duration::from_secs(3600);

/// A browser at the `number`th address, with its consent page open.
fn at(fixture: &Fixture, number: u16) -> Browser<'_> {
    let mut browser = Browser::new(fixture);
    let [high, low] = number.to_be_bytes();
    browser.peer = IpAddr::from([198, 18, high, low]);
    browser
}

fn for_members(fixture: &Fixture) -> AuthorizationServer {
    fixture.provider.member_of(&["acme"]);
    fake::server_with(fixture, vec![AllowRule::Group(Group::Org("acme".to_owned()))])
}

/// How many of these people get in who come back from GitHub at the same moment.
fn log_in_together(people: &mut [Browser<'_>]) -> usize {
    people.iter_mut().for_each(|browser| assert_eq!(browser.approve().status(), 303));
    let (start, admitted) = (Barrier::new(people.len()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for browser in people {
            let (start, admitted) = (&start, &admitted);
            scope.spawn(move || {
                start.wait();
                if browser.callback("code=good").status() == 303 {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    admitted.into_inner()
}

/// As many as one sender may begin in ten minutes come back at once: those who find no place wait for one.
#[test]
fn simultaneous_callbacks_of_one_sender_all_succeed() {
    let mut fixture = fake::fixture();
    fixture.server.callback.quota.patience = HOUR; // a busy machine takes its time
    fixture.provider.takes(Duration::from_millis(100));
    let mut people: Vec<_> = (0..limits::LOGINS).map(|_| at(&fixture, 1)).collect();
    assert_eq!(log_in_together(&mut people), people.len());
}

/// More grants of one user than may ask at once are refreshed again and again, and GitHub is asked each time: others log in meanwhile. What finds
/// no place is answered 503 and is good as before.
#[test]
fn the_refreshes_of_one_user_keep_nobody_from_logging_in() {
    let mut fixture = fake::fixture();
    fixture.server = for_members(&fixture);
    let grants: Vec<_> = (0..6)
        .map(|number| {
            let mut browser = at(&fixture, number);
            let pair = browser.tokens();
            (browser, pair)
        })
        .collect();
    let mut others: Vec<_> = (100..104).map(|number| at(&fixture, number)).collect();
    fixture.provider.takes(Duration::from_millis(100));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (browser, pair) in &grants {
            let over = &over;
            scope.spawn(move || {
                let mut pair = pair.clone();
                let mut last = 503;
                while !over.load(Ordering::Relaxed) || last == 503 {
                    let response = browser.refresh(&pair.refresh);
                    last = response.status();
                    match last {
                        200 => pair = tokens(&response),
                        503 => assert_eq!(response.header_value("retry-after"), Some("5")),
                        other => panic!("{other}: {}", text(&response)),
                    }
                }
            });
        }
        while fixture.server.token.upstreams.places.queue() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(log_in_together(&mut others), others.len());
        over.store(true, Ordering::Relaxed);
    });
}

/// A login that finds no place is not spent: the page that says so can be reloaded. GitHub's own no needs no place.
#[test]
fn a_login_refused_for_lack_of_a_place_can_be_retried() {
    let mut fixture = fake::fixture();
    fixture.server.callback.quota.patience = Duration::ZERO;
    let (mut one, mut other) = (at(&fixture, 1), at(&fixture, 1));
    let (one_s, elsewhere) = (Sender::of(Some(one.peer)), Sender::of(Some(at(&fixture, 2).peer)));
    one.approve();
    other.approve();
    let places = &fixture.server.callback.quota.places;
    let held: Vec<_> = (0..limits::LOGIN_PLACES.0).map(|_| places.take(one_s).unwrap()).collect();
    assert!(places.take(one_s).is_none() && places.take(elsewhere).is_some());
    let busy = one.callback("code=good");
    assert_eq!((busy.status(), busy.header_value("retry-after")), (503, Some("5")));
    assert!(text(&busy).contains("Your login is not lost") && busy.header_value("set-cookie").is_none());
    assert_eq!(fixture.provider.redemptions(), 0);
    assert_eq!(other.callback("error=access_denied").status(), 303);
    drop(held);
    assert_eq!(one.callback("code=good").status(), 303);
}

/// C4: a login that is over takes no place and waits for none, however many requests repeat it.
#[test]
fn a_spent_login_takes_no_place() {
    let mut fixture = fake::fixture();
    fixture.server.callback.quota.patience = Duration::ZERO;
    let mut browser = at(&fixture, 1);
    assert_eq!(browser.log_in().status(), 303);
    let (sender, places) = (Sender::of(Some(browser.peer)), &fixture.server.callback.quota.places);
    let _held: Vec<_> = (0..limits::LOGIN_PLACES.0).map(|_| places.take(sender).unwrap()).collect();
    let answer = browser.callback("code=good");
    assert!(answer.status() == 400 && text(&answer).contains("This login is over"), "{}", text(&answer));
}

/// Nine senders do, for an hour, all they can to use up what GitHub allows the app: an invented code each time, or a person who is
/// not let in. Everybody else logs in.
#[test]
fn nine_senders_cannot_exhaust_logins_for_others() {
    for stranger in [false, true] {
        let fixture = fake::fixture();
        let mut asked = 0;
        for _ in 0..6 {
            for number in 0..9 {
                for _ in 0..limits::LOGINS {
                    let mut browser = at(&fixture, number);
                    if stranger {
                        fixture.provider.identity(7, "stranger");
                    }
                    browser.approve();
                    let status = browser.callback(if stranger { "code=good" } else { "code=bad" }).status();
                    asked += usize::from(status != 429);
                }
            }
            fixture.clock.advance(HOUR / 6);
        }
        // Each had its allowance at once, and nearly as much again in the course of the hour.
        assert!(asked <= 9 * 2 * usize::try_from(limits::FAILED_LOGINS).unwrap(), "{asked}");
        assert_eq!(fixture.provider.redemptions(), asked);
        fixture.provider.identity(583_231, "octocat");
        let mut somebody = at(&fixture, 99);
        somebody.approve();
        assert_eq!(somebody.callback("code=good").status(), 303);
    }
}

/// A person who is let in uses up nothing with their first logins of an hour, and their sender's allowance with the others.
#[test]
fn many_logins_of_one_user_are_charged_to_their_senders() {
    let fixture = fake::fixture();
    let admitted = (0..200)
        .filter(|number| {
            let mut browser = at(&fixture, number % 9);
            browser.approve();
            browser.callback("code=good").status() == 303
        })
        .count();
    assert_eq!(admitted, 200);
    let later = (0..900)
        .filter(|number| {
            let mut browser = at(&fixture, number % 9);
            browser.approve();
            browser.callback("code=good").status() == 303
        })
        .count();
    let most = usize::try_from(limits::LOGINS_PER_USER + 9 * limits::FAILED_LOGINS).unwrap();
    assert!(admitted + later <= most, "{later}");
}

/// The app's limit at GitHub is a limit of all users. A refused call does not count, and an outage counts as nobody's failure.
#[test]
fn logins_beyond_githubs_limit_for_the_app_must_wait() {
    let fixture = fake::fixture();
    let mut somebody = at(&fixture, 1);
    fixture.provider.fail_with(ProviderError::Unreachable);
    for _ in 0..=limits::FAILED_LOGINS {
        let mut browser = at(&fixture, 1);
        browser.approve();
        assert_eq!(browser.callback("code=good").status(), 502);
    }
    fixture.provider.recover();
    for _ in limits::FAILED_LOGINS + 1..limits::LOGINS_AT_GITHUB {
        fixture.server.callback.quota.count(fixture.clock.monotonic());
    }
    somebody.approve();
    let response = somebody.callback("code=good");
    assert_eq!(response.status(), 429);
    let wait = response.header_value("retry-after").unwrap().parse().unwrap();
    fixture.clock.advance(Duration::from_secs(wait));
    assert_eq!(somebody.callback("code=good").status(), 303);
}

/// A login about which GitHub was asked is charged to its sender unless the fault is ours or the network's: users can use up
/// their requests at GitHub on purpose.
#[test]
fn a_failed_login_is_charged_to_its_sender() {
    let allowance = usize::try_from(limits::FAILED_LOGINS).unwrap();
    let suspended = ProviderError::Blocked(crate::oauth::provider::Obstacle::Suspended);
    for (error, asked) in [
        (ProviderError::UsedUp, allowance),
        (ProviderError::Nonsense, allowance),
        (ProviderError::Refused, allowance),
        (suspended, allowance),
        (ProviderError::Busy, allowance + 5),
        (ProviderError::Misconfigured, allowance + 5),
        (ProviderError::Unreachable, allowance + 5),
    ] {
        let fixture = fake::fixture();
        fixture.provider.fail_with(error);
        for _ in 0..allowance + 5 {
            let mut browser = at(&fixture, 1);
            browser.approve();
            browser.callback("code=good");
        }
        assert_eq!(fixture.provider.redemptions(), asked, "{error}");
    }
    // So is a sign-in to the account page.
    let fixture = fake::fixture();
    fixture.provider.fail_with(ProviderError::UsedUp);
    let asked = || {
        (0..limits::SIGN_INS).for_each(|_| {
            let mut visitor = fake::Visitor::new(&fixture);
            visitor.press("sign_in=github");
            visitor.callback("code=good");
        });
        fixture.clock.advance(HOUR / 6);
        fixture.provider.redemptions()
    };
    assert_eq!([asked(), asked(), asked(), asked()], [10, 20, 26, 30]);
}

/// A code that GitHub cannot have given reaches nobody: it takes no place and none of the logins of all, and its sender is charged.
#[test]
fn github_is_not_asked_about_an_impossible_code() {
    let fixture = fake::fixture();
    let most = "a".repeat(256);
    let codes = ["", "a%20b", "a%00", "%C3%A9", "a%2Fb", "a%26b", "a%0D%0A", &format!("{most}a")];
    let mut number = 0;
    let mut callback = |code: &str| {
        number += 1;
        let mut browser = at(&fixture, number);
        browser.approve();
        let status = browser.callback(&format!("code={code}")).status();
        (status, fixture.provider.redemptions())
    };
    for code in codes {
        assert_eq!(callback(code), (400, 0), "{code}");
    }
    assert_eq!(callback(&most), (400, 1));
    assert_eq!(callback("Az09._-"), (400, 2));
    for _ in 0..limits::FAILED_LOGINS {
        let mut browser = at(&fixture, 99);
        browser.approve();
        browser.callback("code=a%20b");
    }
    let mut browser = at(&fixture, 99);
    browser.approve();
    assert_eq!((browser.callback("code=good").status(), fixture.provider.redemptions()), (429, 2));
}

/// A sender without allowance is told so at once, and does not wait for a place that it could not use.
#[test]
fn a_sender_without_allowance_waits_for_no_place() {
    let mut fixture = fake::fixture();
    fixture.server.callback.quota.patience = Duration::ZERO;
    let mut browser = at(&fixture, 1);
    let (sender, now) = (Sender::of(Some(browser.peer)), fixture.clock.monotonic());
    browser.approve();
    let logins = &fixture.server.callback.quota;
    let _held: Vec<_> = (0..limits::LOGIN_PLACES.0).map(|_| logins.places.take(sender).unwrap()).collect();
    assert_eq!(browser.callback("code=good").status(), 503);
    (0..limits::FAILED_LOGINS).for_each(|_| logins.charge(None, Some(browser.peer), now));
    assert_eq!(browser.callback("code=good").status(), 429);
}

/// However the logins of all are spread over an hour, the first one included, GitHub's own 2,000 are not reached.
#[test]
fn no_hour_has_as_many_logins_as_github_allows() {
    let logins = LoginQuota::new();
    let in_an_hour: usize = (0..3600)
        .map(|second| {
            let now = HOUR + Duration::from_secs(second);
            std::iter::from_fn(|| logins.all.spend_as((), now).ok()).count()
        })
        .sum();
    assert!((1800..2000).contains(&in_an_hour), "{in_an_hour}");
}
