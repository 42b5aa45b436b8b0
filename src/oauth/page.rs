//! What a person sees: plain HTML and one style sheet, no script. Every value in them is escaped here.

use super::authorize::{AuthorizationRequest, AuthorizeError, ReturnTo};
use super::clients::Origin;
use super::obstacle;
use super::provider::{Obstacle, ProviderError};
use super::redirect::{RedirectUri, Target};
use crate::base::trace;
use crate::http::{self, Response, escape};

/// What a program is called that does not say.
pub(super) const NAMELESS: &str = "A program that gives no name";

const STYLE: &str = include_str!("style.css");

/// The pages of one server, with what they say of it.
#[derive(Clone, Debug)]
pub struct Pages {
    /// What clients call the server: in commands, so of letters, digits, hyphens and underscores.
    pub(super) name: String,
    /// What people call it, above each page.
    pub(super) title: String,
    /// What scopes allow, in words.
    scope_words: Vec<(String, String)>,
}

/// What becomes of the GitHub token of a login (G6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GitHubToken {
    /// It is given back.
    Discarded,
    /// The policy asks GitHub again with it.
    KeptForPolicy,
    /// Tools call GitHub with it.
    KeptForTools,
}

impl GitHubToken {
    fn words(self) -> &'static str {
        match self {
            GitHubToken::Discarded => "",
            GitHubToken::KeptForPolicy => {
                " This server keeps the GitHub token of this login, encrypted, to ask GitHub now and then whether you are \
                 still let in."
            }
            GitHubToken::KeptForTools => {
                " This server keeps the GitHub token of this login, encrypted, and its tools call GitHub as you with it, as \
                 long as the program has access."
            }
        }
    }
}

/// A problem that is shown to the person, because there is nowhere safe to send them. The texts say what happened and
/// what to do next; none of them repeats what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The request's parameters could not be read.
    Unreadable,
    /// The `client_id` is not one of ours.
    UnknownClient,
    /// The operator does not want this client here.
    DeniedClient,
    /// The `client_id` is a URL, and there was no usable document to be had.
    NoClientDocument,
    /// The redirect URI is missing, malformed or not registered.
    UnregisteredRedirect,
    /// The consent form came from elsewhere.
    ForeignForm,
    /// The sealed state is missing, changed or too old.
    LoginExpired,
    /// This login has ended already, with a no, or with GitHub's answer.
    AlreadyAnswered,
    /// The cookie of this login is not in this browser.
    OtherBrowser,
    /// GitHub's answer did not come from the GitHub we sent the person to.
    WrongIssuer,
    /// GitHub did not recognise its own code.
    LoginRefused,
    /// Something at GitHub stands in the person's way.
    Blocked(Obstacle),
    /// GitHub could not be asked.
    GitHubUnreachable,
    /// GitHub lets this person ask nothing for a while.
    UsedUp,
    /// GitHub does not accept this server's own configuration.
    Misconfigured,
    /// Too many logins at once.
    Busy,
    /// Too many logins from this address.
    TooMany,
    /// The table could not be written.
    Storage,
    /// The table could not be read or written for the account page.
    Table,
    /// The clock of this server seems not to be set yet.
    Clock,
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Problem {
        match error {
            ProviderError::Refused => Problem::LoginRefused,
            ProviderError::Blocked(obstacle) => Problem::Blocked(obstacle),
            ProviderError::Misconfigured => Problem::Misconfigured,
            ProviderError::Unreachable | ProviderError::Nonsense => Problem::GitHubUnreachable,
            ProviderError::UsedUp => Problem::UsedUp,
            ProviderError::Busy => Problem::Busy,
        }
    }
}

impl Problem {
    pub(super) fn status(self) -> u16 {
        match self {
            Problem::ForeignForm | Problem::DeniedClient | Problem::Blocked(_) => 403,
            Problem::GitHubUnreachable | Problem::Misconfigured => 502,
            Problem::Busy | Problem::UsedUp | Problem::Storage | Problem::Table | Problem::Clock => 503,
            Problem::TooMany => 429,
            Problem::Unreadable
            | Problem::UnknownClient
            | Problem::NoClientDocument
            | Problem::UnregisteredRedirect
            | Problem::LoginExpired
            | Problem::OtherBrowser
            | Problem::AlreadyAnswered
            | Problem::WrongIssuer
            | Problem::LoginRefused => 400,
        }
    }

