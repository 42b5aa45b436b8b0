//! The streams for notifications of changes: those of sessions, and those of `subscriptions/listen` (2026-07-28, patterns,
//! "Subscriptions").

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Core;
use super::call::{Level, Reply};
use super::jsonrpc::{self, RequestId};
use super::session::{Session, covers};
use super::stream::EventStream;
use super::table::{Owner, Row, Table};
use crate::base::{GrantId, Held, Mutex, Principal, ServerAccess, Subject};

/// The sessions, and the open streams of `subscriptions/listen`.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    pub(super) sessions: Table<Session>,
    /// Guards the list of open streams.
    subscriptions: Mutex<Vec<Arc<Subscription>>>,
}

/// One `subscriptions/listen`.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) owner: Owner,
    /// The request that opened it.
    id: RequestId,
    filter: ListenFilter,
    /// The filter's part of its user's budget.
    _held: Held,
    events: EventStream,
}

/// Notifies clients of changes. Clones notify the same clients; never waits for a client.
#[derive(Clone, Debug)]
pub struct Publisher {
    subscribers: Arc<Subscribers>,
    /// The URI of the server that has changed.
    server: Arc<str>,
    /// The rules of the server.
    access: Arc<ServerAccess>,
    /// The user whose clients are notified; `None`: everybody's.
    subject: Option<Subject>,
    grant: Option<GrantId>,
    /// The id of the session whose client is notified; `None`: all sessions, and `subscriptions/listen`.
    session: Option<Arc<str>>,
}

/// The notifications that clients have asked for, other than those of their calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// The resources that clients have subscribed to.
    pub resources: BTreeSet<String>,
    /// The lowest level of log messages that any session has asked for; `None` if none has. Clients of 2026-07-28 ask with each
    /// call: see [`Context::log_level`](super::Context::log_level).
    pub log_level: Option<Level>,
}

/// The `notifications` of `subscriptions/listen`: the filter that is granted to a client, and that of the bridge's requests to a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListenFilter {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tools_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) prompts_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) resources_list_changed: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) resource_subscriptions: BTreeSet<String>,
}

impl Core {
    /// A publisher for all clients of this server.
    pub(super) fn publisher(&self) -> Publisher {
        let subscribers = Arc::clone(&self.subscribers);
        let (server, access) = (Arc::clone(&self.settings.resource), Arc::clone(&self.settings.access));
        Publisher { subscribers, server, access, subject: None, grant: None, session: None }
    }
}

impl Publisher {
    /// A publisher for the clients of one user or service token only.
    pub fn for_subject(&self, subject: Subject) -> Publisher {
        Publisher { subject: Some(subject), ..self.clone() }
    }

    /// A publisher for the client of one grant only.
    pub fn for_grant(&self, grant: GrantId) -> Publisher {
        Publisher { grant: Some(grant), ..self.clone() }
    }

    /// A publisher for the client of one session only, by [`CallerSession::id`](super::CallerSession).
    pub fn for_session(&self, id: &str) -> Publisher {
        Publisher { session: Some(id.into()), ..self.clone() }
    }

    /// The list of tools has changed.
    pub fn tools_changed(&self) {
        self.publish("notifications/tools/list_changed", None, |filter| filter.tools_list_changed);
    }

    /// The list of prompts has changed.
    pub fn prompts_changed(&self) {
        self.publish("notifications/prompts/list_changed", None, |filter| filter.prompts_list_changed);
    }

    /// The list of resources has changed.
    pub fn resources_changed(&self) {
        self.publish("notifications/resources/list_changed", None, |filter| filter.resources_list_changed);
    }

    /// The contents of a resource have changed. Sent to the clients that have subscribed to it, or to one that it is a part of.
    pub fn resource_updated(&self, uri: &str) {
        let wants =
            |filter: &ListenFilter| filter.resource_subscriptions.iter().any(|each| covers(each, uri));
        self.publish("notifications/resources/updated", Some(uri), wants);
    }

    /// Passes on a log message that belongs to no call, unchanged, to the sessions (up to 2025-11-25) that want its level.
    pub fn forward_log(&self, level: Level, params: &RawValue) {
        let message = jsonrpc::notification("notifications/message", Some(&params));
        let takes = |session: &&Arc<Session>| session.wants_log(level) && !session.standalone.is_crowded();
        self.sessions().iter().filter(takes).for_each(|session| session.standalone.publish(&message));
    }

