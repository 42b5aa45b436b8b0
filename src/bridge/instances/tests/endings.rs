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

/// After a restart or change by the operator the server may differ. Each earlier caller is notified once.
#[test]
fn clients_are_notified_once_of_a_restart_by_the_operator() {
    let fleet = usual();
    let changes = || std::mem::take(&mut *fleet.audience.told.lock()).len();
    fleet.ready(&person(1, 1));
    assert_eq!(changes(), 0);
    fleet.instances.restart();
    assert!(fleet.instances.description(&person(1, 1)).is_none(), "it may be described otherwise");
    fleet.instances.restart();
    fleet.ready(&person(1, 1));
    assert_eq!(changes(), 3, "tools, prompts, resources");
    fleet.ready(&person(2, 2));
    assert_eq!(changes(), 0);
}
