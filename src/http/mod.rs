//! The plain values between a door and the application: requests, responses, streams. No socket in here.

#[cfg(test)]
pub(crate) mod desk;
mod exchange;
mod form;
mod forwarded;
mod html;
mod request;
mod response;
mod sse;
mod stream;
mod url;

pub use exchange::{Admission, Blocking, CallNote, Handler, Responder, Ticket, Waiter, Witness};
pub use form::Form;
pub(crate) use form::decode as form_decode;
pub use forwarded::TrustedProxies;
pub use html::{escape, page};
#[cfg(test)]
pub(crate) use request::fake;
pub use request::{Head, Headers, Method, Request};
pub use response::{Body, CallEnding, CallOutcome, Field, Response};
pub use sse::Event;
pub use stream::{Next, Stream, StreamSender, Waker};
pub use url::{PublicUrl, append_query, percent_encode};
pub(crate) use url::{Uri, is_loopback_host, split_port};
