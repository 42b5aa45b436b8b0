//! The HTML of the account page: the button to sign in, and the list of programs that may act in the person's name. Every value
//! is escaped here.

use std::sync::Arc;

use super::browser;
use super::home_page::row;
use super::page::{self, Pages};
use super::problem::{Explanation, Problem};
use super::resource::{ProtectedResource, Resources};
use crate::base::{GrantId, Timestamp};
use crate::http::{Response, Uri, escape, is_loopback_host};
use crate::store::Grant;

/// Why the sign-in page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignIn {
    /// The first visit.
    First,
    /// After signing out.
    SignedOut,
    /// The session has ended.
    Expired,
    /// After a problem.
    Again(Problem),
}

/// The contents of the list for a person who has signed in.
pub(super) struct Listing<'a> {
    pub(super) login: &'a str,
    /// In their order, the latest used first.
    pub(super) grants: &'a [Arc<Grant>],
    pub(super) resources: &'a Resources,
    /// The servers that the person may use, as far as is known without asking GitHub.
    pub(super) usable: &'a [Arc<ProtectedResource>],
    pub(super) sealed: &'a str,
    pub(super) notice: Option<&'static str>,
}

pub(super) const ENDED: &str = "That access has ended. The program is signed out.";
pub(super) const ALL_ENDED: &str = "All access has ended. Every program is signed out.";

/// `limits::GITHUB_TOKENS_PER_USER` in words.
const TOKENS: &str = " For some of them this server keeps a GitHub token of yours. GitHub allows ten of these: when an eleventh program \
    logs in, the one that you have not used for the longest time is signed out.";

const TITLE: &str = "Programs that act in your name";

impl Pages {
    /// The page with the button.
    pub(super) fn sign_in(&self, why: SignIn) -> Response {
        const WHAT_FOR: &str =
            "Sign in with GitHub to see which programs may act in your name here, and to end that.";
        let (status, title, text) = match why {
            SignIn::First => (200, TITLE, WHAT_FOR),
            SignIn::SignedOut => {
                (200, "You are signed out here", "You may still be signed in at github.com in this browser.")
            }
            SignIn::Expired => {
                let text = "Nothing was changed. Signing in lasts ten minutes here.";
                (400, "You are not signed in any more", text)
            }
            SignIn::Again(problem) => {
                let Explanation { status, title, .. } = problem.explanation();
                let text = if matches!(problem, Problem::TooMany(_)) {
                    "Wait ten minutes, then sign in again."
                } else {
                    "Nothing was changed. Wait a minute, then sign in again. If this stays so, tell the person who runs \
                     this server."
                };
                (status, title, text)
            }
        };
        let body = format!(
            "<p>{}</p><form method=post action=\"{}/account\"><div class=buttons>\
         <button class=go name=sign_in value=github>Sign in with GitHub</button></div></form>",
            escape(text),
            self.base
        );
        let response = self.form_page(status, title, &body);
        match why {
            SignIn::Again(problem) => problem.retry_after(response),
            SignIn::First | SignIn::SignedOut | SignIn::Expired => response,
        }
    }

    /// The list, as one form whose buttons say what to end, and the servers if there are several.
    pub(super) fn list(&self, listing: &Listing<'_>) -> Response {
        let Listing { login, grants, resources, usable, sealed, notice } = *listing;
        let notice = notice
            .map(|notice| format!("<p class=done role=status>{}</p>", escape(notice)))
            .unwrap_or_default();
        let programs: String =
            programs(grants).iter().map(|program| self.program(resources, program)).collect();
        let (programs, all) = if programs.is_empty() {
            ("<p>No program may act in your name here.</p>".to_owned(), "")
        } else {
            let all = "<details class=all><summary>End all access</summary><p>Every program is signed out at once, and \
                   must ask you again.</p><button class=\"danger sure\" name=revoke value=all>Yes, end \
                   all access</button></details>";
            (format!("<ul class=grants>{programs}</ul>"), all)
        };
        let keeps_tokens = grants.iter().any(|grant| grant.upstream.is_some());
        let tokens = if keeps_tokens { TOKENS } else { "" };
        let body = format!(
            "{notice}<p>You are signed in as <strong>{login}</strong> on GitHub. A program whose access you end must ask you \
         again before it can act in your name.{tokens}</p>\
         <form method=post action=\"{base}/account\"><input type=hidden name=form value=\"{sealed}\">{programs}\
         {all}<div class=buttons><button name=sign_out value=here>Sign out</button></div></form>{servers}",
            base = self.base,
            servers = servers(usable),
            login = escape(login),
            sealed = escape(sealed),
        );
        self.form_page(200, TITLE, &body)
    }

