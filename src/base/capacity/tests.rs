use super::*;

#[test]
fn the_defaults_fit_together_and_give_the_caps_that_the_documents_name() {
    let capacity = Capacity::default();
    assert_eq!(capacity.fault(), None);
    let small_bodies = capacity.connections * limits::UNCHECKED_BODY_BYTES;
    let caps = (capacity.connections_per_address(), capacity.queue(), small_bodies);
    assert_eq!(caps, (64, 1024, 32 * 1024 * 1024));
    assert_eq!(
        (capacity.tiny_threads(), capacity.descriptors(), capacity.tiny_descriptors()),
        (320, 768, 896)
    );
}

#[test]
fn streams_leave_a_quarter_of_the_connections() {
    let fault = |connections, streams| Capacity { connections, streams, ..Capacity::default() }.fault();
    assert_eq!(fault(8000, 6000), None);
    assert!(fault(8000, 6001).is_some());
    assert!(fault(1, 1).is_some());
    assert_eq!(fault(2, 1), None);
}
