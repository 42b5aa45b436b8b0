//! Order of fetches, waits and evictions.

use std::sync::mpsc;
use std::thread;

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn sender(last: u8) -> Option<Sender> {
    Some(Sender::V4([192, 0, 2, last]))
}

fn fetch<'a>(flights: &'a Flights, url: &'a str, sender: Option<Sender>) -> Flight<'a> {
    match flights.wait_for_turn(url, sender, LONG) {
        Ok(flight) => flight,
        Err(error) => panic!("{url} is not fetched: {error:?}"),
    }
}

/// I3: a sender who holds all waiting places loses one to another sender, but not to itself.
#[test]
fn the_sender_with_most_callers_makes_room() {
    let flights = Flights::default();
    let (told, answers) = mpsc::channel();
    thread::scope(|scope| {
        let first = fetch(&flights, "a", sender(1));
        for number in 1..limits::DOCUMENT_CALLERS {
            let (told, flights) = (told.clone(), &flights);
            scope.spawn(move || {
                told.send(flights.wait_for_turn(&format!("a{number}"), sender(1), LONG).is_ok()).unwrap();
            });
        }
        while flights.lookups() < limits::DOCUMENT_CALLERS {
            thread::yield_now();
        }
        assert!(flights.wait_for_turn("one more", sender(1), LONG).is_err());
        drop(fetch(&flights, "b", sender(2)));
        assert_eq!(answers.recv(), Ok(false));
        drop(first);
        assert!((2..limits::DOCUMENT_CALLERS).all(|_| answers.recv() == Ok(true)));
    });
    assert_eq!(flights.lookups(), 0);
}

/// I3: a look-up that does not fetch after its wait does not decide the outcome of later ones.
#[test]
fn followers_of_an_abandoned_fetch_fetch_themselves() {
    let flights = Flights::default();
    let check = |lands: fn(Flight<'_>), fetches: bool| {
        thread::scope(|scope| {
            let first = fetch(&flights, "a", sender(1));
            let next = scope.spawn(|| flights.wait_for_turn("a", sender(2), LONG).is_ok());
            while flights.lookups() < 2 {
                thread::yield_now();
            }
            lands(first);
            assert_eq!(next.join().unwrap(), fetches);
        });
    };
    check(
        |flight| {
            drop(flight);
        },
        true,
    );
    check(|flight| flight.finish(), false);
}

#[test]
fn waiting_for_a_fetch_ends_at_the_timeout() {
    let flights = Flights::default();
    let _first = fetch(&flights, "a", sender(1));
    assert!(flights.wait_for_turn("a", sender(2), Duration::from_millis(1)).is_err());
    assert!(flights.wait_for_turn("b", sender(1), Duration::from_millis(1)).is_err());
    assert_eq!(flights.lookups(), 1);
}