    /// What the client is told if the login ends with it.
    pub(super) fn answer(self) -> AuthorizeError {
        match self.status() {
            403 => AuthorizeError::NotAllowed,
            429 | 502 | 503 if self != Problem::Misconfigured => AuthorizeError::Unavailable,
            _ => AuthorizeError::LoginFailed,
        }
    }

    /// What the log calls it.
    fn word(self) -> &'static str {
        match self {
            Problem::Unreadable => "unreadable",
            Problem::UnknownClient => "unknown_client",
            Problem::UnregisteredRedirect => "unregistered_redirect",
            Problem::ForeignForm => "foreign_form",
            Problem::LoginExpired => "login_expired",
            Problem::OtherBrowser => "other_browser",
            Problem::AlreadyAnswered => "already_answered",
            Problem::WrongIssuer => "wrong_issuer",
            Problem::LoginRefused => "login_refused",
            Problem::Blocked(obstacle) => obstacle.word(),
            Problem::GitHubUnreachable => "github_unreachable",
            Problem::Misconfigured => "misconfigured",
            Problem::Busy => "busy",
            Problem::UsedUp => "used_up",
            Problem::TooMany => "too_many",
            Problem::Storage => "storage",
            Problem::DeniedClient => "denied_client",
            Problem::NoClientDocument => "no_client_document",
            Problem::Table => "table",
            Problem::Clock => "clock",
        }
    }

    /// What happened, and what to do next.
    pub(super) fn texts(self) -> (&'static str, &'static str) {
        match self {
            Problem::Unreadable => (
                "This login link is damaged",
                "Some of its parameters cannot be read. Start the login again from your MCP client; if it happens \
                 again, report it to the people who make the client.",
            ),
            Problem::UnknownClient => (
                "This server does not know the program that sent you here",
                "Its registration is from another server or from before this server's key was changed. Remove this \
                 server from your MCP client and add it again, so that it registers anew. In Claude Code: \
                 /mcp, then “Clear authentication”.",
            ),
            Problem::DeniedClient => (
                "The program that sent you here may not use this server",
                "The person who runs this server does not let this program in, whoever uses it. Ask them if you think \
                 that they should.",
            ),
            Problem::NoClientDocument => (
                "This server could not find out which program sent you here",
                "The program says that it is described at a web address, but no usable description was found there just \
                 now. Wait a minute, then start the login again from your MCP client; if it happens again, report it to \
                 the people who make the client.",
            ),
            Problem::UnregisteredRedirect => (
                "The program that sent you here asked for an answer at an unknown place",
                "The address is not one that it registered, so this server will not send anything there. Remove this \
                 server from your MCP client and add it again; if it happens again, somebody may be trying to trick you.",
            ),
            Problem::ForeignForm => (
                "This answer did not come from this server's own page",
                "Nothing was allowed. Start the login again from your MCP client and answer on the page that opens.",
            ),
            Problem::LoginExpired => (
                "This login took too long",
                "A login has to be finished within ten minutes. Start it again from your MCP client.",
            ),
            Problem::AlreadyAnswered => (
                "This login is over",
                "It has been answered once, and that counts. If you are not logged in, start the login again from your \
                 MCP client.",
            ),
            Problem::OtherBrowser => (
                "This login was not started in this browser",
                "Nothing was allowed. Start the login again from your MCP client, answer in the browser that opens, \
                 and allow it to keep cookies for this site.",
            ),
            Problem::WrongIssuer => (
                "The answer did not come from GitHub",
                "Nothing was allowed. Start the login again from your MCP client.",
            ),
            Problem::LoginRefused => (
                "GitHub did not confirm this login",
                "Its confirmation works once and for a few minutes only. Start the login again from your MCP client.",
            ),
            Problem::Blocked(obstacle) => obstacle::texts(obstacle),
            Problem::GitHubUnreachable => (
                "GitHub does not answer",
                "Wait a minute, then start the login again from your MCP client. githubstatus.com says whether GitHub \
                 has a problem.",
            ),
            Problem::Misconfigured => (
                "GitHub does not accept this server",
                "Its client id, client secret or callback address is wrong. The person who runs this server finds in \
                 its log what to change.",
            ),
            Problem::UsedUp => (
                "GitHub asks you to slow down",
                "Your GitHub account has made more requests than GitHub allows in an hour, perhaps with other programs. \
                 Wait until that hour is over, then start the login again from your MCP client.",
            ),
            Problem::Busy => (
                "Too many people are logging in right now",
                "Your login is not lost: wait a moment, then reload this page.",
            ),
            Problem::TooMany => (
                "Too many logins from your network",
                "Wait ten minutes, then start the login again from your MCP client.",
            ),
            Problem::Storage => (
                "This server cannot save your login",
                "Nothing was allowed. The person who runs this server finds in its log why its disk refuses.",
            ),
            Problem::Table => (
                "This server's disk refuses",
                "Access that you have just ended stays ended while this server runs, and it goes on trying to save that. \
                 The person who runs this server finds in its log what is wrong.",
            ),
            Problem::Clock => (
                "The clock of this server is not set yet",
                "A login would not last. Try again in a minute; after ten minutes the server goes on with the clock that it \
                 has.",
            ),
        }
    }
}

