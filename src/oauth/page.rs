//! The pages for people: plain HTML and one style sheet, no script. Every value is escaped here.

use super::authorization::{AuthorizationRequest, AuthorizeError, ReturnTo};
use super::client::ClientOrigin;
use super::problem::{Explanation, Problem, blocked};
use super::provider::Obstacle;
use super::redirect::{RedirectUri, Target};
use crate::base::{Scopes, trace};
use crate::http::{self, Response, escape};

/// The name of a program that has none.
pub(super) const NAMELESS: &str = "A program that gives no name";

const STYLE: &str = include_str!("style.css");

/// The pages of one server, with its names.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The server's name in clients' commands: letters, digits, hyphens and underscores.
    pub(super) name: String,
    /// The server's title, above each page.
    pub(super) title: String,
    /// Descriptions of scopes.
    scope_words: Vec<(String, String)>,
    /// The path below which every server is, and that of this one.
    pub(super) base: String,
    path: String,
}

impl Pages {
    /// `name` is the server's name in clients' commands, `title` that for people.
    pub fn new(name: &str, title: &str, scope_words: Vec<(String, String)>) -> Pages {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
        let name: String = name.chars().map(safe).collect();
        let name = match name.trim_matches('-') {
            "" => "mcp",
            name => name,
        };
        let (name, title) = (name.to_owned(), title.to_owned());
        Pages { name, title, scope_words, base: String::new(), path: String::new() }
    }

    /// These pages for a server at `path`, one of those below `base`.
    pub(super) fn at(self, base: &str, path: &str) -> Pages {
        Pages { base: base.to_owned(), path: path.to_owned(), ..self }
    }

    /// The page of a problem.
    pub(super) fn problem(&self, problem: Problem) -> Response {
        self.ended_login(problem, "")
    }

    /// The page of a problem that ended the login of a client, with the way back to it.
    pub(super) fn ended_login(&self, problem: Problem, way_back: &str) -> Response {
        let Explanation { status, reason, title, text } = problem.explanation();
        trace::refused(reason);
        let body = format!("<p>{}</p>{}{way_back}", escape(text), reference());
        problem.retry_after(self.page(status, title, &body))
    }

    /// The page for a person whom the policy does not admit, with GitHub's reason if it has named one.
    pub(super) fn not_allowed(&self, login: &str, obstacle: Option<Obstacle>, way_back: &str) -> Response {
        let login = escape(login);
        let (reason, title, text) = match obstacle {
            Some(obstacle) => {
                let Explanation { reason, title, text, .. } = blocked(obstacle);
                (reason, title, format!("<strong>{login}</strong>.</p><p>{}", escape(text)))
            }
            None => {
                let text = format!(
                    "<strong>{login}</strong>, and this server does not let that account in.</p><p>If you have another \
                     GitHub account, sign in to it on github.com first, then start the login again from your MCP client. \
                     Otherwise ask the person who runs this server to let you in. If you should be in through an \
                     organisation, it may have to approve this app first (on GitHub: Settings, Applications)."
                );
                ("not_allowed", "This account is not let in", text)
            }
        };
        trace::refused(reason);
        let body = format!("<p>You are signed in to GitHub as {text}</p>{}{way_back}", reference());
        self.page(403, title, &body)
    }

    /// An answer that is not sent to an open web client by itself, so that this server cannot be used to send people anywhere
    /// (O7): a link that the person may follow.
    pub(super) fn interstitial(&self, error: AuthorizeError, way_back: &str) -> Response {
        let (title, text) = if error == AuthorizeError::Denied {
            ("Nothing was allowed", "You did not let the program in.".to_owned())
        } else {
            let (_, description) = error.wire();
            let text = "The program asked for something that this server does not do";
            ("This login cannot go on", format!("{text}: {description}. Its developers can fix that."))
        };
        self.page(400, title, &format!("<p>{}</p>{way_back}", escape(&text)))
    }

