use super::*;
use crate::http::fake::request;

/// H10: only a proxy on this machine is detected: any stranger can send these fields.
#[test]
fn a_proxy_on_this_machine_that_is_not_named_is_noticed() {
    let noticed = |proxies: &str, peer: Option<&str>, field: &str| {
        let proxies = TrustedProxies::parse(proxies).unwrap();
        let senders = Senders { proxies, proxy_noticed: AtomicBool::new(false) };
        let mut request = request("GET", "/").with(field, "198.51.100.1");
        request.head.peer = peer.map(|peer| peer.parse().unwrap());
        senders.sender(&request.head);
        senders.proxy_noticed.load(Ordering::Relaxed)
    };
    for field in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        assert!(noticed("10.0.0.0/8", Some("127.0.0.1"), field) && noticed("127.0.0.1", Some("::1"), field));
        assert!(noticed("127.0.0.1", None, field) && !noticed("unix", None, field), "{field}");
        assert!(!noticed("127.0.0.1", Some("127.0.0.1"), field), "{field}");
        assert!(!noticed("127.0.0.1", Some("192.0.2.1"), field), "{field}");
    }
    assert!(!noticed("10.0.0.0/8", Some("127.0.0.1"), "Accept"));
}
