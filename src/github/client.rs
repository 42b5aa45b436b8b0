//! Calls to GitHub. No call follows a redirect, exceeds its timeout, reads more than its limit of bytes, or is made while GitHub
//! has asked this caller to wait. The callers bound the number of concurrent calls: `mcp` for tools, `oauth` for logins and refreshes.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use super::answer;
use super::settings::GitHubSettings;
use crate::base::log::{self, Field};
use crate::base::{BoundedMap, Counters, Mutex, Secret, capped, clock, limits, sha256};
use crate::oauth::provider::ProviderError;
use crate::trust;

const API_MEDIA_TYPE: &str = "application/vnd.github+json";
/// The version of GitHub's REST API that `answer` was written for.
const API_VERSION: (&str, &str) = ("X-GitHub-Api-Version", "2022-11-28");

/// A complete answer: any status below 500 that is not a request to slow down.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The value of `X-OAuth-Scopes`; empty if there is none.
    pub(super) scopes: String,
    pub(super) body: Vec<u8>,
}

/// The owner of the budget that a call counts against (G7). GitHub counts calls with a user's token against that user, and calls
/// with the app's secret against the app. Pauses are kept the same way: a user who has used up their own budget, perhaps on purpose,
/// must not lock out everyone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Caller {
    /// The app's, for calls with the client secret.
    App,
    /// The user's, identified by the hash of their token.
    User([u8; 32]),
}

impl Caller {
    fn user(token: &Secret<String>) -> Caller {
        Caller::User(sha256(token.expose().as_bytes()))
    }

    /// The error while this caller has to wait. Users can use up their own budget on purpose, so that must not count as an outage of
    /// GitHub (T13).
    fn error(self) -> ProviderError {
        match self {
            Caller::App => ProviderError::Unreachable,
            Caller::User(_) => ProviderError::UsedUp,
        }
    }
}

pub(super) struct Client {
    agent: Agent,
    /// Guards the callers that GitHub has asked to slow down; each entry expires when its caller may call again.
    paused: Mutex<BoundedMap<Caller, ()>>,
    /// Calls so far, by outcome.
    pub(super) outcomes: Counters,
}

impl Client {
    pub(super) fn new(settings: &GitHubSettings, timeout: Duration) -> Client {
        // A request on a kept connection may fail, and the code of a login is valid once: another reason to keep no connection.
        let config = settings
            .trust
            .agent_config(timeout)
            .https_only(settings.url.is_https() && settings.api_url.is_https())
            .timeout_resolve(Some(timeout.min(limits::GITHUB_CONNECT)))
            .timeout_connect(Some(timeout.min(limits::GITHUB_CONNECT)))
            .build();
        Client {
            agent: config.new_agent(),
            paused: Mutex::new(BoundedMap::new(limits::GITHUB_PAUSES)),
            outcomes: Counters::default(),
        }
    }

    /// Posts a form to the login pages.
    pub(super) fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Answer, ProviderError> {
        self.call("token", Caller::App, || {
            // Without this field GitHub answers with a form.
            self.agent.post(url).header("Accept", "application/json").send_form(form.iter().copied())
        })
    }

    /// Gets from the API as the user with this token. `route` is for the log.
    pub(super) fn get(
        &self,
        route: &'static str,
        url: &str,
        token: &Secret<String>,
    ) -> Result<Answer, ProviderError> {
        self.call(route, Caller::user(token), || {
            self.agent
                .get(url)
                .header("Accept", API_MEDIA_TYPE)
                .header(API_VERSION.0, API_VERSION.1)
                .header("Authorization", format!("Bearer {}", token.expose()))
                .call()
        })
    }

    /// Deletes at the API as the app with these credentials. `route` is for the log.
    pub(super) fn delete(
        &self,
        route: &'static str,
        url: &str,
        (client_id, client_secret): (&str, &Secret<String>),
        json: &str,
    ) -> Result<Answer, ProviderError> {
        let basic = STANDARD.encode(format!("{client_id}:{}", client_secret.expose()));
        self.call(route, Caller::App, || {
            self.agent
                .delete(url)
                .header("Accept", API_MEDIA_TYPE)
                .header(API_VERSION.0, API_VERSION.1)
                .header("Authorization", format!("Basic {basic}"))
                .header("Content-Type", "application/json")
                .force_send_body()
                .send(json)
        })
    }

