//! The problems of a login or of the account page, and what the person and the log are told.

use super::authorization::AuthorizeError;
use super::provider::{Obstacle, ProviderError};
use crate::base::{TooMany, limits};
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
    /// The `client_id` is a URL, and no usable document was found.
    NoClientDocument,
    /// The redirect URI is missing, malformed or not registered.
    UnregisteredRedirect,
    /// The consent form came from elsewhere.
    ForeignForm,
    /// The sealed state is missing, changed or too old.
    LoginExpired,
    /// This login has ended already, by a denial or a callback.
    AlreadyAnswered,
    /// The cookie of this login is not in this browser.
    OtherBrowser,
    /// GitHub's answer did not come from the GitHub we sent the person to.
    WrongIssuer,
    /// GitHub answered with an error, or not at all.
    GitHub(ProviderError),
    /// GitHub's token can do more than the person was told.
    WiderToken,
    /// Too many logins from this address or in total.
    TooMany(TooMany),
    /// The table could not be written.
    LoginNotStored,
    /// The account page's table could not be read. Nothing was changed.
    TableUnreadable,
    /// The grants have ended, but that is not written yet.
    EndedInMemory,
    /// The clock of this server seems not to be set yet.
    Clock,
}

/// The answer to a problem.
pub(super) struct Explanation {
    pub(super) status: u16,
    /// The word in the log.
    pub(super) reason: &'static str,
    /// A sentence about the event.
    pub(super) title: &'static str,
    /// Advice for the next step.
    pub(super) text: &'static str,
}

fn explain(status: u16, reason: &'static str) -> Explanation {
    Explanation { status, reason, title: "", text: "" }
}

impl Explanation {
    fn says(self, title: &'static str, text: &'static str) -> Explanation {
        Explanation { title, text, ..self }
    }
}

impl Problem {
    /// The error that the client gets if the login ends with this problem.
    pub(super) fn answer(self) -> AuthorizeError {
        match self.explanation().status {
            403 => AuthorizeError::NotAllowed,
            429 | 502 | 503 if self != Problem::GitHub(ProviderError::Misconfigured) => {
                AuthorizeError::Unavailable
            }
            _ => AuthorizeError::LoginFailed,
        }
    }

    /// The answer with the seconds after which the person may try again, if they are known.
    pub(super) fn retry_after(self, response: Response) -> Response {
        let seconds = if let Problem::TooMany(too_many) = self {
            too_many.retry_after
        } else if self == Problem::GitHub(ProviderError::Busy) {
            limits::PLACE_PATIENCE.as_secs()
        } else if self == Problem::Clock {
            limits::CLOCK_RETRY.as_secs()
        } else {
            return response;
        };
        response.header("Retry-After", seconds.to_string())
    }

    /// The answer, with the texts for the person and the word for the log.
    pub(super) fn explanation(self) -> Explanation {
        match self {
            Problem::Unreadable => explain(400, "unreadable").says(
                "This login link is damaged",
                "Some of its parameters cannot be read. Start the login again from your MCP client; if it \
                 happens again, report it to the people who make the client.",
            ),
            Problem::UnknownClient => explain(400, "unknown_client").says(
                "This server does not know the program that sent you here",
                "Its registration is from another server or from before this server's key was changed. \
                 Remove this server from your MCP client and add it again, so that it registers anew. In \
                 Claude Code: /mcp, then “Clear authentication”.",
            ),
            Problem::DeniedClient => explain(403, "denied_client").says(
                "The program that sent you here may not use this server",
                "The person who runs this server has blocked it for everybody. Ask them if you need it.",
            ),
            Problem::NoClientDocument => explain(400, "no_client_document").says(
                "This server could not find out which program sent you here",
                "The program says that it is described at a web address, but no usable description was \
                 found there just now. Wait a minute, then start the login again from your MCP client; if \
                 it happens again, report it to the people who make the client.",
            ),
            Problem::UnregisteredRedirect => explain(400, "unregistered_redirect").says(
                "The program that sent you here asked for an answer at an unknown place",
                "The address is not one that it registered, so this server will not send anything there. \
                 Remove this server from your MCP client and add it again; if it happens again, somebody \
                 may be trying to trick you.",
            ),
            Problem::ForeignForm => explain(403, "foreign_form").says(
                "This answer did not come from this server's own page",
                "Nothing was allowed. Start the login again from your MCP client and answer on the page \
                 that opens.",
            ),
            Problem::LoginExpired => explain(400, "login_expired").says(
                "This login took too long",
                "A login has to be finished within ten minutes. Start it again from your MCP client.",
            ),
            Problem::AlreadyAnswered => explain(400, "already_answered").says(
                "This login is over",
                "It has been answered once, and that counts. If you are not logged in, start the login \
                 again from your MCP client.",
            ),
            Problem::OtherBrowser => explain(400, "other_browser").says(
                "This login was not started in this browser",
                "Nothing was allowed. Start the login again from your MCP client, answer in the browser \
                 that opens, and allow it to keep cookies for this site.",
            ),
            Problem::WrongIssuer => explain(400, "wrong_issuer").says(
                "The answer did not come from GitHub",
                "Nothing was allowed. Start the login again from your MCP client.",
            ),
            Problem::GitHub(error) => github(error),
            Problem::WiderToken => explain(400, "wider_token").says(
                "GitHub gave more rights than you were told",
                "You have allowed this server's app at GitHub more before, and GitHub adds that to a login \
                 that asks for nothing. Nothing was allowed now. To start anew, revoke the app at GitHub \
                 (Settings, Applications, Authorized OAuth Apps), then start the login again from your MCP \
                 client. The person who runs this server can avoid this: its documentation says how, at \
                 githubScopes.",
            ),
            Problem::TooMany(_) => explain(429, "too_many").says(
                "Too many logins from your network or in total",
                "Wait ten minutes, then start the login again from your MCP client.",
            ),
            Problem::LoginNotStored => explain(503, "storage").says(
                "This server cannot save your login",
                "Nothing was allowed. The person who runs this server finds the reason in its log.",
            ),
            Problem::TableUnreadable => explain(503, "table").says(
                "This server's storage does not work",
                "Nothing was changed. Wait a minute, then try again. The person who runs this server finds \
                 in its log what is wrong.",
            ),
            Problem::EndedInMemory => explain(503, "ended_in_memory").says(
                "That access has ended, but this is not saved yet",
                "It stays ended while this server runs, which goes on trying to save that. If the server \
                 is restarted before its storage works again, end the access once more. The person who runs \
                 this server finds in its log what is wrong.",
            ),
            Problem::Clock => explain(503, "clock").says(
                "The clock of this server is not set yet",
                "A login would not last. Try again in a minute; after ten minutes the server goes on with \
                 the clock that it has.",
            ),
        }
    }
}

