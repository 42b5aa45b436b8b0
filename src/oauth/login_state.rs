//! What a login leaves with the browser: sealed values, good for a few minutes and only at the public URL that sealed them,
//! because two servers may have one key file; and cookies that tie them to the browser (`browser.rs`).

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::spent_logins::SpentLogins;
use crate::base::clock::{Clock, Timestamp};
use crate::base::random::Random;
use crate::http::PublicUrl;
use crate::seal::{self, Keyring, Sealed};

/// Seals and opens the stages of logins, and knows which logins are over.
pub(super) struct LoginState {
    pub(super) url: PublicUrl,
    pub(super) keys: Arc<Keyring>,
    pub(super) random: Arc<dyn Random>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) spent: SpentLogins,
}

/// A value that is sealed for a few minutes.
pub(super) trait ShortLived: Serialize + DeserializeOwned {
    /// As [`Sealed::PREFIX`].
    const PREFIX: &'static str;
}

#[derive(Serialize, Deserialize)]
struct Issued<T> {
    #[serde(rename = "v")]
    value: T,
    #[serde(rename = "i")]
    issuer: String,
    #[serde(rename = "e")]
    expires: Timestamp,
}

impl<T: ShortLived> Sealed for Issued<T> {
    const PREFIX: &'static str = T::PREFIX;
    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires)
    }
}

impl LoginState {
    /// Seals a value that opens here until `expires`.
    pub(super) fn seal<T: ShortLived>(&self, value: T, expires: Timestamp) -> String {
        let issuer = self.url.origin().to_owned();
        seal::seal(&self.keys, &Issued { value, issuer, expires }, &*self.random)
    }

    /// Opens what [`LoginState::seal`] sealed here; `None` for anything else.
    pub(super) fn open<T: ShortLived>(&self, text: &str, now: Timestamp) -> Option<T> {
        let issued = seal::open::<Issued<T>>(&self.keys, text, now).ok()?;
        (issued.issuer == self.url.origin()).then_some(issued.value)
    }

    /// Where GitHub sends the browser back to.
    pub(super) fn callback_url(&self) -> String {
        self.url.join("/auth/callback")
    }

    pub(super) fn account_url(&self) -> String {
        self.url.join("/account")
    }
}
