//! What every request passes on its way to the application, whichever door it came through: its client's address is
//! found, it gets an id, and its answer leaves one line in the log and its trace in the numbers.
//!
//! Of a request the log has method, route, status, time, address and, once proven, who asked. Never its target, its
//! query, a header or a body (security.md L1).

use std::sync::Arc;
use std::time::Instant;

use crate::base::clock;
use crate::base::identity::{ClientFingerprint, GrantId, Principal, UserId};
use crate::base::log::{self, Field};
use crate::base::random::Random;
use crate::base::trace::{self, RequestId, Trace};
use crate::http::{Handler, Head, Method, Request, Responder, Response, TrustedProxies, Witness};
use crate::metrics::Metrics;
use crate::router::Route;

/// A handler in front of another.
pub struct Front {
    app: Arc<dyn Handler>,
    proxies: TrustedProxies,
    random: Arc<dyn Random>,
    metrics: Arc<Metrics>,
}

/// What becomes one line of the log.
struct Entry {
    trace: Trace,
    method: Method,
    route: Option<Route>,
    started: Instant,
    caller: Option<(UserId, ClientFingerprint, GrantId)>,
    metrics: Arc<Metrics>,
}

impl Front {
    /// Puts itself before `app`.
    #[must_use]
    pub fn new(
        app: Arc<dyn Handler>,
        proxies: TrustedProxies,
        random: Arc<dyn Random>,
        metrics: Arc<Metrics>,
    ) -> Front {
        Front { app, proxies, random, metrics }
    }

    fn entry(&self, head: &Head) -> Entry {
        Entry {
            trace: Trace {
                request: RequestId(self.random.bytes()),
                peer: self.proxies.client(head.peer, &head.headers),
            },
            method: head.method.clone(),
            route: Route::of(head).ok(),
            started: clock::instant(),
            caller: None,
            metrics: Arc::clone(&self.metrics),
        }
    }
}

impl Handler for Front {
    fn admit(&self, head: &Head) -> Result<usize, Box<Response>> {
        let entry = self.entry(head);
        trace::within(entry.trace, || {
            self.app.admit(head).inspect_err(|response| entry.write(response.status()))
        })
    }

    fn handle(&self, mut request: Request, responder: Responder) {
        let entry = self.entry(&request.head);
        request.head.peer = entry.trace.peer;
        trace::within(entry.trace, || self.app.handle(request, responder.with_witness(Box::new(entry))));
    }
}

impl Witness for Entry {
    fn identify(&mut self, caller: &Principal) {
        self.caller = Some((caller.user, caller.client.clone(), caller.grant));
    }

    fn answered(self: Box<Self>, status: u16) {
        // An answer that comes later comes from a thread that does not work on this request, or on another.
        if trace::current() == Some(self.trace) {
            self.write(status);
        } else {
            trace::within(self.trace, || self.write(status));
        }
    }
}

impl Entry {
    fn write(&self, status: u16) {
        let taken = self.started.elapsed();
        self.metrics.answered(self.route, status, taken);
        let route = self.route.map_or("none", Route::name);
        let millis = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
        let mut fields = Vec::with_capacity(8);
        fields.extend([
            Field::Method(self.method.as_str()),
            Field::Route(route),
            Field::Status(status),
            Field::Millis(millis),
        ]);
        if let Some(reason) = trace::reason() {
            self.metrics.refused(reason);
            fields.push(Field::Reason(reason));
        }
        let Some((user, client, grant)) = &self.caller else { return log::info("request", &fields) };
        let (user, grant) = (user.to_string(), grant.to_string());
        fields.extend([Field::User(&user), Field::Client(client.as_str()), Field::Grant(&grant)]);
        log::info("request", &fields);
    }
}
