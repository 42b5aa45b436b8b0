use std::net::TcpStream;

use super::*;
use crate::base::Capacity;
use crate::edge::{self, Settings};
use crate::http::desk::{Client, Desk};
use crate::workers::Pool;

/// H6: where no descriptor is left and no connection can be ended, a waiting client is answered with the spare one, each time.
#[test]
fn a_client_for_whom_no_descriptor_is_left_is_told_so() {
    let (desk, _events) = Desk::new();
    let pool = Arc::new(Pool::start(Capacity::default().queue()).unwrap());
    let edge = edge::open(Vec::new(), desk, pool, Settings::default()).unwrap();
    let (_wake, woken) = UnixStream::pair().unwrap();
    let mut acceptor = Acceptor::new(Arc::clone(&edge.state), woken).unwrap();
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    for _ in 0..2 {
        let mut client = Client::new(TcpStream::connect(listener.address().unwrap()).unwrap());
        acceptor.recover(&io::Error::from_raw_os_error(libc::EMFILE), &listener);
        assert_eq!(client.answer().status, 503);
        assert!(acceptor.spare.is_some());
    }
}
