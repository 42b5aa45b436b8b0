use std::time::Duration;

use super::*;
use crate::base::clock;

/// A stream that yields this number of bytes per read.
struct Trickle(Vec<u8>, usize);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(self.0.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0.drain(..length);
        Ok(length)
    }
}

/// The messages of a stream, and how long it took to read them.
fn messages(stream: &str, each_read: usize, closed: &CancelToken) -> (Vec<String>, Duration) {
    let (mut found, start) = (Vec::new(), clock::instant());
    let end = read_events(Trickle(stream.into(), each_read), closed, &mut |text| {
        found.push(text.trim_end().to_owned());
        false
    });
    assert!(end.unwrap().is_some());
    (found, start.elapsed())
}

/// P5: everything arrives, in order. Pauses are made for many messages: not for a long one, and not once the session is to end.
#[test]
fn a_flood_of_messages_from_an_upstream_is_paced() {
    const EVENT: &str = "data: 000\n\n";
    let (steps, patience) = (2000, limits::bridge::READ_PACE * 1000);
    let expected: Vec<String> = (0..steps).map(|number| format!("{number:03}")).collect();
    let flood: String = expected.iter().map(|number| format!("data: {number}\n\n")).collect();
    let few = limits::bridge::UNPACED_MESSAGES + 20;
    let (found, took) = messages(&flood[..few * EVENT.len()], EVENT.len(), &CancelToken::new());
    assert_eq!(found, expected[..few]);
    assert!(took >= limits::bridge::READ_PACE * 20, "{took:?}");

    let closed = CancelToken::new();
    closed.trip();
    let (found, took) = messages(&flood, EVENT.len(), &closed);
    assert_eq!(found, expected);
    assert!(took < patience, "{took:?}");

    // Also for bytes that are no message, beyond the size of any answer.
    let rest = limits::bridge::READ_PACE * 10;
    let noise = ":\n".repeat((limits::bridge::LINE_BYTES + 20 * READ_BYTES) / 2);
    let (found, took) = messages(&noise, READ_BYTES, &CancelToken::new());
    assert!(found.is_empty() && took >= rest, "{took:?}");

    let long = "1".repeat(steps);
    let (found, took) = messages(&format!("{}data: {long}\n\n", EVENT.repeat(few)), 1, &CancelToken::new());
    assert_eq!((found.len(), &found[few]), (few + 1, &long));
    assert!(took < patience, "{took:?}");
}
