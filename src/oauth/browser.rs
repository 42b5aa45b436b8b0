//! Which browser it is: the cookie that ties a login to the browser it was started in, and whether a form came from one of
//! our own pages. Nothing is stored: the sealed value of the login carries the hash of the cookie.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use crate::base::encoding::{base64url, sha256};
use crate::base::limits;
use crate::base::secret::Secret;
use crate::http::{self, Response};

/// Ties a sealed value to one browser: a cookie's name, and the hash of its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BrowserBinding {
    #[serde(rename = "n")]
    cookie: String,
    #[serde(rename = "v")]
    value_hash: String,
}

impl BrowserBinding {
    /// What tells this login from every other: its cookie's value is random.
    pub(super) fn hash(&self) -> &str {
        &self.value_hash
    }

    #[cfg(test)]
    pub(super) fn fake(number: usize) -> BrowserBinding {
        BrowserBinding { cookie: String::new(), value_hash: number.to_string() }
    }
}

/// The cookie of a new login, on its way to the browser.
pub(super) struct LoginCookie {
    /// What ties a sealed value to it.
    pub(super) binding: BrowserBinding,
    value: Secret<String>,
}

impl AuthorizationServer {
    /// C3: the form was sent by our own page: the right type, and where the browser says from where, from here.
    pub(super) fn is_own_form(&self, head: &http::Head) -> bool {
        let form = head.media_type() == Ok(Some("application/x-www-form-urlencoded".to_owned()));
        let origin = head
            .headers
            .one("origin")
            .is_ok_and(|origin| origin.is_none_or(|o| o == self.settings.public_url.origin()));
        let site =
            head.headers.one("sec-fetch-site").is_ok_and(|site| site.is_none_or(|s| s == "same-origin"));
        form && origin && site
    }

    /// Whether the request carries the cookie to which a sealed value is bound.
    pub(super) fn is_same_browser(&self, head: &http::Head, binding: &BrowserBinding) -> bool {
        self.login_cookies(head).any(|(name, value)| {
            name == binding.cookie && Secret::new(hash(value)).matches(binding.value_hash.as_bytes())
        })
    }

    /// A cookie for a login that starts now.
    pub(super) fn new_login_cookie(&self) -> LoginCookie {
        let value = base64url(&self.random.bytes::<32>());
        let cookie = format!("{}{}", self.login_cookie_prefix(), base64url(&self.random.bytes::<6>()));
        LoginCookie {
            binding: BrowserBinding { cookie, value_hash: hash(&value) },
            value: Secret::new(value),
        }
    }

    /// Sets the cookie of a login that starts with this response. C5: one cookie a login, so that several tabs work; the
    /// oldest makes room, and browsers send the oldest first.
    pub(super) fn start_login(
        &self,
        response: Response,
        cookie: &LoginCookie,
        head: &http::Head,
    ) -> Response {
        let lifetime = limits::LOGIN_LIFETIME;
        let response = self.set_cookie(response, (&cookie.binding.cookie, cookie.value.expose()), lifetime);
        let ours: Vec<String> = self.login_cookies(head).map(|(name, _)| name.to_owned()).collect();
        let surplus = ours.len().saturating_add(1).saturating_sub(limits::LOGINS_PER_BROWSER);
        ours.iter().take(surplus).fold(response, |response, name| self.clear_cookie(response, name))
    }

    /// Clears the cookie of a finished login.
    pub(super) fn end_login(&self, response: Response, browser: &BrowserBinding) -> Response {
        self.clear_cookie(response, &browser.cookie)
    }

    /// The name of a cookie of ours. C5: `__Host-` keeps other hosts of the domain from setting it. Plain http (loopback
    /// only) has no Secure cookies that every browser keeps.
    pub(super) fn cookie_name(&self, name: &str) -> String {
        if self.settings.public_url.is_https() { format!("__Host-{name}") } else { name.to_owned() }
    }

    /// C5: for this host only, not for scripts, and not with what other sites send but links.
    pub(super) fn set_cookie(
        &self,
        response: Response,
        (name, value): (&str, &str),
        lifetime: Duration,
    ) -> Response {
        let secure = if self.settings.public_url.is_https() { " Secure;" } else { "" };
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
    fn login_cookies<'a>(&self, head: &'a http::Head) -> impl Iterator<Item = (&'a str, &'a str)> {
        let prefix = self.login_cookie_prefix();
        cookies(head).filter(move |(name, _)| {
            let suffix = name.strip_prefix(&prefix).unwrap_or_default();
            suffix.len() == 8 && suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
    }
}

/// The cookies of a request, name and value, in the order the browser sent them.
pub(super) fn cookies(head: &http::Head) -> impl Iterator<Item = (&str, &str)> {
    let pairs = head.headers.all("cookie").flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('='))
}

/// What a sealed value carries of a cookie.
pub(super) fn hash(value: &str) -> String {
    base64url(&sha256(value.as_bytes()))
}
