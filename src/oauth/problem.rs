//! What can be wrong with a login or a visit to the account page, and what the person and the log are told then.

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
    /// GitHub's answer, or that there was none.
    GitHub(ProviderError),
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

/// How a problem is answered.
pub(super) struct Explanation {
    pub(super) status: u16,
    /// The word in the log.
    pub(super) reason: &'static str,
    /// What happened.
    pub(super) title: &'static str,
    /// What to do next.
    pub(super) text: &'static str,
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Problem {
        Problem::GitHub(error)
    }
}

impl Problem {
    /// What the client is told if the login ends with it.
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

    /// What the person and the log are told.
    pub(super) fn explanation(self) -> Explanation {
        match self {
            Problem::Unreadable => Explanation {
                status: 400,
                reason: "unreadable",
                title: "This login link is damaged",
                text: "Some of its parameters cannot be read. Start the login again from your MCP client; if it happens \
                       again, report it to the people who make the client.",
            },
            Problem::UnknownClient => Explanation {
                status: 400,
                reason: "unknown_client",
                title: "This server does not know the program that sent you here",
                text: "Its registration is from another server or from before this server's key was changed. Remove this \
                       server from your MCP client and add it again, so that it registers anew. In Claude Code: \
                       /mcp, then “Clear authentication”.",
            },
            Problem::DeniedClient => Explanation {
                status: 403,
                reason: "denied_client",
                title: "The program that sent you here may not use this server",
                text: "The person who runs this server does not let this program in, whoever uses it. Ask them if you think \
                       that they should.",
            },
            Problem::NoClientDocument => Explanation {
                status: 400,
                reason: "no_client_document",
                title: "This server could not find out which program sent you here",
                text: "The program says that it is described at a web address, but no usable description was found there just \
                       now. Wait a minute, then start the login again from your MCP client; if it happens again, report it to \
                       the people who make the client.",
            },
            Problem::UnregisteredRedirect => Explanation {
                status: 400,
                reason: "unregistered_redirect",
                title: "The program that sent you here asked for an answer at an unknown place",
                text: "The address is not one that it registered, so this server will not send anything there. Remove this \
                       server from your MCP client and add it again; if it happens again, somebody may be trying to trick you.",
            },
            Problem::ForeignForm => Explanation {
                status: 403,
                reason: "foreign_form",
                title: "This answer did not come from this server's own page",
                text: "Nothing was allowed. Start the login again from your MCP client and answer on the page that opens.",
            },
            Problem::LoginExpired => Explanation {
                status: 400,
                reason: "login_expired",
                title: "This login took too long",
                text: "A login has to be finished within ten minutes. Start it again from your MCP client.",
            },
            Problem::AlreadyAnswered => Explanation {
                status: 400,
                reason: "already_answered",
                title: "This login is over",
                text: "It has been answered once, and that counts. If you are not logged in, start the login again from your \
                       MCP client.",
            },
            Problem::OtherBrowser => Explanation {
                status: 400,
                reason: "other_browser",
                title: "This login was not started in this browser",
                text: "Nothing was allowed. Start the login again from your MCP client, answer in the browser that opens, \
                       and allow it to keep cookies for this site.",
            },
            Problem::WrongIssuer => Explanation {
                status: 400,
                reason: "wrong_issuer",
                title: "The answer did not come from GitHub",
                text: "Nothing was allowed. Start the login again from your MCP client.",
            },
            Problem::GitHub(error) => github(error),
            Problem::TooMany(_) => Explanation {
                status: 429,
                reason: "too_many",
                title: "Too many logins from your network",
                text: "Wait ten minutes, then start the login again from your MCP client.",
            },
            Problem::Storage => Explanation {
                status: 503,
                reason: "storage",
                title: "This server cannot save your login",
                text: "Nothing was allowed. The person who runs this server finds in its log why its disk refuses.",
            },
            Problem::Table => Explanation {
                status: 503,
                reason: "table",
                title: "This server's disk refuses",
                text: "Nothing was changed. Wait a minute, then try again. The person who runs this server finds in its log what \
                       is wrong.",
            },
            Problem::EndedInMemory => Explanation {
                status: 503,
                reason: "ended_in_memory",
                title: "That access has ended, but this server's disk refuses",
                text: "It stays ended while this server runs, which goes on trying to save that. If the server is restarted \
                       before its disk works again, end the access once more. The person who runs this server finds in its log \
                       what is wrong.",
            },
            Problem::Clock => Explanation {
                status: 503,
                reason: "clock",
                title: "The clock of this server is not set yet",
                text: "A login would not last. Try again in a minute; after ten minutes the server goes on with the clock that it \
                       has.",
            },
        }
    }
}