    fn program(&self, resources: &Resources, program: &Program<'_>) -> String {
        let Program { name, host, place, resource, grants } = program;
        let known = resources.find(resource);
        let (pages, server) = match &known {
            Some(known) if known.name.is_none() => (&known.pages, None),
            Some(known) => (&known.pages, Some(escape(&known.pages.title))),
            None => (self, Some(escape(resource))),
        };
        let cell = server.as_ref().map(|server| format!("<span>{server}</span>")).unwrap_or_default();
        let at_server = server.map(|server| format!(", at {server}")).unwrap_or_default();
        let vouched = match host {
            Some(host) => format!("It says that it belongs to {}.", escape(host)),
            None => "No web site vouches for this name.".to_owned(),
        };
        let handles: Vec<String> = grants.iter().map(|grant| handle(grant.id)).collect();
        let last_used = grants.first().map(|grant| time(grant.last_used)).unwrap_or_default();
        let (summary, ends_one) = match grants.len() {
            1 => ("Details".to_owned(), false),
            logins => (format!("{logins} logins"), true),
        };
        let logins: String = grants.iter().map(|grant| pages.login(grant, ends_one)).collect();
        let (name, place) = (escape(name), escape(place));
        format!(
            "<li><div class=program><h2>{name}</h2><span>{place}</span>{cell}<span>last used {last_used}</span>\
         <button class=danger name=revoke value=\"{}\" aria-label=\"End access of {name}, {place}{at_server}\">End</button></div>\
         <details><summary>{summary}</summary><p>{vouched}</p>{logins}</details></li>",
            handles.join(HANDLES_END),
        )
    }

    fn login(&self, grant: &Grant, ends_one: bool) -> String {
        let scopes = self.scope_list(&grant.scopes);
        let end = if ends_one {
            format!("<button class=danger name=revoke value=\"{}\">End this login</button>", handle(grant.id))
        } else {
            String::new()
        };
        format!(
            "<div class=login><p>You let it in {}; last used, give or take an hour, {}. Its login was sent to \
             <b>{}</b>. It can:</p><ul>{scopes}</ul>{end}</div>",
            time(grant.created),
            time(grant.last_used),
            escape(&grant.client.redirect),
        )
    }
}

/// The servers, if there are several, each with the URL by which a client is connected to it.
fn servers(usable: &[Arc<ProtectedResource>]) -> String {
    let rows: String = usable
        .iter()
        .filter(|resource| resource.name.is_some())
        .map(|resource| {
            let title = format!("<a href=\"{}\">{}</a>", resource.url.path(), escape(&resource.pages.title));
            row(&title, &format!("<code>{}</code>", escape(&resource.uri)))
        })
        .collect();
    if rows.is_empty() {
        rows
    } else {
        format!("<h2>Servers that you may use</h2><dl class=ways>{rows}</dl>")
    }
}

/// Stands between the handles in the value of a button that ends several grants.
pub(super) const HANDLES_END: &str = ".";

/// The page's name for a grant: a hash of its id. A thief of the key file could forge a session for this page, and with the ids of
/// grants also tokens, so the page must not show them.
pub(super) fn handle(id: GrantId) -> String {
    browser::hash(&id.to_string())
}

/// Grants that are listed as one program: their clients have the same name, verified host, redirect target and server.
struct Program<'a> {
    name: &'a str,
    host: Option<&'a str>,
    place: &'a str,
    resource: &'a str,
    grants: Vec<&'a Grant>,
}

fn programs(grants: &[Arc<Grant>]) -> Vec<Program<'_>> {
    let mut programs: Vec<Program<'_>> = Vec::new();
    for grant in grants {
        let client = &grant.client;
        let name = if client.name.is_empty() { page::NAMELESS } else { &client.name };
        let (host, place) = (client.host.as_deref(), place(&client.redirect));
        let resource = grant.resource.as_str();
        let same = |program: &&mut Program<'_>| {
            let Program { name: its_name, host: its_host, place: its_place, resource: its_resource, .. } =
                **program;
            (its_name, its_host, its_place, its_resource) == (name, host, place, resource)
        };
        match programs.iter_mut().find(same) {
            Some(program) => program.grants.push(grant),
            None => programs.push(Program { name, host, place, resource, grants: vec![grant] }),
        }
    }
    programs
}

/// The place of a redirect URI for the list. Programs on a computer use another port for each login, so those are one place.
fn place(redirect: &str) -> &str {
    let uri = Uri::split(redirect);
    let is_local = uri.scheme == "http" && uri.host().is_some_and(is_loopback_host);
    if is_local { "your computer" } else { redirect }
}

/// `2026-11-23 03:44 UTC`
fn time(time: Timestamp) -> String {
    let machine = time.rfc3339();
    let minute = machine.get(..16).unwrap_or(&machine).replace('T', " ");
    format!("<time datetime=\"{machine}\">{minute} UTC</time>")
}
