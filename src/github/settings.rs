//! The URLs of GitHub, and the credentials of the app. Checked once, when the server starts.

use std::fmt;

use crate::base::Secret;
use crate::http::PublicUrl;
use crate::trust::Trust;

/// The URL of GitHub's login pages.
pub const URL: &str = "https://github.com";
/// The URL of GitHub's API. Of a GitHub Enterprise Server it is `https://HOST/api/v3`.
pub const API_URL: &str = "https://api.github.com";

/// The app's credentials, and the URLs of GitHub.
#[derive(Clone, Debug)]
pub struct GitHubSettings {
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: Secret<String>,
    /// A second secret during a rotation, tried if GitHub does not accept the first.
    pub other_secret: Option<Secret<String>>,
    /// GitHub's pages, see [`URL`].
    pub url: BaseUrl,
    /// GitHub's API, see [`API_URL`].
    pub api_url: BaseUrl,
    /// The trusted root certificates.
    pub trust: Trust,
}

/// `https://HOST[:PORT][/PATH]`, or http for a loopback host. Has no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(PublicUrl);

impl BaseUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    /// A sentence with the fault.
    pub fn parse(text: &str) -> Result<BaseUrl, &'static str> {
        PublicUrl::parse(text).map(BaseUrl)
    }

    /// The API that belongs to these pages; a GitHub Enterprise Server has it on the same host. A token of one GitHub must never
    /// be sent to another.
    pub fn api(&self) -> BaseUrl {
        if *self == BaseUrl::default() {
            return BaseUrl::parse(API_URL).expect("a test parses it");
        }
        BaseUrl(self.0.below("api/v3"))
    }

    /// The URL of `path` below this one. `path` starts with a slash.
    pub fn join(&self, path: &str) -> String {
        self.0.join(path)
    }

    /// Whether requests to it are encrypted; otherwise the host is loopback.
    pub fn is_https(&self) -> bool {
        self.0.is_https()
    }
}

/// GitHub itself.
impl Default for BaseUrl {
    fn default() -> BaseUrl {
        BaseUrl::parse(URL).expect("a test parses it")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
