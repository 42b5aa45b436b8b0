//! Causes of the end of instances, and the remaining state.

use super::*;

/// The idle time starts at the end of a call, which may have taken longer than that: state behind the answer is not lost at once.
#[test]
fn an_instance_is_unused_from_the_end_of_its_latest_call() {
    let fleet = fleet((8, 64), IDLE);
    let long_ago = clock::instant().checked_sub(IDLE).unwrap();
    let is_kept =
        |instance: &Instance| instance.idle_since().unwrap() > long_ago && !instance.patience().is_zero();
    for (grant, end) in [(1, "answered"), (2, "cancelled")] {
        let instance = fleet.ready(&person(1, grant));
        let id = instance.peer.request("tools/call", &Members::default(), FakeRequester::of(grant)).unwrap();
        instance.state.lock().used = long_ago;
        match end {
            "answered" => {
                assert!(instance.receive(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)));
            }
            _ => instance.peer.cancel(id, "done"),
        }
        assert!(is_kept(&instance), "{end}");
    }
}

/// An instance that the operator, a client or a grant's end stops while it starts has not failed, and its description does not apply to
/// the next one, which SIGHUP may have changed.
#[test]
fn an_instance_that_is_ended_while_it_starts_leaves_nothing_behind() {
    let fleet = usual();
    let caller = person(1, 1);
    for is_revoked in [false, true, false] {
        let outcome = fleet.ask(&caller);
        match is_revoked {
            true => fleet.instances.end_grant(caller.grant),
            false => assert_eq!(fleet.instances.restart(), 1),
        }
        assert_eq!(outcome.lock().take().unwrap().err(), Some(Unavailable::Ended));
        fleet.last().greet();
        assert!(fleet.instances.description(&caller).is_none(), "a late answer");
        fleet.last().die();
    }
    let failures = fleet.instances.failures.lock().clone();
    assert_eq!((failures.failures, failures.is_failing), (0, false));
    fleet.ready(&caller);
}

/// A changed entry starts nothing from its old description, and the thread of its program learns of the end at once.
#[test]
fn a_retired_server_starts_nothing() {
    let fleet = usual();
    fleet.ready(&person(1, 1));
    let launched = fleet.last();
    fleet.instances.retire();
    assert!(launched.was_ended() && launched.receiver.patience().is_zero());
    assert_eq!(fleet.refusal(&person(1, 1)), Unavailable::Ended);
}

/// A home directory is kept while a program of its person runs; one of all persons may use any.
#[test]
fn a_program_is_known_to_run_for_its_person() {
    let subject = |user| Some(principal(user).subject);
    let own = usual();
    own.ready(&person(1, 1));
    let runs =
        |fleet: &Fleet| [subject(1), subject(2), None].map(|user| fleet.instances.is_running_for(user));
    assert_eq!(runs(&own), [true, false, true]);
    let shared = isolated(Isolation::Shared);
    assert_eq!(runs(&shared), [false; 3]);
    shared.ready(&person(1, 1));
    assert_eq!(runs(&shared), [true; 3]);
}

/// P3: calls that wait for a start are bounded.
#[test]
fn calls_that_wait_for_a_start_are_bounded() {
    let fleet = usual();
    let waiting: Vec<_> = (0..limits::bridge::REQUESTS).map(|_| fleet.ask(&person(1, 1))).collect();
    assert_eq!(fleet.refusal(&person(1, 1)), Unavailable::TooMany);
    fleet.last().greet();
    assert!(waiting.iter().all(|outcome| matches!(&*outcome.lock(), Some(Ok(_)))));
}

/// M17: the failures of callers who do not come back are forgotten when there are too many.
#[test]
fn remembered_failures_are_bounded() {
    let fleet = usual();
    fleet.ready(&person(1, 1));
    let key = |user| InstanceKey::new(&fleet.instances.settings.server, Isolation::User, &principal(user));
    let running = InstanceKey::new(&fleet.instances.settings.server, Isolation::Grant, &person(1, 1));
    let (now, mut slots) = (clock::instant(), fleet.instances.settings.pool.slots.lock());
    let users = || 2..u64::try_from(limits::bridge::SLOTS).unwrap() + 2;
    users().for_each(|user| slots.history_mut(&key(user)).failed = Some(now));
    slots.forget_failures(now);
    assert!(users().all(|user| slots.history(&key(user)).is_none()) && slots.history(&running).is_some());
}

#[test]
fn an_unreadable_greeting_ends_the_program() {
    let fleet = usual();
    let outcome = fleet.ask(&person(1, 1));
    assert!(fleet.last().receiver.receive(r#"{"jsonrpc":"2.0","id":1,"result":7}"#));
    assert!(fleet.last().was_ended());
    let why = outcome.lock().take().unwrap().err().unwrap().to_string();
    assert_eq!(why, "its answer to initialize cannot be read");
}
