//! What the fuzz targets, the differential test and the benchmarks reach of the inside (feature `internals`).

/// Values.
pub mod base {
    pub use crate::base::clock::{Clock, SystemClock, Timestamp};
    pub use crate::base::identity::{ClientFingerprint, GrantId, Scopes, UserId};
    pub use crate::base::random::{OsRandom, Random};
    pub use crate::base::secret::Secret;
    pub use crate::base::{identity, limits};
}
pub use crate::edge::{Edge, Listener, Settings as EdgeSettings, chunked, head};
/// HTTP as plain values.
pub mod http {
    pub use crate::http::{
        Admission, Body, Event, Form, Handler, Head, Headers, Method, PublicUrl, Request, Responder,
        Response, Scheme, percent_encode,
    };
}
/// The authorization server.
pub mod oauth {
    pub use crate::oauth::provider::{
        Group, Identity, IdentityProvider, LoginRequest, ProviderError, ProviderToken, Redemption,
    };
    pub use crate::oauth::*;
}

pub use crate::documents::is_global;
pub use crate::github::fuzzing::token as github_token;
pub use crate::mcp::fuzzing::{header, intake};
/// Sealed values.
pub mod seal {
    pub use crate::seal::*;
}
pub use crate::server::Pool;
pub use crate::store::{
    Grant, GrantClient, Grants, MemoryGrants, RedbGrants, Stage, StateDirectory, key_file,
};
pub use crate::sys::raise_descriptor_limit;
