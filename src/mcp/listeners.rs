//! The open streams of `subscriptions/listen` (2026-07-28, patterns, "Subscriptions").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::absent_or;
use super::events::EventStream;
use super::jsonrpc::{self, RequestId};
use super::publisher::Change;
use crate::base::budget::Held;
use crate::base::identity::{GrantId, Principal};
use crate::base::lock::Mutex;

/// What a client wants to be told, and what it is granted.
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
    /// Tasks, of which nobody is told: their clients ask.
    #[serde(skip_serializing, deserialize_with = "absent_or")]
    pub(super) task_ids: Vec<String>,
}

impl Filter {
    /// The bytes of what is kept of it.
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

/// One listener.
#[derive(Debug)]
pub(super) struct Listener {
    grant: GrantId,
    id: RequestId,
    filter: Filter,
    /// What the filter takes of the user's share.
    _held: Held,
    events: EventStream,
}

#[derive(Serialize)]
struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
    subscription_id: &'a RequestId,
}

impl Listener {
    /// A listener whose stream is open, and is told first what it will be told.
    pub(super) fn new(
        principal: &Principal,
        id: RequestId,
        (filter, held): (Filter, Held),
        events: EventStream,
    ) -> Listener {
        #[derive(Serialize)]
        struct Acknowledged<'a> {
            #[serde(rename = "_meta")]
            meta: Meta<'a>,
            notifications: &'a Filter,
        }
        let params = Acknowledged { meta: Meta { subscription_id: &id }, notifications: &filter };
        events.publish(&jsonrpc::notification("notifications/subscriptions/acknowledged", Some(&params)));
        Listener { grant: principal.grant, id, filter, _held: held, events }
    }

    fn tell(&self, change: Change<'_>) {
        #[derive(Serialize)]
        struct Changed<'a> {
            #[serde(rename = "_meta")]
            meta: Meta<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            uri: Option<&'a str>,
        }
        if self.filter.wants(change) {
            let params = Changed { meta: Meta { subscription_id: &self.id }, uri: change.uri() };
            self.events.publish(&jsonrpc::notification(change.method(), Some(&params)));
        }
    }

    /// Ends the subscription on our side, with the response to the request that opened it.
    fn close(&self) {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Ended<'a> {
            result_type: &'static str,
            #[serde(rename = "_meta")]
            meta: Meta<'a>,
        }
        let result = Ended { result_type: "complete", meta: Meta { subscription_id: &self.id } };
        self.events.publish(&jsonrpc::result(&self.id, &result));
        self.events.finish();
    }
}

/// Every listener.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Guards the listeners, by a number that says which came first.
    open: Mutex<BTreeMap<u64, Arc<Listener>>>,
}

impl Listeners {
    pub(super) fn insert(&self, listener: Listener) {
        let mut open = self.lock();
        let number = open.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        open.insert(number, Arc::new(listener));
    }

    pub(super) fn publish(&self, change: Change<'_>) {
        for (_, listener) in self.all() {
            listener.tell(change);
        }
    }

    /// Whose they are.
    pub(super) fn grants(&self) -> Vec<GrantId> {
        self.lock().values().map(|listener| listener.grant).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Forgets those whose reader has gone, and ends those whose reader's token has expired (T17).
    pub(super) fn sweep(&self, now: Duration) {
        let over = |listener: &Listener| !listener.events.has_reader() || listener.events.has_expired(now);
        for listener in self.remove(over) {
            listener.close();
        }
    }

    /// Ends those of a grant.
    pub(super) fn end_grant(&self, grant: GrantId) {
        for listener in self.remove(|listener| listener.grant == grant) {
            listener.events.finish();
        }
    }

    /// Ends all, so that their clients know that nothing broke.
    pub(super) fn close(&self) {
        for listener in self.remove(|_| true) {
            listener.close();
        }
    }

    fn remove(&self, unwanted: impl Fn(&Listener) -> bool) -> Vec<Arc<Listener>> {
        let (gone, numbers): (Vec<_>, Vec<_>) = self
            .all()
            .into_iter()
            .filter(|(_, listener)| unwanted(listener))
            .map(|(number, listener)| (listener, number))
            .unzip();
        let mut open = self.lock();
        for number in numbers {
            open.remove(&number);
        }
        gone
    }

    fn all(&self) -> Vec<(u64, Arc<Listener>)> {
        self.lock().iter().map(|(number, listener)| (*number, Arc::clone(listener))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Listener>>> {
        self.open.lock()
    }
}
