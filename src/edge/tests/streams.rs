//! Streams through the edge: capped, flushed, ended with their readers.

use super::*;

/// H7: streams have a cap of their own, below which everything else still works.
#[test]
fn streams_are_capped_and_leave_room_for_the_rest() {
    let door = door(Settings { streams: 1, ..quick() });
    let mut one = door.client();
    one.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
    let held = door.stream();
    let mut two = door.client();
    let answer = two.get("/stream");
    assert_eq!((answer.status, answer.closes()), (503, false));
    assert!(answer.head.contains("Retry-After: 1\r\n"));
    until(|| door.stream().reader_gone().is_tripped());
    assert_eq!(two.get("/login").body, "GET /login ");
    drop(held);
    assert_eq!(one.chunk(), "");
    assert_eq!(one.get("/again").status, 200);
}

/// A stream's chunks arrive as they are sent, silence is filled with comments, and its end is a final chunk.
#[test]
fn a_stream_is_sent_as_it_comes() {
    let door = door(Settings { stream_keep_alive: Duration::from_millis(100), ..quick() });
    let mut client = door.client();
    let head = client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert!(head.contains("Transfer-Encoding: chunked\r\n") && head.contains("text/event-stream"), "{head}");
    let sender = door.stream();
    sender.send(*b"data: 1\n\n").unwrap();
    assert_eq!(client.chunk(), "data: 1\n\n");
    assert_eq!(client.chunk(), ": keep-alive\n\n");
    let large = vec![b'x'; limits::STREAM_BYTES / 2];
    sender.send(large.clone()).unwrap();
    assert!(client.event().as_bytes() == large);
    drop(sender);
    assert_eq!(client.event(), "");
    assert_eq!(client.get("/next").status, 200);
}

#[test]
fn a_stream_learns_that_its_reader_has_gone() {
    let door = door(quick());
    for pipelined in ["", "GET /x"] {
        let mut client = door.client();
        client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").send(pipelined).head();
        let sender = door.stream();
        assert!(!sender.reader_gone().is_tripped());
        drop(client);
        assert!(sender.reader_gone().wait(PATIENCE));
    }
}

/// A reader that takes nothing loses its stream when the write stall has passed.
#[test]
fn a_stream_that_nobody_reads_is_given_up() {
    let door = door(Settings { write_stall: Duration::from_millis(200), ..quick() });
    let mut client = door.client();
    client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
    let sender = door.stream();
    let block = vec![b'x'; 256 * 1024];
    until(|| sender.send(block.clone()).is_err());
    assert!(sender.reader_gone().wait(PATIENCE));
}
