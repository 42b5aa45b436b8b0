//! Many people at once, and a slow GitHub.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::github::FakeGitHub;
use crate::support::http::Request;
use crate::support::server::Server;
use crate::support::walk::{REDIRECT_URI, Tokens, modern, reply};

const PEOPLE: u64 = 20;
const DELAY: Duration = Duration::from_millis(250);

/// The number of successful logins if [`PEOPLE`] return from GitHub at the same moment.
fn log_in_together(server: &Server, github: &FakeGitHub) -> usize {
    let client = server.register(&[REDIRECT_URI]);
    let mut people: Vec<(Browser, String)> = (1..=PEOPLE)
        .map(|id| {
            github.log_in_as(&format!("person-{id}"), id);
            let mut browser = Browser::default();
            let callback = server.through_github(&client, &mut browser);
            (browser, callback)
        })
        .collect();
    let (start, admitted) = (Barrier::new(people.len()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (browser, callback) in &mut people {
            let (start, admitted) = (&start, &admitted);
            scope.spawn(move || {
                start.wait();
                let answer = browser.visit(callback);
                let location = answer.field("location").unwrap_or_default();
                if answer.status == 303 && location.contains("code=mcp_ac_") {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    admitted.into_inner()
}

/// Twenty people return at once: they wait for GitHub in turn, and nobody's login is lost.
#[test]
fn twenty_people_log_in_at_the_same_moment() {
    let github = FakeGitHub::start();
    let server = Server::start_with(&github, &[("MCP_ALLOW", "any")]);
    github.answers_after(DELAY);
    assert_eq!(log_in_together(&server, &github), 20);
}

/// Twenty people's clients refresh at once while GitHub has to be asked each time: all get tokens.
#[test]
fn twenty_people_refresh_at_the_same_moment() {
    let github = FakeGitHub::start();
    github.memberships(200, "membership_active");
    let server = Server::start_with(&github, &[("MCP_ALLOW", "org:octo-org")]);
    let client = server.register(&[REDIRECT_URI]);
    let refresh_tokens: Vec<String> = (1..=PEOPLE)
        .map(|id| {
            github.log_in_as(&format!("person-{id}"), id);
            let code = server.code(&client, &mut Browser::default());
            Tokens::of(&server.redeem(&client, &code).expect(200).json()).refresh
        })
        .collect();
    github.answers_after(DELAY);
    let (start, authority) = (Barrier::new(refresh_tokens.len()), server.authority());
    std::thread::scope(|scope| {
        for token in &refresh_tokens {
            let (start, client) = (&start, &client);
            scope.spawn(move || {
                let form =
                    [("grant_type", "refresh_token"), ("client_id", &*client.id), ("refresh_token", token)];
                start.wait();
                Request::post_form("/token", &form).send(authority).unwrap().expect(200);
            });
        }
    });
}

/// One user's maximum of calls to GitHub takes no place of anybody who logs in.
#[test]
fn the_calls_of_one_user_keep_nobody_from_logging_in() {
    let github = FakeGitHub::start();
    let server = Server::start_with(&github, &[("MCP_ALLOW", "any")]);
    let (_, tokens) = server.login();
    github.answers_after(DELAY);
    let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let authority = server.authority();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let request = modern("tools/call", json!({"name": "whoami", "arguments": {}}));
                    let answer = request.bearer(&tokens.access).send(authority).unwrap();
                    // One that arrives before the last one's place is free is refused.
                    let answered = reply(&answer)["result"]["structuredContent"]["login"] == "octocat";
                    calls.fetch_add(usize::from(answered), Ordering::Relaxed);
                }
            });
        }
        while calls.load(Ordering::Relaxed) < 8 {
            std::thread::yield_now();
        }
        let admitted = log_in_together(&server, &github);
        over.store(true, Ordering::Relaxed);
        assert_eq!(admitted, 20);
    });
}