impl Pages {
    /// `name` is what clients call the server, `title` what people do.
    #[must_use]
    pub fn new(name: &str, title: &str, scope_words: Vec<(String, String)>) -> Pages {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
        let name: String = name.chars().map(safe).collect();
        let name = match name.trim_matches('-') {
            "" => "mcp",
            name => name,
        };
        Pages { name: name.to_owned(), title: title.to_owned(), scope_words }
    }

    /// The page of a problem.
    pub(super) fn problem(&self, problem: Problem) -> Response {
        self.ended_login(problem, "")
    }

    /// The page of a problem that ended the login of a client, with the way back to it.
    pub(super) fn ended_login(&self, problem: Problem, way_back: &str) -> Response {
        trace::refused(problem.word());
        let (title, text) = problem.texts();
        self.page(problem.status(), title, &format!("<p>{}</p>{}{way_back}", escape(text), reference()))
    }

    /// The page for a person whom the policy does not let in; if GitHub says what stands in the way, in those words.
    pub(super) fn not_allowed(&self, login: &str, obstacle: Option<Obstacle>, way_back: &str) -> Response {
        if let Some(obstacle) = obstacle {
            return self.blocked(login, obstacle, way_back);
        }
        trace::refused("not_allowed");
        let body = format!(
            "<p>You are signed in to GitHub as <strong>{}</strong>, and this server does not let that account in.</p>\
         <p>If you have another GitHub account, sign in to it on github.com first, then start the login again from your \
         MCP client. Otherwise ask the person who runs this server to let you in. If you should be in through an \
         organisation, it may have to approve this app first (on GitHub: Settings, Applications).</p>{}{way_back}",
            escape(login),
            reference()
        );
        self.page(403, "This account is not let in", &body)
    }

    /// An answer that is not sent to an open web client by itself, so that this server cannot be used to send people anywhere
    /// (O7): a link that the person may follow.
    pub(super) fn interstitial(&self, error: AuthorizeError, way_back: &str) -> Response {
        let (title, text) = if error == AuthorizeError::Denied {
            ("Nothing was allowed", "You did not let the program in.".to_owned())
        } else {
            let text = "The program asked for something that this server does not do";
            ("This login cannot go on", format!("{text}: {error}. Its makers can mend that."))
        };
        self.page(400, title, &format!("<p>{}</p>{way_back}", escape(&text)))
    }

