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

/// [`messages`], and whether they are read in less time than with pauses. What another process takes is not counted: of several
/// attempts, one without pauses is enough.
fn messages_at_once(stream: &str, each_read: usize, closed: &CancelToken) -> (Vec<String>, bool) {
    let mut attempts = (0..5).map(|_| messages(stream, each_read, closed));
    let is_quick = |found: &(_, Duration)| found.1 < limits::bridge::READ_PACE * 1000;
    let (found, took) = attempts.find(is_quick).unwrap_or_default();
    (found, !took.is_zero())
}

/// P5: everything arrives, in order. Pauses are made for many messages: not for a long one, and not once the session is to end.
#[test]
fn a_flood_of_messages_from_an_upstream_is_paced() {
    const EVENT: &str = "data: 000\n\n";
    let steps = 2000;
    let expected: Vec<String> = (0..steps).map(|number| format!("{number:03}")).collect();
    let flood: String = expected.iter().map(|number| format!("data: {number}\n\n")).collect();
    let few = limits::bridge::UNPACED_MESSAGES + 20;
    let (found, took) = messages(&flood[..few * EVENT.len()], EVENT.len(), &CancelToken::new());
    assert_eq!(found, expected[..few]);
    assert!(took >= limits::bridge::READ_PACE * 20, "{took:?}");

    let closed = CancelToken::new();
    closed.trip();
    assert_eq!(messages_at_once(&flood, EVENT.len(), &closed), (expected, true));

    // Also for bytes that are no message, beyond the size of any answer.
    let rest = limits::bridge::READ_PACE * 10;
    let noise = ":\n".repeat((limits::bridge::LINE_BYTES + 20 * READ_BYTES) / 2);
    let (found, took) = messages(&noise, READ_BYTES, &CancelToken::new());
    assert!(found.is_empty() && took >= rest, "{took:?}");

    let long = "1".repeat(steps);
    let stream = format!("{}data: {long}\n\n", EVENT.repeat(few));
    let (found, is_quick) = messages_at_once(&stream, 1, &CancelToken::new());
    assert_eq!((found.len(), found.get(few), is_quick), (few + 1, Some(&long), true));
}
