//! Too many connections, too few descriptors, a full queue: which clients are refused, and which are served.

use super::*;

/// H6: one connection beyond the limit is answered at once if none of the others is idle, and there is room again when one ends.
#[test]
fn connections_are_capped_in_all() {
    let door = door(Settings { connections: 2, ..quick() });
    let [one, _two] = [(); 2].map(|()| door.reader());
    let mut three = door.client();
    let answer = three.answer();
    assert_eq!((answer.status, answer.closes()), (503, true));
    assert!(answer.head.contains("Retry-After: 1\r\n"));
    drop(one);
    until(|| door.edge.state.running.held() < 2);
    let _waiting = served(&door);
    served(&door); // the waiting connection makes room
}

/// A new client that the door has answered. While the thread of the connection that makes room is slow to end, the answer is 503.
fn served(door: &TestDoor) -> Client<TcpStream> {
    until_some(|| {
        let mut client = door.client();
        let status = client.get("/").status;
        assert!([200, 503].contains(&status), "{status}");
        (status == 200).then_some(client)
    })
}

/// H6: under pressure the connection that has been idle longest is evicted; running requests and new connections are not.
#[test]
fn the_longest_idle_connection_is_evicted() {
    let door = door(Settings { connections: 8, ..quick() });
    let (mut reader, sender) = door.reader();
    let mut running = door.client();
    running.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    let responder = door.later();
    let starts = ["", "GET /", "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1"];
    let mut waiting: Vec<_> = starts.iter().map(|_| door.client()).collect();
    for (client, start) in waiting.iter_mut().zip(starts) {
        client.send(start);
    }
    waiting.extend((0..20).map(|_| served(&door)));
    for client in &mut waiting[..starts.len()] {
        assert_eq!(client.rest(), "");
    }
    responder.respond(Response::new(202));
    assert_eq!(running.answer().status, 202);
    sender.send(*b"data: 1\n\n").unwrap();
    assert_eq!(reader.chunk(), "data: 1\n\n");
    assert!(door.edge.state.refusals.counts().iter().any(|(reason, _)| *reason == "made_room"));
}

/// H6: pipelined requests whose answers are read slowly hold no place against new connections.
#[test]
fn slow_readers_make_room() {
    let door = door(Settings { connections: 3, ..quick() });
    let body = "s".repeat(limits::SMALL_ANSWER_BYTES / 2);
    let request = format!("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let threads = [(); 3].map(|()| {
        let (mut line, mut sent, request) = (door.client().line, 0, request.clone());
        line.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(flood(&mut line, request.as_bytes(), &mut sent));
        let mut reading = line.try_clone().unwrap();
        let reads = move || while reading.read(&mut [0; 8192]).is_ok_and(|count| count > 0) && !paused() {};
        let asks = move || while flood(&mut line, request.as_bytes(), &mut sent) {};
        [std::thread::spawn(reads), std::thread::spawn(asks)]
    });
    until(|| door.client().get("/").status == 200);
    drop(door);
    threads.into_iter().flatten().for_each(|thread| thread.join().unwrap());
}

/// Sends the request repeatedly until the door stops reading, because its answers are not read; `sent` of
/// the last one was sent. `false` at the end of the connection.
fn flood(line: &mut TcpStream, request: &[u8], sent: &mut usize) -> bool {
    loop {
        match line.write(&request[*sent..]) {
            Ok(count) => *sent = (*sent + count) % request.len(),
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// A reverse proxy on this machine carries everybody's connections.
#[test]
fn this_machine_is_not_capped_by_address() {
    let door = door(Settings { connections_per_address: 1, ..quick() });
    let mut clients = [(); 5].map(|()| door.client());
    assert!(clients.iter_mut().all(|client| client.get("/").status == 200));
}

/// H10: the connections of a trusted proxy carry many people.
#[test]
fn a_trusted_proxy_may_have_more_connections_than_one_address() {
    let trusted_proxies = TrustedProxies::parse("127.0.0.1").unwrap();
    let door = door(Settings { connections: 3, connections_per_address: 1, trusted_proxies, ..quick() });
    let _readers = [(); 3].map(|()| door.reader());
    assert_eq!(door.client().answer().status, 503);
}

/// H6: a door without descriptors answers or waits, and serves again when descriptors are free.
#[test]
fn running_out_of_descriptors_is_survived() {
    // The server is this test in a process of its own, with few descriptors.
    const SERVER: &str = "MCP_TEST_EDGE_SERVER";
    if std::env::vars_os().any(|(name, _)| name == SERVER) {
        let door = door(quick());
        writeln!(std::io::stdout(), "\nlistening {}", door.address).unwrap();
        let _ = std::io::stdin().read(&mut [0]); // until the parent has seen enough
        return;
    }
    let mut server = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -n 40; exec "$0" --exact edge::tests::crowds::running_out_of_descriptors_is_survived --nocapture"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .env(SERVER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null()) // "Too many open files" is its log, not this process's
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| line.strip_prefix("listening ").map(str::to_owned)).unwrap();
    for _ in 0..3 {
        let silent: Vec<_> = (0..60).map(|_| TcpStream::connect(&address).unwrap()).collect();
        // Nobody is left waiting: a new client is refused, or gets the place of an idle connection.
        let answer = || {
            let mut client = Client::new(TcpStream::connect(&address).unwrap());
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").rest()
        };
        let answers = [(); 20].map(|()| answer());
        assert!(
            answers.iter().all(|answer| ["200", "503", ""].contains(&answer.get(9..12).unwrap_or_default()))
        );
        assert!(answers.iter().any(|answer| answer.starts_with("HTTP/1.1 200 ")), "{answers:?}");
        drop(silent);
        until(|| answer().starts_with("HTTP/1.1 200 "));
    }
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

/// A full queue is answered 503 at once, and the connection stays open.
#[test]
fn a_full_queue_is_answered_at_once() {
    // One more than can wait or run: at least one of them is refused.
    let queue = 16;
    let many = queue + limits::WORKERS_MAX + 1;
    let door = door_with_queue(quick(), queue);
    let mut clients: Vec<_> = (0..many).map(|_| door.client()).collect();
    for client in &mut clients {
        client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").line.set_nonblocking(true).unwrap();
    }
    until(|| clients.iter().any(|client| client.line.peek(&mut [0]).is_ok()));
    door.desk.release.trip();
    assert!(door.edge.state.refusals.counts().iter().any(|(reason, _)| *reason == "busy"));
    for client in &mut clients {
        client.line.set_nonblocking(false).unwrap();
        let answer = client.answer();
        assert!([200, 503].contains(&answer.status) && !answer.closes());
    }
    // Now that all are answered, nothing waits any more.
    for client in &mut clients {
        assert_eq!(client.get("/after").status, 200);
    }
}
