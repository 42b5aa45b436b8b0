//! The internals for the fuzz targets, the differential test and the benchmarks (feature `internals`).

/// Values.
pub mod base {
    pub use crate::base::{
        ClientFingerprint, Clock, GrantId, OsRandom, Random, Scopes, Secret, Subject, SystemClock, Timestamp,
        UserId, limits,
    };
}
pub use crate::edge::{Door, Listener, Settings as EdgeSettings, chunked, head, open as open_edge};
/// HTTP as plain values.
pub mod http {
    pub use crate::http::{
        Admission, Body, Event, Form, Handler, Head, Headers, Method, PublicUrl, Request, Responder,
        Response, Ticket, percent_encode,
    };
}
/// The authorization server.
pub mod oauth {
    pub use crate::base::{Group, Identity};
    pub use crate::oauth::provider::{
        IdentityProvider, LoginRequest, ProviderError, ProviderToken, Redemption,
    };
    pub use crate::oauth::{Client, ClientDocuments, ClientUrl, Clients, RedirectSchemes};

    use std::sync::Arc;

    use crate::base::{Clock, Random, Scopes, Timestamp, limits};
    use crate::http::{Head, PublicUrl, Request, Response};
    use crate::oauth;
    use crate::seal::Keyring;
    use crate::store::Grants;

    /// An authorization server that admits nobody.
    pub struct AuthorizationServer(oauth::AuthorizationServer, Arc<oauth::ProtectedResource>);

    impl AuthorizationServer {
        /// The server at `url`.
        pub fn new(
            url: PublicUrl,
            keys: Keyring,
            (grants, provider, clients): (Arc<dyn Grants>, Arc<dyn IdentityProvider>, Clients),
            (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
        ) -> AuthorizationServer {
            let pages = oauth::Pages::new("mcp", "MCP server", Vec::new());
            let resource = oauth::ProtectedResource::new(&url, None, &Scopes::default(), pages);
            let resource = Arc::new(resource);
            let server = oauth::AuthorizationServer::new(oauth::Parts {
                public_url: url,
                resources: vec![Arc::clone(&resource)],
                keys: Arc::new(keys),
                grants,
                newest: Timestamp(0),
                provider,
                rules: oauth::Rules::default(),
                clients,
                registrations_per_hour: limits::REGISTRATIONS,
                clock,
                random,
                grant_ended: Box::new(|_| ()),
            });
            AuthorizationServer(server, resource)
        }

        /// `POST /register`
        pub fn register(&self, request: &Request) -> Response {
            self.0.register.post(&self.1, request)
        }

        /// `GET /authorize`
        pub fn authorize(&self, head: &Head) -> Response {
            self.0.authorize.get(&self.1, head)
        }

        /// `POST /token`
        pub fn token(&self, request: &Request) -> Response {
            self.0.token.post(&self.1, request)
        }
    }
}

pub use crate::documents::is_global;
pub use crate::github::fuzzing::token as github_token;
pub use crate::mcp::fuzzing::{header, intake};
/// Sealed values.
pub mod seal {
    pub use crate::seal::*;
}
pub use crate::store::{Grant, GrantClient, Grants, RedbGrants, Stage, StateDirectory};
#[path = "../../src/store/fake/memory.rs"]
mod memory;
pub use self::memory::MemoryGrants;
/// The key file.
pub mod key_file {
    use std::path::Path;

    use crate::base::{Random, StartupError};
    use crate::seal::Keyring;
    use crate::store::key_file::{self, KeyFile};

    /// The keys in the state directory at `state`; makes the first one if there is none.
    pub fn load_or_create(state: &Path, random: &dyn Random) -> Result<Keyring, StartupError> {
        let file = KeyFile { path: state.join(key_file::NAME), is_named: false };
        key_file::find(&file, state)?.map_or_else(|| key_file::create(&file.path, random), Ok)
    }
}
pub use crate::sys::raise_descriptor_limit;
pub use crate::workers::Pool;
