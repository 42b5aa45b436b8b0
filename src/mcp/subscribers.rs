//! The streams on which changes are told: those of sessions, and those of `subscriptions/listen` (2026-07-28, patterns,
//! "Subscriptions").

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::call::Level;
use super::jsonrpc::{self, RequestId};
use super::members::absent_or;
use super::session::Session;
use super::stream::EventStream;
use super::table::{Owner, Row, Table};
use crate::base::identity::{GrantId, Principal, UserId};
use crate::base::lock::Mutex;
use crate::base::quota::Held;

/// The sessions, and the open streams of `subscriptions/listen`.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    pub(super) sessions: Table<Session>,
    /// Guards which streams are open.
    subscriptions: Mutex<Vec<Arc<Subscription>>>,
}

/// One `subscriptions/listen`.
#[derive(Debug)]
pub(super) struct Subscription {
    owner: Owner,
    /// The request that opened it.
    id: RequestId,
    filter: Filter,
    /// The filter's part of its user's budget.
    _held: Held,
    events: EventStream,
}

/// Tells clients of changes. Clones tell the same clients; never waits for any.
#[derive(Clone, Debug)]
pub struct Publisher {
    subscribers: Arc<Subscribers>,
    /// The URI of the server that has changed.
    server: Arc<str>,
    recipients: Recipients,
}

#[derive(Clone, Debug)]
enum Recipients {
    Everyone,
    User(UserId),
    Grant(GrantId),
    Session(Arc<str>),
}

/// What clients want to be told beside the answers to their calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// The resources of whose changes they want to hear.
    pub resources: BTreeSet<String>,
    /// The lowest level of log messages that any session has asked for; `None` if none has. Clients of 2026-07-28 ask with each
    /// call: see [`Context::log_level`](super::Context::log_level).
    pub log_level: Option<Level>,
}

/// A change, and the notification of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'a> {
    Tools,
    Prompts,
    Resources,
    Resource(&'a str),
}

impl Change<'_> {
    fn method(self) -> &'static str {
        match self {
            Change::Tools => "notifications/tools/list_changed",
            Change::Prompts => "notifications/prompts/list_changed",
            Change::Resources => "notifications/resources/list_changed",
            Change::Resource(_) => "notifications/resources/updated",
        }
    }

    fn uri(&self) -> Option<&str> {
        match self {
            Change::Tools | Change::Prompts | Change::Resources => None,
            Change::Resource(uri) => Some(uri),
        }
    }
}

/// The `notifications` of `subscriptions/listen`: what a client asks for, and what it is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "absent_or")]
    pub(super) tools_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "absent_or")]
    pub(super) prompts_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "absent_or")]
    pub(super) resources_list_changed: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty", deserialize_with = "absent_or")]
    pub(super) resource_subscriptions: BTreeSet<String>,
    /// Tasks, of which there are no notifications: clients poll.
    #[serde(skip_serializing, deserialize_with = "absent_or")]
    pub(super) task_ids: Vec<String>,
}

impl Filter {
    /// The bytes that it keeps.
    pub(super) fn size(&self) -> usize {
        self.resource_subscriptions.iter().map(String::len).sum()
    }

    fn wants(&self, change: Change<'_>) -> bool {
        match change {
            Change::Tools => self.tools_list_changed,
            Change::Prompts => self.prompts_list_changed,
            Change::Resources => self.resources_list_changed,
            Change::Resource(uri) => self.resource_subscriptions.contains(uri),
        }
    }
}

impl Publisher {
    pub(super) fn new(subscribers: Arc<Subscribers>, server: Arc<str>) -> Publisher {
        Publisher { subscribers, server, recipients: Recipients::Everyone }
    }

    /// A publisher that tells the clients of one user only.
    pub fn for_user(&self, user: UserId) -> Publisher {
        Publisher { recipients: Recipients::User(user), ..self.clone() }
    }

    /// A publisher that tells the client of one grant only.
    pub fn for_grant(&self, grant: GrantId) -> Publisher {
        Publisher { recipients: Recipients::Grant(grant), ..self.clone() }
    }

    /// A publisher that tells the client of one session only, by [`CallerSession::id`](super::CallerSession::session_id).
    pub fn for_session(&self, id: &str) -> Publisher {
        Publisher { recipients: Recipients::Session(id.into()), ..self.clone() }
    }