fn github(error: ProviderError) -> Explanation {
    match error {
        ProviderError::Refused => Explanation {
            status: 400,
            reason: "login_refused",
            title: "GitHub did not confirm this login",
            text: "Its confirmation works once and for a few minutes only. Start the login again from your MCP client.",
        },
        ProviderError::Unreachable | ProviderError::Nonsense => Explanation {
            status: 502,
            reason: "github_unreachable",
            title: "GitHub does not answer",
            text: "Wait a minute, then start the login again from your MCP client. githubstatus.com says whether GitHub \
                   has a problem.",
        },
        ProviderError::Misconfigured => Explanation {
            status: 502,
            reason: "misconfigured",
            title: "GitHub does not accept this server",
            text: "Its client id, client secret or callback address is wrong. The person who runs this server finds in \
                   its log what to change.",
        },
        ProviderError::UsedUp => Explanation {
            status: 503,
            reason: "used_up",
            title: "GitHub asks you to slow down",
            text: "Your GitHub account has made more requests than GitHub allows in an hour, perhaps with other programs. \
                   Wait until that hour is over, then start the login again from your MCP client.",
        },
        ProviderError::Busy => Explanation {
            status: 503,
            reason: "busy",
            title: "Too many people are logging in right now",
            text: "Your login is not lost: wait a moment, then reload this page.",
        },
        ProviderError::Blocked(obstacle) => blocked(obstacle),
    }
}

/// The page for a person whom GitHub knows, and in whose way something stands.
pub(super) fn blocked(obstacle: Obstacle) -> Explanation {
    let (title, text) = match obstacle {
        Obstacle::Suspended => (
            "GitHub has suspended this account",
            "As long as that is so, nobody can log in with it. support.github.com, or the people who run your GitHub, can say \
             why. If you have another GitHub account, sign in to it on GitHub, then start the login again from your MCP \
             client.",
        ),
        Obstacle::UnverifiedEmail => (
            "Your email address is not verified at GitHub",
            "GitHub lets nobody log in elsewhere before that. Verify it on GitHub (Settings, Emails), then start the login \
             again from your MCP client.",
        ),
        Obstacle::InvitationPending => (
            "You have not accepted your invitation yet",
            "The organisation that is let in here has invited you on GitHub. Accept the invitation, which GitHub has sent you \
             by email and shows on the organisation's page, then start the login again from your MCP client.",
        ),
        Obstacle::SingleSignOn => (
            "Your organisation wants its single sign-on first",
            "GitHub does not say whether you are a member before you have passed the organisation's single sign-on (SAML). Open \
             the organisation's page on GitHub and sign in there, then start the login again from your MCP client.",
        ),
        Obstacle::AppNotApproved => (
            "Your organisation has not approved this app",
            "An owner of the organisation has to approve the app before GitHub says who is a member. You can ask for that on \
             GitHub: Settings, Applications, Authorized OAuth Apps, this app, Request. Then start the login again from your MCP \
             client.",
        ),
        Obstacle::AddressNotAllowed => (
            "Your organisation does not answer this server",
            "The organisation has a list of the addresses from which GitHub may be asked about it (IP allow list), and this \
             server's is not among them. An owner of the organisation can add it; the person who runs this server knows \
             which it is.",
        ),
        Obstacle::NotPermitted => (
            "This server may not ask who is in your organisation",
            "Its app at GitHub lacks a permission. The person who runs this server finds in its log what to change.",
        ),
    };
    Explanation { status: 403, reason: obstacle.word(), title, text }
}
