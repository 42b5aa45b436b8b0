use super::*;

fn socket() -> Arc<UnixStream> {
    Arc::new(UnixStream::pair().unwrap().0)
}

#[test]
fn each_sender_and_all_together_are_capped() {
    let connections = Connections::new(Quota::in_total(3), 2);
    let admit = |text: &str| connections.admit(text.parse().ok(), &socket());
    let refused = |text: &str| admit(text).err().unwrap();
    let first = admit("192.0.2.1").unwrap();
    let mapped = admit("::ffff:192.0.2.1").unwrap();
    assert_eq!(refused("192.0.2.1"), Refusal::AddressBusy);
    let other = admit("192.0.2.2").unwrap();
    assert_eq!(refused("192.0.2.3"), Refusal::Busy);
    drop((first, mapped, other));
    let proxied = [(); 3].map(|()| admit("a trusted proxy").unwrap());
    assert_eq!(refused("a trusted proxy"), Refusal::Busy);
    drop(proxied);
    assert!(connections.by_sender.is_unused());

    let _one = admit("2001:db8::1").unwrap();
    let _two = admit("2001:db8::ffff:1").unwrap();
    assert_eq!(refused("2001:db8:0:0:9::"), Refusal::AddressBusy);
    assert!(admit("2001:db8:0:1::1").is_ok());
}

/// A reverse proxy on this machine carries many people's connections: only the total cap applies to it.
#[test]
fn this_machine_is_capped_as_a_whole_only() {
    for address in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
        let connections = Connections::new(Quota::in_total(3), 1);
        let admit = || connections.admit(address.parse().ok(), &socket());
        let _open = [(); 3].map(|()| admit().unwrap());
        assert_eq!(admit().err().unwrap(), Refusal::Busy, "{address}");
    }
}
