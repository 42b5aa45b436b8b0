//! Where the grants are kept: in a file of the state directory, or in a Valkey or Redis server that several servers share.

use std::path::PathBuf;

#[cfg(feature = "valkey")]
use redis::{ConnectionAddr, IntoConnectionInfo};

/// The operator's choice of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorePlace {
    /// Of a Valkey server; without it, the file is meant.
    pub url: Option<StoreUrl>,
    /// The file with the password for the server.
    pub password_file: Option<PathBuf>,
    /// The certificates that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// The URL of a Valkey or Redis server, without a password, so that it can be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Reads a URL, or `redb` for the file.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Option<StoreUrl>, &'static str> {
        if text == "redb" {
            return Ok(None);
        }
        check_url(text).map(|()| Some(StoreUrl(text.to_owned())))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the URL as far as is possible without connecting.
#[cfg(feature = "valkey")]
fn check_url(text: &str) -> Result<(), &'static str> {
    let wrong = "write valkey://HOST:PORT/DB, valkeys:// for TLS, or unix:///PATH?db=DB";
    let info = text.into_connection_info().map_err(|_| wrong)?;
    if info.redis_settings().password().is_some() {
        return Err("a URL is printed: write the password into a file that MCP_STORE_PASSWORD_FILE names");
    }
    // A fragment would only turn the verification of certificates off; `?pass=` is not the password, and would be printed.
    let has_query = text.contains('?') && !matches!(info.addr(), ConnectionAddr::Unix(_));
    if has_query || text.contains('#') { Err(wrong) } else { Ok(()) }
}

#[cfg(not(feature = "valkey"))]
fn check_url(_: &str) -> Result<(), &'static str> {
    Err(
        "this build keeps grants in its own file only; one made by `make static FEATURES=valkey` can use Valkey",
    )
}
