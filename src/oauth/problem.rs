//! What can be wrong with a login or a visit to the account page: the status, the word in the log, and what the person is told.

use super::authorize_error::AuthorizeError;
use super::provider::{Obstacle, ProviderError};
use crate::base::limits;
use crate::base::rate::TooMany;
use crate::http::Response;

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
    TooMany(TooMany),
    /// The table could not be written.
    Storage,
    /// The account page's table could not be read. Nothing was changed.
    Table,
    /// What the person has just ended is ended, and not written yet.
    EndedInMemory,
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
            Problem::Busy
            | Problem::UsedUp
            | Problem::Storage
            | Problem::Table
            | Problem::EndedInMemory
            | Problem::Clock => 503,
            Problem::TooMany(_) => 429,
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

    /// The answer with the time after which the person may try again.
    pub(super) fn retry_after(self, response: Response) -> Response {
        let seconds = if let Problem::TooMany(too_many) = self {
            too_many.retry_after
        } else if self == Problem::Busy {
            limits::PLACE_PATIENCE.as_secs()
        } else if self == Problem::Clock {
            limits::CLOCK_RETRY.as_secs()
        } else {
            return response;
        };
        response.header("Retry-After", seconds.to_string())
    }

    /// What the log calls it.
    pub(super) fn word(self) -> &'static str {
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
            Problem::TooMany(_) => "too_many",
            Problem::Storage => "storage",
            Problem::DeniedClient => "denied_client",
            Problem::NoClientDocument => "no_client_document",
            Problem::Table => "table",
            Problem::EndedInMemory => "ended_in_memory",
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
            Problem::Blocked(obstacle) => obstacle.texts(),
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
            Problem::TooMany(_) => (
                "Too many logins from your network",
                "Wait ten minutes, then start the login again from your MCP client.",
            ),
            Problem::Storage => (
                "This server cannot save your login",
                "Nothing was allowed. The person who runs this server finds in its log why its disk refuses.",
            ),
            Problem::Table => (
                "This server's disk refuses",
                "Nothing was changed. Wait a minute, then try again. The person who runs this server finds in its log what \
                 is wrong.",
            ),
            Problem::EndedInMemory => (
                "That access has ended, but this server's disk refuses",
                "It stays ended while this server runs, which goes on trying to save that. If the server is restarted \
                 before its disk works again, end the access once more. The person who runs this server finds in its log \
                 what is wrong.",
            ),
            Problem::Clock => (
                "The clock of this server is not set yet",
                "A login would not last. Try again in a minute; after ten minutes the server goes on with the clock that it \
                 has.",
            ),
        }
    }
}