    /// The consent page.
    pub(super) fn consent(
        &self,
        request: &AuthorizationRequest,
        sealed: &str,
        server: &str,
        token: GitHubToken,
    ) -> Response {
        let name = request.client_name.as_deref().unwrap_or(NAMELESS);
        let vouched = vouched(&request.origin, &request.redirect_uri);
        let (kind, warning) = match request.redirect_uri.target() {
            Target::Web => {
                let elsewhere =
                    matches!(&request.origin, Origin::Document(host) if !request.redirect_uri.is_at(host));
                let warning = "Allow this only if you have just started this login on the web site where the answer goes.";
                ("a web site", elsewhere.then_some(warning))
            }
            Target::Loopback => (
                "a program on this computer",
                Some("Allow this only if you have just started this login in a program on this computer."),
            ),
            Target::PrivateScheme => (
                "an app on this device",
                Some("Allow this only if you have just started this login in an app on this device."),
            ),
        };
        let scopes: String =
            request.scopes.iter().map(|scope| format!("<li>{}</li>", self.scope_in_words(scope))).collect();
        let warning = warning.map(|text| format!("<p class=warn>{text}</p>")).unwrap_or_default();
        let body = format!(
            "<dl>\
         <div><dt>Who asks</dt><dd>{name}<small>{vouched}</small></dd></div>\
         <div><dt>Where the answer goes</dt><dd>{place}<small>{kind}</small></dd></div>\
         <div><dt>What it could do</dt><dd><ul>{scopes}</ul></dd></div>\
         <div><dt>On which server</dt><dd>{resource}</dd></div>\
         </dl>{warning}\
         <p class=soft>Next, GitHub tells this server who you are. The program never sees your GitHub password or token.{token}</p>\
         <form method=post action=\"/consent\">\
         <input type=hidden name=pending value=\"{sealed}\">\
         <div class=buttons>\
         <button class=go name=decision value=approve>Continue with GitHub</button>\
         <button name=decision value=deny>Cancel</button>\
         </div></form>",
            name = escape(name),
            place = escape(&request.redirect_uri.place()),
            resource = escape(&request.resource),
            sealed = escape(sealed),
            token = token.words(),
        );
        // C9: with no-referrer browsers would send `Origin: null` with the form.
        self.page_with_referrer(200, &format!("Let {name} use {server}?"), &body, "same-origin")
    }

    pub(super) fn scope_in_words(&self, scope: &str) -> String {
        match (self.scope_words.iter().find(|(name, _)| name == scope), scope) {
            (Some((_, words)), _) => escape(words),
            (None, "mcp") => "Use the tools, prompts and resources of this server in your name".to_owned(),
            (None, other) => format!("<code>{}</code>", escape(other)),
        }
    }

    pub(super) fn page(&self, status: u16, title: &str, body: &str) -> Response {
        self.page_with_referrer(status, title, body, "no-referrer")
    }

    pub(super) fn page_with_referrer(
        &self,
        status: u16,
        title: &str,
        body: &str,
        referrer: &'static str,
    ) -> Response {
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
pub(super) fn way_back(to: &ReturnTo<'_>, client: Option<&str>, location: &str) -> String {
    let place = escape(&to.redirect_uri.place());
    let (words, label) = if to.is_trusted() {
        (String::new(), escape(client.unwrap_or("the program")))
    } else {
        let words = "which asked for this login, or just close this page.";
        (format!("<p>You may go back to <strong>{place}</strong>, {words}</p>"), place)
    };
    format!(
        "{words}<div class=buttons><a class=button rel=\"noopener noreferrer\" href=\"{}\">Back to {label}</a></div>",
        escape(location)
    )
}

/// C1: what the client's name is worth. A document says that its host stands behind the client. But many hosts serve files
/// that others have put there, so it counts only for codes that go to that very host; and a program on this computer can
/// present anybody's document: its redirect URI is open to every other program here.
fn vouched(origin: &Origin, redirect_uri: &RedirectUri) -> String {
    let host = match origin {
        Origin::Registered => {
            return "This name is unverified: the program registered it by itself.".to_owned();
        }
        Origin::Configured => return "The person who runs this server registered it.".to_owned(),
        Origin::Document(host) => escape(host),
    };
    match redirect_uri.target() {
        Target::Web if redirect_uri.is_at(&host) => format!("Verified: it belongs to <b>{host}</b>."),
        Target::Web => {
            format!(
                "It says that it belongs to <b>{host}</b>; whoever can put a file there can say so, and the answer goes \
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
