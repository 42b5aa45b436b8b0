//! Clients' interests outside of their calls, forwarded to one peer: the log level, resource subscriptions, list
//! changes. The peer is sent the difference between the wanted and the last sent state, so equal interests of several clients
//! count as one, and a restarted peer is sent everything.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::handshake::Greeting;
use super::peer::{Peer, Requester, Settled};
use super::transport::Receiver;
use crate::base::{clock, limits};
use crate::mcp::{Era, Interests, Level, ListenFilter, Members};

/// The interests last sent to one peer.
#[derive(Default)]
pub(super) struct ToldInterests {
    log_level: Option<Level>,
    resources: BTreeSet<String>,
    /// The subscription stream of a peer of 2026-07-28.
    listen: Option<Arc<HeldListen>>,
    /// Whether a message could not be sent.
    is_behind: bool,
}

impl ToldInterests {
    /// Sends the wanted interests to the peer.
    pub(super) fn update(&mut self, peer: &Peer, greeting: &Greeting, wanted: Interests) {
        self.is_behind = false;
        let Interests { mut resources, log_level } = wanted;
        if !greeting.description.promises("resources", "subscribe") {
            resources.clear();
        }
        if greeting.era == Era::Modern {
            return self.listen(peer, greeting, resources);
        }
        if let Some(level) = log_level {
            self.set_log_level(peer, greeting, level);
        }
        let mut tell = |method: &str, uri: &str| {
            let params = Members::default().with("uri", &uri);
            let is_told = params.is_ok_and(|params| peer.tell(method, params).is_ok());
            self.is_behind |= !is_told;
            is_told
        };
        let (mut added, mut removed) = (resources.clone(), self.resources.clone());
        added.retain(|uri| !self.resources.contains(uri) && tell("resources/subscribe", uri));
        removed.retain(|uri| !resources.contains(uri) && tell("resources/unsubscribe", uri));
        self.resources.extend(added);
        self.resources.retain(|uri| !removed.contains(uri));
    }

    /// Whether something has to be sent to the peer again.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind || self.listen.as_ref().is_some_and(|listen| listen.is_over())
    }

    /// Lowers the peer's log level to this one, for a call that wants such messages.
    pub(super) fn lower_log_level(&mut self, peer: &Peer, greeting: &Greeting, level: Level) {
        if self.log_level.is_none_or(|told| level < told) {
            self.set_log_level(peer, greeting, level);
        }
    }

    fn set_log_level(&mut self, peer: &Peer, greeting: &Greeting, level: Level) {
        // A peer of 2026-07-28 gets the level in each request.
        let can_be_told =
            greeting.era == Era::Legacy && greeting.description.capabilities.contains_key("logging");
        let Ok(params) = Members::default().with("level", &level) else { return };
        if can_be_told && self.log_level != Some(level) && peer.tell("logging/setLevel", params).is_ok() {
            self.log_level = Some(level);
        }
    }

    /// Keeps one `subscriptions/listen` stream open with the wanted filter.
    fn listen(&mut self, peer: &Peer, greeting: &Greeting, resources: BTreeSet<String>) {
        let lists = |capability| greeting.description.promises(capability, "listChanged");
        let filter = ListenFilter {
            tools_list_changed: lists("tools"),
            prompts_list_changed: lists("prompts"),
            resources_list_changed: lists("resources"),
            resource_subscriptions: resources,
        };
        if self.listen.as_ref().is_some_and(|listen| listen.filter == filter && !listen.is_over()) {
            return;
        }
        let before = self.listen.take();
        if filter != ListenFilter::default() {
            self.listen = HeldListen::open(peer, filter);
        }
        // After the new one has started, so that no change is missed in between.
        if let Some(id) = before.and_then(|before| before.id.get().copied()) {
            peer.cancel(id, "Another subscription has taken its place");
        }
    }
}

/// One `subscriptions/listen` that is open at a peer.
struct HeldListen {
    filter: ListenFilter,
    begun: Instant,
    id: OnceLock<u64>,
    is_over: AtomicBool,
}

impl HeldListen {
    fn open(peer: &Peer, filter: ListenFilter) -> Option<Arc<HeldListen>> {
        let params = Members::default().with("notifications", &filter).ok()?;
        let listen = Arc::new(HeldListen {
            filter,
            begun: clock::instant(),
            id: OnceLock::new(),
            is_over: AtomicBool::new(false),
        });
        let requester = Arc::clone(&listen) as Arc<dyn Requester>;
        let id = peer.request("subscriptions/listen", &params, requester).ok()?;
        let _ = listen.id.set(id); // sent once
        Some(listen)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

impl Requester for HeldListen {
    /// The stream has ended. It is reopened at once if it was open for a while, else with the next call.
    fn answer(self: Arc<Self>, answer: Settled<'_>, receiver: &dyn Receiver) {
        self.is_over.store(true, Ordering::SeqCst);
        let was_held = self.begun.elapsed() >= limits::bridge::PAUSE;
        if was_held && matches!(answer, Settled::Answered(_)) {
            receiver.renewed(); // changes in the meantime are unknown
        }
    }
}
