//! The sealed values of a login and of the account page: good for a few minutes, and only at the public URL that sealed them,
//! because two servers may have one key file.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use crate::base::clock::Timestamp;
use crate::seal::{self, Sealed};

/// What one of them says.
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

impl AuthorizationServer {
    /// Seals a value that opens here until `expires`.
    pub(super) fn seal_until<T: ShortLived>(&self, expires: Timestamp, value: T) -> String {
        let issuer = self.settings.public_url.origin().to_owned();
        seal::seal(&self.keys, &Issued { value, issuer, expires }, &*self.random)
    }

    /// Opens what [`AuthorizationServer::seal_until`] sealed here; `None` for anything else.
    pub(super) fn open_in_time<T: ShortLived>(&self, text: &str, now: Timestamp) -> Option<T> {
        let issued = seal::open::<Issued<T>>(&self.keys, text, now).ok()?;
        (issued.issuer == self.settings.public_url.origin()).then_some(issued.value)
    }
}
