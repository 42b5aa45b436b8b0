use super::*;

#[test]
fn an_ipv6_sender_is_a_64_prefix_and_a_site_a_48() {
    let of = |text: &str| Sender::of(Some(text.parse().unwrap()));
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_eq!(of("2001:db8:0:1::1").site(), of("2001:db8:0:2::1").site());
    assert_ne!(of("2001:db8:0:1::1").site(), of("2001:db8:1:1::1").site());
    assert_eq!(of("192.0.2.1").site(), of("192.0.2.1"));
}
