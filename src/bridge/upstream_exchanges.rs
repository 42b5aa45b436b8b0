//! The running exchanges with an upstream, so that they can be interrupted.

use std::collections::BTreeMap;

use ureq::Agent;

use crate::base::{CancelToken, Mutex};

/// The exchanges of one session.
#[derive(Default)]
pub(super) struct OpenExchanges {
    /// Guards the agents, one for each exchange.
    agents: Mutex<BTreeMap<u64, Agent>>,
    /// Tripped when no exchange may be open any more.
    pub(super) closed: CancelToken,
}

impl OpenExchanges {
    /// Registers an exchange; `false` if none may start any more.
    pub(super) fn add(&self, key: u64, agent: &Agent) -> bool {
        let mut agents = self.agents.lock();
        if self.closed.is_tripped() {
            return false;
        }
        if let Some(other) = agents.insert(key, agent.clone()) {
            other.shutdown(); // an earlier GET stream
        }
        true
    }

    /// Removes an exchange; `false` if it was interrupted.
    pub(super) fn remove(&self, key: u64) -> bool {
        self.agents.lock().remove(&key).is_some()
    }

    pub(super) fn interrupt(&self, key: u64) {
        let agent = self.agents.lock().remove(&key);
        if let Some(agent) = agent {
            agent.shutdown();
        }
    }

    /// Interrupts all exchanges, and refuses new ones.
    pub(super) fn close(&self) {
        let agents = {
            let mut agents = self.agents.lock();
            self.closed.trip();
            std::mem::take(&mut *agents)
        };
        agents.into_values().for_each(Agent::shutdown);
    }
}
