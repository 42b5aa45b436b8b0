//! What all connections share and may not exceed: connections, open streams, bytes of bodies. Counted before anything
//! is allocated; what was counted is given back when its guard is dropped.

use std::net::IpAddr;
use std::sync::Arc;

use super::refusal::Refusal;
use crate::base::limits;
use crate::base::quota::{Held, Quota};
use crate::base::sender::Sender;

/// A part of such a limit, which can grow; given back when dropped.
pub(crate) type Share = Held<()>;

/// Bodies that are in memory. The small ones, which anybody may send, have room of their own: large ones, however slow,
/// keep nobody from logging in.
#[derive(Debug)]
pub(crate) struct Bodies {
    small: Arc<Quota<()>>,
    large: Arc<Quota<()>>,
}

impl Bodies {
    /// At most so many bytes of small and of large bodies.
    pub(crate) fn new(small: usize, large: usize) -> Bodies {
        Bodies { small: Quota::in_total(small), large: Quota::in_total(large) }
    }

    /// A share of nothing yet, for a body of which `limit` bytes are welcome.
    pub(crate) fn share(&self, limit: usize) -> Share {
        let quota = if limit <= limits::UNCHECKED_BODY_BYTES { &self.small } else { &self.large };
        quota.nothing(())
    }
}

/// The connections that are open.
#[derive(Debug)]
pub(crate) struct Connections {
    by_sender: Arc<Quota<Sender>>,
    total: Arc<Quota<()>>,
}

/// One connection that is counted, until dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _of_sender: Option<Held<Sender>>,
    _counted: Held<()>,
}

impl Connections {
    /// At most `most` connections, at most `most_each` of one sender.
    pub(crate) fn new(most: usize, most_each: usize) -> Connections {
        Connections { by_sender: Quota::per_key(most_each), total: Quota::in_total(most) }
    }

    /// Counts one more from `address`. `None` is a trusted proxy, whose connections are of many people; and so are those
    /// from this machine, where whoever connects is a proxy or the operator.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<Admitted, Refusal> {
        let held = Sender::elsewhere(address)
            .map(|neighbour| self.by_sender.take(neighbour).ok_or(Refusal::AddressBusy));
        let held = held.transpose()?; // first: a sender with too many makes nobody else give way
        let counted = self.total.take(()).ok_or(Refusal::Busy)?;
        Ok(Admitted { _of_sender: held, _counted: counted })
    }

    /// The threads of all of them.
    pub(crate) fn threads(&self) -> &Quota<()> {
        &self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_neighbour_and_all_together_are_capped() {
        let connections = Connections::new(3, 2);
        let admit = |text: &str| connections.admit(text.parse().ok());
        let first = admit("192.0.2.1").unwrap();
        let mapped = admit("::ffff:192.0.2.1").unwrap();
        assert_eq!(admit("192.0.2.1").unwrap_err(), Refusal::AddressBusy);
        let other = admit("192.0.2.2").unwrap();
        assert_eq!(admit("192.0.2.3").unwrap_err(), Refusal::Busy);
        drop((first, mapped, other));
        let proxied = [(); 3].map(|()| admit("a trusted proxy").unwrap());
        assert_eq!(admit("a trusted proxy").unwrap_err(), Refusal::Busy);
        drop(proxied);
        assert!(connections.by_sender.is_unused());

        let _one = admit("2001:db8::1").unwrap();
        let _two = admit("2001:db8::ffff:1").unwrap();
        assert_eq!(admit("2001:db8:0:0:9::").unwrap_err(), Refusal::AddressBusy);
        assert!(admit("2001:db8:0:1::1").is_ok());
    }

    /// A reverse proxy on this machine brings everybody: only the cap of all holds for it.
    #[test]
    fn this_machine_is_capped_as_a_whole_only() {
        for address in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
            let connections = Connections::new(3, 1);
            let admit = || connections.admit(address.parse().ok());
            let _open = [(); 3].map(|()| admit().unwrap());
            assert_eq!(admit().unwrap_err(), Refusal::Busy, "{address}");
        }
    }
}
