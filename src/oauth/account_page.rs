//! What a person sees of their account: the button to sign in, and the programs that may act in their name. Every value in
//! it is escaped here.

use std::sync::Arc;

use super::account::handle;
use super::page::{self, Problem};
use crate::base::clock::Timestamp;
use crate::base::rate::TooMany;
use crate::http::{Response, escape};
use crate::store::Grant;

/// Why the sign-in page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignIn {
    /// The person has just come.
    First,
    /// They signed out.
    SignedOut,
    /// They were signed in for as long as that lasts.
    Expired,
    /// There were too many logins from their network.
    TooMany(TooMany),
    /// Something went wrong on the way.
    Again(Problem),
}

/// What has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// One grant was ended.
    Ended,
    /// All were.
    AllEnded,
}

impl Notice {
    fn text(self) -> &'static str {
        match self {
            Notice::Ended => "That access has ended. The program is signed out of this server.",
            Notice::AllEnded => "All access has ended. Every program is signed out of this server.",
        }
    }
}

const TITLE: &str = "Programs that act in your name";

/// The page with the button.
pub(super) fn sign_in(why: SignIn) -> Response {
    const WHAT_FOR: &str =
        "Sign in with GitHub to see which programs may use this server in your name, and to end that.";
    let (status, title, text) = match why {
        SignIn::First => (200, TITLE, WHAT_FOR),
        SignIn::SignedOut => {
            (200, "You are signed out here", "You may still be signed in at github.com in this browser.")
        }
        SignIn::Expired => {
            (400, "You are not signed in any more", "Nothing was changed. Signing in lasts ten minutes here.")
        }
        SignIn::TooMany(_) => {
            let (title, _) = Problem::TooMany.texts();
            (Problem::TooMany.status(), title, "Wait ten minutes, then sign in again.")
        }
        SignIn::Again(problem) => {
            let (title, _) = problem.texts();
            let text = "Nothing was changed. Wait a minute, then sign in again. If this stays so, tell the person who \
                        runs this server.";
            (problem.status(), title, text)
        }
    };
    let body = format!(
        "<p>{}</p><form method=post action=\"/account\"><div class=buttons>\
         <button class=go name=sign_in value=github>Sign in with GitHub</button></div></form>",
        escape(text)
    );
    let response = form_page(status, title, &body);
    match why {
        SignIn::TooMany(too_many) => response.header("Retry-After", too_many.retry_after.to_string()),
        SignIn::First | SignIn::SignedOut | SignIn::Expired | SignIn::Again(_) => response,
    }
}

/// The list, as one form whose buttons say what to end.
pub(super) fn list(login: &str, grants: &[Arc<Grant>], sealed: &str, notice: Option<Notice>) -> Response {
    let notice = notice
        .map(|notice| format!("<p class=done role=status>{}</p>", escape(notice.text())))
        .unwrap_or_default();
    let items: String = grants.iter().map(|grant| item(grant)).collect();
    let (items, all) = if items.is_empty() {
        ("<p>No program may use this server in your name.</p>".to_owned(), "")
    } else {
        (format!("<ul class=grants>{items}</ul>"), "<button name=revoke value=all>End access of all</button>")
    };
    let body = format!(
        "{notice}<p>You are signed in as <strong>{login}</strong> on GitHub. A program whose access you end must ask you \
         again before it can use this server.</p>\
         <form method=post action=\"/account\"><input type=hidden name=form value=\"{sealed}\">{items}\
         <div class=buttons>{all}<button name=sign_out value=here>Sign out</button></div></form>",
        login = escape(login),
        sealed = escape(sealed),
    );
    form_page(200, TITLE, &body)
}

fn item(grant: &Grant) -> String {
    let name = if grant.client.name.is_empty() { page::NAMELESS } else { &grant.client.name };
    let scopes: String =
        grant.scopes.iter().map(|scope| format!("<li>{}</li>", page::scope_in_words(scope))).collect();
    let vouched = match &grant.client.host {
        Some(host) => format!("It says that it belongs to {}.", escape(host)),
        None => "No web site vouches for this name.".to_owned(),
    };
    format!(
        "<li><h2>{name}<small>{vouched}</small></h2><dl>\
         <div><dt>Where its login was sent</dt><dd>{place}</dd></div>\
         <div><dt>What it can do</dt><dd><ul>{scopes}</ul></dd></div>\
         <div><dt>You let it in</dt><dd>{created}</dd></div>\
         <div><dt>Last used, give or take an hour</dt><dd>{last_used}</dd></div></dl>\
         <button name=revoke value=\"{handle}\" aria-label=\"End access of {name} at {place}, let in {minute}\">End access</button></li>",
        name = escape(name),
        place = escape(&grant.client.redirect),
        created = time(grant.created),
        last_used = time(grant.last_used),
        minute = minute(grant.created),
        handle = handle(grant.id),
    )
}

fn time(time: Timestamp) -> String {
    format!("<time datetime=\"{}\">{}</time>", time.rfc3339(), minute(time))
}

/// `2026-11-23 03:44 UTC`
fn minute(time: Timestamp) -> String {
    let machine = time.rfc3339();
    let minute = machine.split_at_checked(16).map_or(machine.as_str(), |(minute, _)| minute);
    format!("{} UTC", minute.replace('T', " "))
}

/// C9: with no-referrer browsers would send `Origin: null` with the form.
fn form_page(status: u16, title: &str, body: &str) -> Response {
    page::page_with_referrer(status, title, body, "same-origin")
}
