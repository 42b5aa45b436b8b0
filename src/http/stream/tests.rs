use super::*;
use crate::base::Quota;
use crate::base::fake::subject;

fn pair() -> (StreamSender, Stream) {
    pair_in(limits::UNREAD_BYTES)
}

fn pair_in(bytes: (usize, usize)) -> (StreamSender, Stream) {
    Stream::pair(Quota::bytes(bytes).share(subject(1)), CancelToken::new())
}

#[test]
fn chunks_arrive_in_order_and_then_the_end() {
    let (sender, stream) = pair();
    sender.send(*b"a").unwrap();
    sender.send(*b"b").unwrap();
    drop(sender);
    let mut text = Vec::new();
    while let Next::Chunk(chunk) = stream.next(Duration::from_secs(60)) {
        text.extend_from_slice(&chunk);
    }
    assert_eq!(text, b"ab");
    assert!(matches!(stream.next(Duration::ZERO), Next::End));
}

#[test]
fn a_slow_reader_is_bounded_in_chunks_and_bytes() {
    let (sender, stream) = pair();
    for _ in 0..limits::STREAM_EVENTS {
        sender.send(*b"x").unwrap();
    }
    assert!(sender.is_crowded());
    assert_eq!(sender.send(*b"x"), Err(NotTaken));
    assert!(!sender.reader_gone().is_tripped());

    let (sender, other) = pair();
    sender.send(vec![0; limits::STREAM_BYTES + 1]).unwrap();
    assert_eq!(sender.send(*b"x"), Err(NotTaken));
    assert!(matches!(other.next(Duration::ZERO), Next::Chunk(_)));
    sender.send(*b"x").unwrap();
    drop(stream);
}

/// M17: at the limit and one above, what its door has in hand included.
#[test]
fn unread_bytes_of_a_user_are_bounded() {
    let (sender, stream) = pair_in((4, 4));
    sender.send(*b"abcd").unwrap();
    assert_eq!(sender.send(*b"x"), Err(NotTaken));
    let Next::Chunk(in_hand) = stream.next(Duration::ZERO) else { panic!("no chunk") };
    assert_eq!(sender.send(*b"x"), Err(NotTaken));
    drop(in_hand);
    sender.send(*b"wxyz").unwrap();
    drop((sender, stream));
}

#[test]
fn waiting_can_be_ended_from_outside() {
    let (_sender, stream) = pair();
    let waker = stream.waker();
    let door = std::thread::spawn(move || matches!(stream.next(Duration::from_secs(60)), Next::Silence));
    waker.wake();
    waker.wake();
    assert!(door.join().unwrap());
}

#[test]
fn a_sender_learns_that_its_reader_has_gone() {
    let (sender, stream) = pair();
    drop(stream);
    assert_eq!(sender.send(*b"x"), Err(NotTaken));
    assert!(sender.reader_gone().is_tripped());
}
