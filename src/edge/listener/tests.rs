use super::*;

/// H13: clients that wait at a socket of systemd's are left to the next process.
#[test]
fn a_socket_passed_by_systemd_outlives_the_process() {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    assert!(!Listener::tcp(local).unwrap().outlives_us());
    let fd = TcpListener::bind(local).unwrap().into_raw_fd();
    assert!(Listener::passed(fd).unwrap().outlives_us());
}
