use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn limit(count: u32) -> RateLimit {
    RateLimit::new(count, HOUR)
}

fn peer(last: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, last]))
}

/// Limit and limit plus one, for one sender.
#[test]
fn a_sender_has_its_quota_and_no_more() {
    let limit = limit(20);
    for _ in 0..20 {
        assert_eq!(limit.spend(peer(1), HOUR), Ok(()));
    }
    assert_eq!(limit.spend(peer(1), HOUR), Err(TooMany { retry_after: 181 }));
    assert_eq!(limit.spend(peer(2), HOUR), Ok(()));
    assert_eq!(limit.spend(peer(1), HOUR + Duration::from_secs(180)), Ok(()));
    assert!(limit.check(peer(1), HOUR + Duration::from_secs(180)).is_err());
    assert_eq!(limit.check(peer(1), HOUR + Duration::from_secs(360)), Ok(()));
}

/// One key for everybody.
#[test]
fn all_together_have_a_quota_too() {
    let limit = RateLimit::new(40, HOUR);
    for _ in 0..40 {
        assert_eq!(limit.check_as((), HOUR), Ok(()));
        assert_eq!(limit.spend_as((), HOUR), Ok(()));
    }
    assert!(limit.check_as((), HOUR).is_err() && limit.spend_as((), HOUR).is_err());
}

/// H10: a proxy that is not configured, on loopback or a Unix socket, is one sender.
#[test]
fn loopback_and_unix_sockets_count_as_one_sender_each() {
    for peer in [None, Some("127.0.0.1"), Some("::1")].map(|peer| peer.and_then(|text| text.parse().ok())) {
        let limit = limit(2);
        assert_eq!([limit.spend(peer, HOUR), limit.spend(peer, HOUR)], [Ok(()), Ok(())], "{peer:?}");
        assert!(limit.spend(peer, HOUR).is_err() && limit.check(peer, HOUR).is_err(), "{peer:?}");
        assert_eq!(limit.spend("192.0.2.1".parse().ok(), HOUR), Ok(()), "{peer:?}");
    }
}

/// A site has 65,536 senders of IPv6, and the allowance of four.
#[test]
fn a_site_of_ipv6_has_a_quota_too() {
    let limit = limit(20);
    let spend = |site: u16, sender: u16| {
        limit.spend(Some(IpAddr::from([0x2001, 0xdb8, site, sender, 0, 0, 0, 1])), HOUR).is_ok()
    };
    assert_eq!((0..1000).filter(|sender| spend(0, *sender)).count(), 80);
    assert_eq!((0..1000).filter(|_| spend(1, 0)).count(), 20);
    assert!(spend(1, 1));
}

/// S5: the number of tracked senders is bounded.
#[test]
fn senders_are_forgotten() {
    let limit = limit(20);
    for number in 0..u32::try_from(limits::RATE_KEYS).unwrap() + 1000 {
        let [_, b, c, d] = number.to_be_bytes();
        limit.spend(Some(IpAddr::from([10, b, c, d])), HOUR).unwrap();
    }
    assert_eq!(limit.spent.lock().len(), limits::RATE_KEYS);
    limit.spend(peer(1), 3 * HOUR).unwrap();
    assert_eq!(limit.spent.lock().len(), 1);
}