fn github(error: ProviderError) -> Explanation {
    match error {
        ProviderError::Refused => explain(400, "login_refused").says(
            "GitHub did not confirm this login",
            "Its confirmation works once and for a few minutes only. Start the login again from your MCP \
             client.",
        ),
        ProviderError::Unreachable | ProviderError::Nonsense => explain(502, "github_unreachable").says(
            "GitHub does not answer",
            "Wait a minute, then start the login again from your MCP client. githubstatus.com says whether \
             GitHub has a problem.",
        ),
        ProviderError::Misconfigured => explain(502, "misconfigured").says(
            "GitHub does not accept this server",
            "The person who runs this server finds in its log what to change.",
        ),
        ProviderError::UsedUp => explain(503, "used_up").says(
            "GitHub asks you to slow down",
            "Your GitHub account has made more requests than GitHub allows in an hour, perhaps with other \
             programs. Wait until that hour is over, then start the login again from your MCP client.",
        ),
        ProviderError::Busy => explain(503, "busy").says(
            "Too many people are logging in right now",
            "Your login is not lost: wait a moment, then reload this page.",
        ),
        ProviderError::Blocked(obstacle) => blocked(obstacle),
    }
}

/// The page for a person whom GitHub has identified and who is kept out by an obstacle.
pub(super) fn blocked(obstacle: Obstacle) -> Explanation {
    let blocked = explain(403, obstacle.word());
    match obstacle {
        Obstacle::Suspended => blocked.says(
            "GitHub has suspended this account",
            "As long as that is so, nobody can log in with it. support.github.com, or the people who run \
             your GitHub, can say why. If you have another GitHub account, sign in to it on GitHub, then \
             start the login again from your MCP client.",
        ),
        Obstacle::UnverifiedEmail => blocked.says(
            "Your email address is not verified at GitHub",
            "GitHub lets nobody log in elsewhere before that. Verify it on GitHub (Settings, Emails), then \
             start the login again from your MCP client.",
        ),
        Obstacle::InvitationPending => blocked.says(
            "You have not accepted your invitation yet",
            "The organisation that is let in here has invited you on GitHub. Accept the invitation, which \
             GitHub has sent you by email and shows on the organisation's page, then start the login again \
             from your MCP client.",
        ),
        Obstacle::SingleSignOn => blocked.says(
            "Your organisation wants its single sign-on first",
            "GitHub does not say whether you are a member before you have passed the organisation's single \
             sign-on (SAML). Open the organisation's page on GitHub and sign in there, then start the \
             login again from your MCP client.",
        ),
        Obstacle::AppNotApproved => blocked.says(
            "Your organisation has not approved this app",
            "An owner of the organisation has to approve the app before GitHub says who is a member. You \
             can ask for that on GitHub: Settings, Applications, Authorized OAuth Apps, this app, Request. \
             Then start the login again from your MCP client.",
        ),
        Obstacle::AddressNotAllowed => blocked.says(
            "Your organisation does not answer this server",
            "The organisation has a list of the addresses from which GitHub may be asked about it (IP \
             allow list), and this server's is not among them. An owner of the organisation can add it; \
             the person who runs this server knows which it is.",
        ),
        Obstacle::NotPermitted => blocked.says(
            "This server may not ask who is in your organisation",
            "Its app at GitHub lacks a permission. The person who runs this server finds in its log what \
             to change.",
        ),
    }
}