    /// The notifications that the clients of this publisher have asked for.
    pub fn interests(&self) -> Interests {
        let mut interests = Interests::default();
        for session in self.sessions() {
            interests.log_level = session.log_level().into_iter().chain(interests.log_level).min();
            interests.resources.extend(session.subscribed());
        }
        for subscription in self.subscriptions() {
            interests.resources.extend(subscription.filter.resource_subscriptions.iter().cloned());
        }
        interests
    }

    /// Whether the reader of a stream is to be notified; `session` is the id of a session's stream.
    fn includes(&self, owner: &Owner, session: Option<&str>) -> bool {
        owner.server == self.server
            && self.subject.is_none_or(|subject| subject == owner.subject)
            && self.grant.is_none_or(|grant| grant == owner.grant)
            && self.session.as_deref().is_none_or(|id| session == Some(id))
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.subscribers.sessions.all();
        sessions.retain(|session| self.includes(session.owner(), Some(session.id())));
        sessions
    }

    fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        let mut subscriptions = self.subscribers.subscriptions();
        // One without a reader is removed by the next sweep.
        subscriptions.retain(|each| self.includes(&each.owner, None) && each.events.has_reader());
        subscriptions
    }

    fn publish(&self, method: &str, uri: Option<&str>, wants: impl Fn(&ListenFilter) -> bool) {
        let params = uri.map(|uri| json!({ "uri": uri }));
        let message = jsonrpc::notification(method, params.as_ref());
        // The rules may have changed since the subscription.
        let may_read = |owner: &Owner| uri.is_none_or(|uri| owner.may_read(uri, &self.access));
        let is_subscribed = |session: &&Arc<Session>| {
            uri.is_none_or(|uri| session.subscriber(uri).is_some_and(|owner| may_read(&owner)))
        };
        self.sessions().iter().filter(is_subscribed).for_each(|session| session.standalone.publish(&message));
        let subscriptions = self.subscriptions();
        let wanted = subscriptions.iter().filter(|each| wants(&each.filter) && may_read(&each.owner));
        wanted.for_each(|subscription| subscription.publish(method, uri));
    }
}

impl Subscribers {
    pub(super) fn insert(&self, subscription: Subscription) {
        self.subscriptions.lock().push(Arc::new(subscription));
    }

    /// The open streams of `subscriptions/listen`.
    pub(super) fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.subscriptions.lock().clone()
    }

    /// Removes subscriptions without a reader, and closes those whose reader's token has expired (T17).
    pub(super) fn sweep(&self, now: Duration) {
        self.close_where(|each| !each.events.has_reader() || each.events.has_expired(now));
    }

    /// Ends the subscriptions of these owners.
    pub(super) fn end_where(&self, is_meant: impl Fn(&Owner) -> bool) {
        let theirs = self.remove(|subscription| is_meant(&subscription.owner));
        theirs.iter().for_each(|subscription| subscription.events.finish());
    }

    /// Closes subscriptions with a response, so that clients see an orderly end.
    pub(super) fn close_where(&self, unwanted: impl Fn(&Subscription) -> bool) {
        self.remove(unwanted).iter().for_each(|subscription| subscription.close());
    }

    fn remove(&self, unwanted: impl Fn(&Subscription) -> bool) -> Vec<Arc<Subscription>> {
        self.subscriptions.lock().extract_if(.., |subscription| unwanted(subscription)).collect()
    }
}

impl Subscription {
    /// A subscription on an open stream, whose first event is the granted filter.
    pub(super) fn new(
        principal: &Principal,
        id: RequestId,
        (filter, held): (ListenFilter, Held),
        events: EventStream,
    ) -> Subscription {
        let params = json!({ "_meta": meta(&id), "notifications": filter });
        events.publish(&jsonrpc::notification("notifications/subscriptions/acknowledged", Some(&params)));
        Subscription { owner: principal.into(), id, filter, _held: held, events }
    }

    fn publish(&self, method: &str, uri: Option<&str>) {
        let params = Reply::default().with("_meta", &meta(&self.id));
        let params = params.and_then(|params| params.with_some("uri", uri));
        self.events.publish(&jsonrpc::notification(method, params.as_ref().ok()));
    }

    /// Ends the subscription with the response to the request that opened it.
    fn close(&self) {
        let result = json!({ "resultType": "complete", "_meta": meta(&self.id) });
        self.events.publish(&jsonrpc::result(&self.id, &result));
        self.events.finish();
    }
}

/// The `_meta` of each message on the stream that the request `id` opened.
fn meta(id: &RequestId) -> Value {
    json!({ "io.modelcontextprotocol/subscriptionId": id })
}
