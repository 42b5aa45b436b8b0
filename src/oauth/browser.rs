//! The state of a login in the browser: the cookie that binds sealed values to the browser in which the login started. Nothing is
//! stored: the sealed value carries the hash of the cookie.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::sealer::Sealer;
use crate::base::{Secret, base64url, is_plain, limits, sha256};
use crate::http::{Form, Head, Request, Response};

/// Ties a sealed value to one browser: a cookie's name, and the hash of its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BrowserBinding {
    #[serde(rename = "n")]
    pub(super) cookie: String,
    #[serde(rename = "v")]
    value_hash: String,
}

impl BrowserBinding {
    /// Identifies the login: the value of its cookie is random.
    pub(super) fn hash(&self) -> &str {
        &self.value_hash
    }
}

/// The parameters of a query or form. O8: a repeated one is refused, because two readers could read it differently.
pub(super) fn read_form(bytes: &[u8], repeatable: &[&str]) -> Result<Form, Problem> {
    let form = Form::parse(bytes).map_err(|_| Problem::Unreadable)?;
    if form.repeated(repeatable).is_some() { Err(Problem::Unreadable) } else { Ok(form) }
}

/// The parameters of a request without a body.
pub(super) fn read_query(head: &Head, repeatable: &[&str]) -> Result<Form, Problem> {
    read_form(head.query.as_deref().unwrap_or_default().as_bytes(), repeatable)
}

impl Sealer {
    /// The redirect URI of logins at GitHub.
    pub(super) fn callback_url(&self) -> String {
        self.url.join("/auth/callback")
    }

    pub(super) fn account_url(&self) -> String {
        self.url.join("/account")
    }

    /// C3: the form of one of our own pages: of the right type, and from our origin if the browser names one.
    pub(super) fn own_form(&self, request: &Request) -> Result<Form, Problem> {
        let head = &request.head;
        let form = head.is_of_type("application/x-www-form-urlencoded") == Ok(true);
        let is_or_absent = |name, expected: &str| {
            head.headers.one(name).is_ok_and(|value| value.is_none_or(|value| value == expected))
        };
        let own = is_or_absent("origin", self.url.origin()) && is_or_absent("sec-fetch-site", "same-origin");
        if form && own { read_form(&request.body, &[]) } else { Err(Problem::ForeignForm) }
    }

    /// Whether the request carries the cookie to which a sealed value is bound.
    pub(super) fn check_browser(&self, head: &Head, binding: &BrowserBinding) -> Result<(), Problem> {
        let same = self.login_cookies(head).any(|(name, value)| {
            name == binding.cookie && Secret::new(hash(value)).matches(binding.value_hash.as_bytes())
        });
        if same { Ok(()) } else { Err(Problem::OtherBrowser) }
    }

    /// Starts a login with the response that `respond` makes for its binding, and sets its cookie. C5: one cookie a login, so
    /// that several tabs work; the oldest makes room, and browsers send the oldest first.
    pub(super) fn begin(&self, head: &Head, respond: impl FnOnce(BrowserBinding) -> Response) -> Response {
        let value = Secret::new(base64url(&self.random.bytes::<32>()));
        let cookie = format!("{}{}", self.login_cookie_prefix(), base64url(&self.random.bytes::<6>()));
        let binding = BrowserBinding { cookie: cookie.clone(), value_hash: hash(value.expose()) };
        let response = self.set_cookie(respond(binding), (&cookie, value.expose()), limits::LOGIN_LIFETIME);
        let ours: Vec<&str> = self.login_cookies(head).map(|(name, _)| name).collect();
        // At most as many as one browser can have: a request may carry thousands of cookies with such names.
        let surplus = ours.len().saturating_add(1).saturating_sub(limits::LOGINS_PER_BROWSER);
        ours.iter()
            .take(surplus.min(limits::LOGINS_PER_BROWSER))
            .fold(response, |response, name| self.clear_cookie(response, name))
    }

    /// The name of a cookie of ours. C5: `__Host-` keeps other hosts of the domain from setting it. It requires `Path=/`,
    /// so the name has our path, with `!` for slashes: `PublicUrl` admits no `!`. Over plain http (loopback) there is no prefix: it
    /// needs `Secure`, and not every browser keeps such cookies there.
    pub(super) fn cookie_name(&self, name: &str) -> String {
        let prefix = if self.url.is_https() { "__Host-" } else { "" };
        format!("{prefix}{name}{}", self.url.path().replace('/', "!"))
    }

    /// C5: for this host only, hidden from scripts, and of requests from other sites only in links (Lax).
    pub(super) fn set_cookie(
        &self,
        response: Response,
        (name, value): (&str, &str),
        lifetime: Duration,
    ) -> Response {
        let secure = if self.url.is_https() { " Secure;" } else { "" };
        let age = lifetime.as_secs();
        let cookie = format!("{name}={value}; Max-Age={age}; Path=/;{secure} HttpOnly; SameSite=Lax");
        response.header("Set-Cookie", cookie)
    }

    pub(super) fn clear_cookie(&self, response: Response, name: &str) -> Response {
        self.set_cookie(response, (name, ""), Duration::ZERO)
    }

    fn login_cookie_prefix(&self) -> String {
        self.cookie_name("mcp_login_")
    }

    /// The login cookies of a request, name and value, in the order the browser sent them.
    fn login_cookies<'a>(&self, head: &'a Head) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let prefix = self.login_cookie_prefix();
        cookies(head).filter(move |(name, _)| {
            name.strip_prefix(&prefix).is_some_and(|suffix| is_plain(suffix, "-_", 8..=8))
        })
    }
}

/// The cookies of a request, name and value, in the order the browser sent them.
pub(super) fn cookies(head: &Head) -> impl Iterator<Item = (&str, &str)> {
    let pairs = head.headers.all("cookie").flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('='))
}

/// The hash of a cookie's value, which a sealed value carries.
pub(super) fn hash(value: &str) -> String {
    base64url(&sha256(value.as_bytes()))
}
