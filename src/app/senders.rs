//! The sender of a request: the other end of its connection, or the client that a trusted proxy names (H10).

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::log::{self, Field};
use crate::http::{Head, TrustedProxies};

/// Finds the sender of a request.
pub(super) struct Senders {
    pub(super) proxies: TrustedProxies,
    /// Whether a proxy that is not trusted has been logged.
    pub(super) proxy_noticed: AtomicBool,
}

impl Senders {
    /// The address that the request is counted for; `None` if it is unknown.
    pub(super) fn sender(&self, head: &Head) -> Option<IpAddr> {
        self.look_for_proxy(head);
        self.proxies.client(head.peer, &head.headers)
    }

    /// Logs once if a proxy on this machine is not configured: all its clients share the limits of one sender.
    fn look_for_proxy(&self, head: &Head) {
        let is_local = head.peer.is_none_or(|peer| peer.to_canonical().is_loopback());
        let speaks_for_others = ["x-forwarded-for", "forwarded", "x-real-ip"];
        if is_local
            && !self.proxies.contain(head.peer)
            && head.headers.iter().any(|(name, _)| speaks_for_others.contains(&name))
            && !self.proxy_noticed.swap(true, Ordering::Relaxed)
        {
            let name = head.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_canonical().to_string());
            let hint = "everybody behind this proxy counts as one sender for the limits: name it in MCP_TRUSTED_PROXY, and have it set X-Forwarded-For";
            log::warn("proxy.not_trusted", &[Field::Addr(&name), Field::Hint(hint)]);
        }
    }
}

#[cfg(test)]
mod tests;
