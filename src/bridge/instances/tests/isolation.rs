//! Sharing of instances, what ends together, and limits for all servers.

use super::*;

/// P2: a person with one client program shares a process with nobody, unless the operator configures it.
#[test]
fn the_isolation_determines_which_callers_share_an_instance() {
    let callers = || {
        let mut all = vec![person(1, 1), person(1, 2), person(2, 3)];
        all.extend([(1, "a"), (1, "b"), (2, "a")].map(|(grant, id)| in_session(1, grant, id)));
        all
    };
    let check = |isolation, instances: [usize; 6]| {
        let fleet = isolated(isolation);
        let found: Vec<_> = callers().iter().map(|caller| fleet.ready(caller)).collect();
        let first = |of: &Arc<Instance>| found.iter().position(|each| Arc::ptr_eq(each, of)).unwrap();
        assert_eq!(found.iter().map(first).collect::<Vec<_>>(), instances, "{isolation:?}");
    };
    check(Isolation::Grant, [0, 1, 2, 0, 0, 1]);
    check(Isolation::User, [0, 0, 2, 0, 0, 0]);
    check(Isolation::Session, [0, 1, 2, 3, 4, 5]);
    check(Isolation::Shared, [0; 6]);
}

/// An instance ends with its last grant; one that all share stays.
#[test]
fn instances_end_with_their_last_grant() {
    let check = |isolation, ended: [bool; 3]| {
        let fleet = isolated(isolation);
        [person(1, 1), person(1, 2), person(1, 1), in_session(1, 1, "a")].iter().for_each(|caller| {
            fleet.ready(caller);
        });
        let first = fleet.launcher.launched.lock()[0].clone();
        let seen = [9, 1, 2].map(|grant| {
            fleet.instances.end_grant(GrantId([grant; 16]));
            first.was_ended()
        });
        assert_eq!(seen, ended, "{isolation:?}");
        let left = usize::from(isolation == Isolation::Shared);
        assert_eq!((fleet.instances.count(), fleet.instances.grants().len()), (left, 0), "{isolation:?}");
    };
    check(Isolation::Grant, [false, true, true]);
    check(Isolation::Session, [false, true, true]);
    check(Isolation::User, [false, false, true]);
    check(Isolation::Shared, [false, false, false]);
}

/// The state of a session is lost with its instance, so the session ends as well.
#[test]
fn a_session_and_its_instance_end_together() {
    let fleet = isolated(Isolation::Session);
    let [ended, lost] = ["a", "b"].map(|id| in_session(1, 1, id));
    let instances = [&ended, &lost].map(|caller| fleet.ready(caller));
    let session = |caller: &Principal| caller.session.clone().unwrap();
    session(&ended).ended.trip();
    assert!(fleet.launcher.launched.lock()[0].was_ended());
    assert!(!session(&lost).ended.is_tripped());
    fleet.last().die();
    assert!(session(&lost).ended.is_tripped());
    assert_eq!(fleet.refusal(&lost), Unavailable::SessionOver);
    assert_eq!(fleet.launches(), 2);
    drop(instances);
    let is_refused = |id: &str| matches!(fleet.fail(&in_session(1, 1, id)), Unavailable::Failing(_));
    (0..2).for_each(|_| drop(fleet.fail(&in_session(1, 1, "c"))));
    let another = ["d", "e", "f", "g", "h"].into_iter().find(|id| is_refused(id));
    assert!(another.is_some(), "a new session does not start a failing program sooner");
}

/// The limits hold for all servers together, with any isolation.
#[test]
fn servers_share_their_places() {
    let pool = InstancePool::new((2, 3));
    let fleets = [Isolation::Grant, Isolation::User, Isolation::Session, Isolation::Shared]
        .map(|isolation| fleet_of(isolation, Arc::clone(&pool), IDLE));
    let ready = |index: usize, caller: &Principal| fleets[index].ready(caller);
    let busy = |instance: &Instance| {
        instance.peer.request("tools/call", &Members::default(), FakeRequester::of(1)).unwrap();
    };
    busy(&ready(0, &person(1, 1)));
    busy(&ready(1, &person(1, 1)));
    assert_eq!(fleets[2].refusal(&in_session(1, 1, "a")), Unavailable::TooMany, "two of one person");
    busy(&ready(3, &person(1, 1)));
    assert_eq!(fleets[2].refusal(&in_session(2, 2, "a")), Unavailable::TooMany, "three in all");
    assert_eq!(fleets.each_ref().map(|fleet| fleet.instances.count()), [1, 1, 0, 1]);
}

/// An instance that all share counts for nobody: a person's limit does not apply to it.
#[test]
fn shared_instances_count_only_against_the_total_limit() {
    let pool = InstancePool::new((1, 3));
    let shared = |name| fleet_named(name, Isolation::Shared, Arc::clone(&pool), IDLE);
    let fleets = ["a", "b", "c", "d"].map(shared);
    for fleet in &fleets[..3] {
        let instance = fleet.ready(&person(1, 1));
        instance.peer.request("tools/call", &Members::default(), FakeRequester::of(1)).unwrap();
    }
    assert_eq!(fleets[3].refusal(&person(1, 1)), Unavailable::TooMany, "three in all");
}

/// An instance whose GitHub token has been replaced is restarted, but not during use.
#[test]
fn an_instance_with_an_old_token_is_replaced_when_it_is_idle() {
    let fleet = usual();
    let caller = person(1, 1);
    let token = |text: u8| *fleet.launcher.token.lock() = Some([text; 32]);
    token(1);
    let first = fleet.ready(&caller);
    let id = first.peer.request("tools/call", &Members::default(), FakeRequester::of(1)).unwrap();
    token(2);
    assert!(Arc::ptr_eq(&fleet.ready(&caller), &first), "it is in use");
    first.peer.cancel(id, "done");
    let second = fleet.ready(&caller);
    assert!(!Arc::ptr_eq(&second, &first) && Arc::ptr_eq(&fleet.ready(&caller), &second));
    *fleet.launcher.token.lock() = None;
    assert!(Arc::ptr_eq(&fleet.ready(&caller), &second), "there is none to start it with");
}
