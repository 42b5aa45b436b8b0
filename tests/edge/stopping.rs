//! The edge closes: what runs is finished, what waits is not waited for.

use super::*;

/// H13: stopping closes idle connections at once, finishes what runs, ends streams cleanly and closes the port.
#[test]
fn stopping_finishes_what_runs() {
    let door = door(quick());
    let address = door.address;
    let mut idle = door.client();
    assert_eq!(idle.get("/").status, 200);
    let mut reader = door.client();
    reader.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
    let sender = door.stream();
    let mut running = door.client();
    running.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    let responder = door.later();

    let Door { edge, .. } = door;
    let stopping = std::thread::spawn(move || edge.stop(6 * PATIENCE));
    assert_eq!(idle.rest(), "");
    assert_eq!(reader.chunk(), "");
    assert!(sender.reader_gone().wait(PATIENCE));
    responder.respond(Response::new(200));
    let answer = running.answer();
    assert_eq!((answer.status, answer.closes()), (200, true));
    drop((reader, running));
    stopping.join().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

/// H13: whoever has sent a request before the server is told to stop gets an answer, though nobody has accepted the
/// connection yet or come back to it.
#[test]
fn what_was_sent_before_the_end_is_answered() {
    let door = door(quick());
    let mut clients: Vec<_> = (0..40).map(|_| door.client()).collect();
    let (kept, fresh) = clients.split_at_mut(20);
    for client in &mut *kept {
        assert_eq!(client.get("/").status, 200);
    }
    for client in fresh.iter_mut().chain(kept) {
        client.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    door.edge.stop(PATIENCE);
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
}

/// H13: what does not finish is cut off.
#[test]
fn stopping_does_not_wait_for_ever() {
    let door = door(quick());
    let mut running = door.client();
    running.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    let responder = door.later();
    let mut reading = door.client();
    reading.send("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1");
    door.edge.stop(Duration::from_millis(50));
    assert!(responder.client_gone().is_tripped());
    assert_eq!((running.rest(), reading.rest()), (String::new(), String::new()));
}
