//! The foundation of every layer: time, randomness, secrets, the caller, the limits, the log.
//!
//! Imports no other module of this crate. No file here depends on HTTP, OAuth or MCP.

mod access;
mod bounded;
mod cancel;
mod capacity;
pub mod capped;
pub mod clock;
mod counters;
mod encoding;
mod identity;
pub mod json;
pub mod limits;
mod lock;
pub mod log;
mod membership;
mod network;
mod quota;
mod random;
mod rate;
mod secret;
mod sender;
mod startup_error;
mod throttle;
pub mod trace;

pub use self::access::{AccessRule, AccessRules, AllowRule, Glob, ServerAccess, Who, checked_login};
pub use self::bounded::BoundedMap;
pub use self::cancel::{CancelToken, outlive};
pub use self::capacity::Capacity;
#[cfg(test)]
pub(crate) use self::clock::ManualClock;
pub use self::clock::{Clock, SystemClock, Timestamp};
pub use self::counters::Counters;
pub use self::encoding::{base64url, from_base64url, is_plain, sha256};
#[cfg(test)]
pub(crate) use self::identity::fake;
pub use self::identity::{
    CallerSession, ClientFingerprint, GrantId, Identity, Principal, Scopes, Subject, TokenName,
    UpstreamToken, UserId,
};
pub use self::lock::{Mutex, wait_timeout_while};
pub use self::membership::{Group, Memberships};
pub use self::network::Network;
pub use self::quota::{Held, Quota, Share};
#[cfg(test)]
pub(crate) use self::random::CountedRandom;
pub use self::random::{OsRandom, Random};
pub use self::rate::{RateLimit, TooMany};
pub use self::secret::Secret;
pub use self::sender::Sender;
pub use self::startup_error::{Cause, StartupError};
pub use self::throttle::Throttle;
