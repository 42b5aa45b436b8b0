//! The closing of the edge: running requests are finished, idle connections end.

use super::*;

/// H13: a door that closes ends idle connections at once and closes the port; running requests continue, streams included, and are
/// answered.
#[test]
fn stopping_lets_running_requests_and_streams_finish() {
    let mut door = door(quick());
    let address = door.address;
    let mut idle = door.client();
    assert_eq!(idle.get("/").status, 200);
    let mut reader = door.client();
    reader.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
    let sender = door.stream();
    let mut running = door.client();
    running.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    let responder = door.later();

    door.edge.close();
    assert_eq!(idle.rest(), "");
    until(|| TcpStream::connect(address).is_err());
    assert!(!door.edge.wait(Duration::from_millis(200)));
    sender.send(*b"data: 1\n\n").unwrap();
    assert_eq!(reader.chunk(), "data: 1\n\n");
    drop(sender);
    assert_eq!(reader.chunk(), "");
    assert!(!responder.client_gone().is_tripped());
    responder.respond(Response::new(200));
    let answer = running.answer();
    assert_eq!((answer.status, answer.closes()), (200, true));
    drop((reader, running));
    assert!(door.edge.wait(PATIENCE));
}

/// H13: a connection without a complete request, at any stage, delays nothing.
#[test]
fn half_a_request_does_not_delay_the_end() {
    let mut door = door(Settings { drain_time: PATIENCE * 6, ..quick() });
    let halves = [
        "G",
        "GET / HTTP/1.1\r\nHost: ",
        "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1",
        "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1",
        "POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n1",
        "POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1",
    ];
    let mut clients: Vec<_> = halves.iter().map(|_| door.client()).collect();
    for (client, half) in clients.iter_mut().zip(halves) {
        assert_eq!(client.get("/first").status, 200);
        client.send(half);
    }
    door.edge.close();
    assert!(door.edge.wait(PATIENCE));
    for client in &mut clients[..5] {
        assert_eq!(client.rest(), "");
    }
}

/// H13: a client whose request arrives while the door closes is not taken for a disconnected one.
#[test]
fn a_slow_request_read_while_the_door_closes_is_answered() {
    for _ in 0..20 {
        let mut door = door(quick());
        let mut clients: Vec<_> = (0..4).map(|_| door.client()).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
        let address = door.address;
        let closing = std::thread::spawn(move || {
            door.edge.close();
            door
        });
        for client in &mut clients {
            client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let door = closing.join().unwrap();
        until(|| TcpStream::connect(address).is_err());
        // Longer than the interval of the check for a disconnected client.
        let _ = door.edge.wait(Duration::from_millis(60));
        let mut taken = 0;
        let answers = std::thread::scope(|scope| {
            let reading: Vec<_> = clients.iter_mut().map(|client| scope.spawn(|| client.rest())).collect();
            while !reading.iter().all(|client| client.is_finished()) {
                if let Ok(Event::Later(responder)) = door.events.recv_timeout(Duration::from_millis(5)) {
                    assert!(!responder.client_gone().is_tripped());
                    responder.respond(Response::new(204));
                    taken += 1;
                }
            }
            reading.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 204 ")).count(), taken);
    }
}

/// H13: a request that was sent before the server is told to stop gets an answer, even if the connection was not yet accepted
/// or the next request on it not yet read.
#[test]
fn requests_sent_before_the_stop_are_answered() {
    let mut door = door(quick());
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

/// H13: requests that do not finish are cut off.
#[test]
fn stopping_does_not_wait_for_ever() {
    let mut door = door(quick());
    let mut running = door.client();
    running.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    let responder = door.later();
    let mut reading = door.client();
    reading.send("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1");
    door.edge.stop(Duration::from_millis(50));
    assert!(responder.client_gone().wait(PATIENCE));
    assert_eq!((running.rest(), reading.rest()), (String::new(), String::new()));
}