    fn call(
        &self,
        route: &'static str,
        caller: Caller,
        send: impl FnOnce() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, ProviderError> {
        let result = self.exchange(route, caller, send);
        self.outcomes.count(match &result {
            Ok(answer) if answer.status < 400 => "ok",
            Ok(_) | Err(ProviderError::Refused | ProviderError::Blocked(_)) => "refused",
            Err(ProviderError::Unreachable) => "unreachable",
            Err(ProviderError::Busy | ProviderError::UsedUp) => "busy",
            Err(ProviderError::Misconfigured | ProviderError::Nonsense) => "bad_answer",
        });
        result
    }

    fn exchange(
        &self,
        route: &'static str,
        caller: Caller,
        send: impl FnOnce() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, ProviderError> {
        let started = clock::instant();
        if self.must_wait(caller, clock::monotonic()) {
            return Err(caller.error());
        }
        let unreachable = |error: ureq::Error| {
            let error = trust::describe(&error); // contains no part of a header or a body
            let fields = [Field::Route(route), Field::Millis(started.elapsed()), Field::Detail(&error)];
            log::warn("github.unreachable", &fields);
            ProviderError::Unreachable
        };
        let response = send().map_err(unreachable)?;
        let status = response.status().as_u16();
        let paused = |pause: Duration| {
            self.make_wait(caller, clock::monotonic(), pause);
            let fields = [Field::Route(route), Field::Status(status), Field::Count(pause.as_secs())];
            log::warn("github.paused", &fields);
            caller.error()
        };
        if let Some(pause) = pause(status, response.headers()) {
            return Err(paused(pause));
        }
        if status >= 500 {
            log::warn("github.unreachable", &[Field::Route(route), Field::Status(status)]);
            return Err(ProviderError::Nonsense);
        }
        let scopes = header(response.headers(), "x-oauth-scopes").unwrap_or_default().to_owned();
        match capped::read_from(response.into_body().into_reader(), limits::GITHUB_BYTES) {
            Ok(body) if status == 403 && answer::is_rate_limit(&body) => Err(paused(limits::GITHUB_PAUSE)),
            Ok(body) => Ok(Answer { status, scopes, body }),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                log::warn("github.bad_answer", &[Field::Route(route), Field::Reason("too long")]);
                Err(ProviderError::Nonsense)
            }
            Err(error) => Err(unreachable(error.into())),
        }
    }

    /// Whether GitHub has asked this caller to wait beyond `now`, a time of the monotonic clock.
    fn must_wait(&self, caller: Caller, now: Duration) -> bool {
        self.paused.lock().get(&caller, now).is_some()
    }

    /// Refuses calls of this caller for `pause`, which is clamped to 1 s and [`limits::GITHUB_PAUSE_MAX`].
    fn make_wait(&self, caller: Caller, now: Duration, pause: Duration) {
        let pause = pause.clamp(Duration::from_secs(1), limits::GITHUB_PAUSE_MAX);
        self.paused.lock().insert(caller, (), (), (now, now.saturating_add(pause)));
    }
}

/// The pause that status and header fields ask for. GitHub answers 429 for a rate limit, or 403 with `Retry-After` or with no
/// request left; any other 403 is a refusal, unless [`answer::is_rate_limit`].
fn pause(status: u16, headers: &HeaderMap) -> Option<Duration> {
    let retry_after = header(headers, "retry-after").and_then(|seconds| seconds.parse().ok());
    let used_up = header(headers, "x-ratelimit-remaining") == Some("0");
    let limited = status == 429 || (status == 403 && (retry_after.is_some() || used_up));
    limited.then(|| retry_after.map_or(limits::GITHUB_PAUSE, Duration::from_secs))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