    /// Other tools are offered than before.
    pub fn tools_changed(&self) {
        self.publish(Change::Tools);
    }

    /// Other prompts are offered than before.
    pub fn prompts_changed(&self) {
        self.publish(Change::Prompts);
    }

    /// Other resources are offered than before.
    pub fn resources_changed(&self) {
        self.publish(Change::Resources);
    }

    /// A resource has other contents than before. Told to those who subscribed to it.
    pub fn resource_updated(&self, uri: &str) {
        self.publish(Change::Resource(uri));
    }

    /// Passes on a log message that belongs to no call, as it stands: to sessions (up to 2025-11-25) that want its level.
    pub fn forward_log(&self, level: Level, params: &RawValue) {
        let message = jsonrpc::notification("notifications/message", Some(&params));
        for session in self.sessions() {
            if session.wants_log(level) && !session.standalone.is_crowded() {
                session.standalone.publish(&message);
            }
        }
    }

    /// What the clients that this publisher tells want to be told.
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

    /// Whether the reader of a stream is told: of a session's, if it has a `session`.
    fn tells(&self, owner: &Owner, session: Option<&str>) -> bool {
        let is_meant = match &self.recipients {
            Recipients::Everyone => true,
            Recipients::User(user) => owner.user == *user,
            Recipients::Grant(grant) => owner.grant == *grant,
            Recipients::Session(id) => session == Some(&**id),
        };
        is_meant && owner.server == self.server
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.subscribers.sessions.all();
        sessions.retain(|session| self.tells(session.owner(), Some(session.id())));
        sessions
    }

    fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        let mut subscriptions = self.subscribers.subscriptions();
        // One whose reader has gone is swept soon.
        subscriptions.retain(|each| self.tells(&each.owner, None) && each.events.has_reader());
        subscriptions
    }

    fn publish(&self, change: Change<'_>) {
        let params = change.uri().map(|uri| json!({ "uri": uri }));
        let message = jsonrpc::notification(change.method(), params.as_ref());
        let wants = |session: &&Arc<Session>| change.uri().is_none_or(|uri| session.is_subscribed(uri));
        self.sessions().iter().filter(wants).for_each(|session| session.standalone.publish(&message));
        let wants = |subscription: &&Arc<Subscription>| subscription.filter.wants(change);
        self.subscriptions().iter().filter(wants).for_each(|subscription| subscription.publish(change));
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

    /// Forgets subscriptions without a reader, and closes those whose reader's token has expired (T17).
    pub(super) fn sweep(&self, now: Duration) {
        let is_over = |each: &Subscription| !each.events.has_reader() || each.events.has_expired(now);
        self.remove(is_over).iter().for_each(|subscription| subscription.close());
    }

    /// Ends the subscriptions of a grant.
    pub(super) fn end_grant(&self, grant: GrantId) {
        let of_grant = self.remove(|subscription| subscription.owner.grant == grant);
        of_grant.iter().for_each(|subscription| subscription.events.finish());
    }

    /// Closes every subscription, so that clients know that nothing broke.
    pub(super) fn close(&self) {
        self.remove(|_| true).iter().for_each(|subscription| subscription.close());
    }

    fn remove(&self, unwanted: impl Fn(&Subscription) -> bool) -> Vec<Arc<Subscription>> {
        self.subscriptions.lock().extract_if(.., |subscription| unwanted(subscription)).collect()
    }
}

impl Subscription {
    /// A subscription on an open stream, whose first event says what the client is granted.
    pub(super) fn new(
        principal: &Principal,
        id: RequestId,
        (filter, held): (Filter, Held),
        events: EventStream,
    ) -> Subscription {
        let params = json!({ "_meta": meta(&id), "notifications": filter });
        events.publish(&jsonrpc::notification("notifications/subscriptions/acknowledged", Some(&params)));
        Subscription { owner: principal.into(), id, filter, _held: held, events }
    }

    pub(super) fn grant(&self) -> GrantId {
        self.owner.grant
    }

    fn publish(&self, change: Change<'_>) {
        let params = match change.uri() {
            Some(uri) => json!({ "_meta": meta(&self.id), "uri": uri }),
            None => json!({ "_meta": meta(&self.id) }),
        };
        self.events.publish(&jsonrpc::notification(change.method(), Some(&params)));
    }

    /// Ends the subscription on our side, with the response to the request that opened it.
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