    /// The consent page.
    pub(super) fn consent(
        &self,
        request: &AuthorizationRequest,
        sealed: &str,
        server: &str,
        token: &str,
    ) -> Response {
        let to = &request.return_to;
        let name = to.client_name.as_deref().unwrap_or(NAMELESS);
        let vouched = vouched(&to.origin, &to.redirect_uri);
        let elsewhere = matches!(&to.origin, ClientOrigin::Document(host) if !to.redirect_uri.is_at(host));
        let (kind, started) = match to.redirect_uri.target() {
            Target::Web => ("a web site", elsewhere.then_some("on the web site that the login is sent to")),
            Target::Loopback => ("a program on this computer", Some("in a program on this computer")),
            Target::PrivateScheme => ("an app on this device", Some("in an app on this device")),
        };
        let warn = "Allow this only if you have just started this login";
        let warning = started.map(|place| format!("<p class=warn>{warn} {place}.</p>")).unwrap_or_default();
        let scopes = self.scope_list(&request.scopes);
        let body = format!(
            "<dl>\
         <div><dt>Program</dt><dd>{name}<small>{vouched}</small></dd></div>\
         <div><dt>Login sent to</dt><dd>{place}<small>{kind}</small></dd></div>\
         <div><dt>What it may do</dt><dd><ul>{scopes}</ul></dd></div>\
         <div><dt>Server</dt><dd>{resource}</dd></div>\
         </dl>{warning}\
         <p class=soft>Next, GitHub tells this server who you are. The program never sees your GitHub password or token.{token}</p>\
         <form method=post action=\"{path}/consent\">\
         <input type=hidden name=pending value=\"{sealed}\">\
         <div class=buttons>\
         <button class=go name=decision value=approve>Continue with GitHub</button>\
         <button name=decision value=deny>Cancel</button>\
         </div></form>",
            path = self.path,
            name = escape(name),
            place = escape(&to.redirect_uri.place()),
            resource = escape(&request.resource),
            sealed = escape(sealed),
        );
        self.form_page(200, &format!("Let {name} use {server}?"), &body)
    }

    pub(super) fn scope_list(&self, scopes: &Scopes) -> String {
        scopes.iter().map(|scope| format!("<li>{}</li>", self.scope_in_words(scope))).collect()
    }

    fn scope_in_words(&self, scope: &str) -> String {
        match (self.scope_words.iter().find(|(name, _)| name == scope), scope) {
            (Some((_, words)), _) => escape(words),
            (None, "mcp") => "Use the tools, prompts and resources of this server in your name".to_owned(),
            (None, other) => format!("<code>{}</code>", escape(other)),
        }
    }

    pub(super) fn page(&self, status: u16, title: &str, body: &str) -> Response {
        self.page_with_referrer(status, title, body, "no-referrer")
    }

    /// C9: with no-referrer browsers would send `Origin: null` with the form.
    pub(super) fn form_page(&self, status: u16, title: &str, body: &str) -> Response {
        self.page_with_referrer(status, title, body, "same-origin")
    }

    fn page_with_referrer(&self, status: u16, title: &str, body: &str, referrer: &'static str) -> Response {
        let body = format!(
            "<main><p class=server>{}</p><h1>{}</h1>{body}</main>",
            escape(&self.title),
            escape(title)
        );
        http::page(status, &format!("{title} · {}", self.title), STYLE, &body)
            .header("Cache-Control", "no-store")
            .header("Referrer-Policy", referrer)
    }
}

/// G3: the name under which the person who runs this server finds this very request in the log.
pub(super) fn reference() -> String {
    trace::current().map_or_else(String::new, |trace| format!("<p>Reference: {}</p>", trace.request))
}

/// A button that takes the person back to the client with an error. Where an open web client gets its answer is named (O7).
pub(super) fn way_back(to: &ReturnTo, location: &str) -> String {
    let place = escape(&to.redirect_uri.place());
    let (words, label) = if to.is_trusted() {
        (String::new(), escape(to.client_name.as_deref().unwrap_or("the program")))
    } else {
        let words = "which asked for this login, or just close this page.";
        (format!("<p>You may go back to <strong>{place}</strong>, {words}</p>"), place)
    };
    format!(
        "{words}<div class=buttons><a class=button rel=\"noopener noreferrer\" href=\"{}\">Back to {label}</a></div>",
        escape(location)
    )
}

/// C1: the sentence that says how far the client's name is verified. A document claims that its host vouches for the client. But many hosts
/// serve files that others have put there, so the claim counts only if the code goes to that very host. A program on this computer
/// can present anybody's document, because the loopback redirect URI in it is open to every program here.
fn vouched(origin: &ClientOrigin, redirect_uri: &RedirectUri) -> String {
    let host = match origin {
        ClientOrigin::Registered => {
            return "This name is unverified: the program chose it itself.".to_owned();
        }
        ClientOrigin::Configured => return "The person who runs this server registered it.".to_owned(),
        ClientOrigin::Document(host) => escape(host),
    };
    match redirect_uri.target() {
        Target::Web if redirect_uri.is_at(&host) => format!("Verified: it belongs to <b>{host}</b>."),
        Target::Web => {
            format!(
                "It says that it belongs to <b>{host}</b>; anyone who can put a file there can say so, and the login is sent \
                 elsewhere."
            )
        }
        Target::Loopback | Target::PrivateScheme => {
            format!("It says that it belongs to <b>{host}</b>; any program on this device can say so.")
        }
    }
}

#[cfg(test)]
mod tests;
