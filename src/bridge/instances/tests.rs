//! Instances over fake transports, with peers that the test controls.

use std::io;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::base::CancelToken;
use crate::base::fake::principal;
use crate::bridge::fake::{FakeRequester, FakeTransport, text};
use crate::bridge::pool::History;
use crate::bridge::transport::{Transport, Undelivered};
use crate::mcp::Members;

mod endings;
mod isolation;

const IDLE: Duration = Duration::from_secs(600);

/// A launched peer.
#[derive(Clone)]
struct Launched {
    receiver: Arc<dyn Receiver>,
    transport: Arc<FakeTransport>,
}

impl Launched {
    /// Answers `initialize`.
    fn greet(&self) {
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}}"#;
        assert!(self.receiver.receive(answer));
    }

    fn die(&self) {
        self.receiver.ended("it ended with exit status 1");
    }

    fn was_ended(&self) -> bool {
        self.transport.send(text("")) == Err(Undelivered::Ended)
    }
}

#[derive(Clone, Default)]
struct FakeLauncher {
    launched: Arc<Mutex<Vec<Launched>>>,
    fails: Arc<Mutex<bool>>,
    token: Arc<Mutex<Option<[u8; 32]>>>,
}

impl Launcher for FakeLauncher {
    fn launch(&self, _: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>> {
        if *self.fails.lock() {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let transport = Arc::new(FakeTransport::default());
        self.launched.lock().push(Launched { receiver, transport: Arc::clone(&transport) });
        Ok(transport)
    }

    fn token_digest(&self, _: &Principal) -> Option<[u8; 32]> {
        *self.token.lock()
    }
}

/// The arguments of a job.
type Found = Result<Arc<Instance>, Unavailable>;

/// Instances, with the parts that a test observes.
struct Fleet {
    instances: Arc<Instances>,
    launcher: FakeLauncher,
}

fn fleet(most: (usize, usize), idle: Duration) -> Fleet {
    fleet_of(Isolation::Grant, InstancePool::new(most), idle)
}

fn fleet_of(isolation: Isolation, pool: Arc<InstancePool<Instance>>, idle: Duration) -> Fleet {
    fleet_named(&format!("{isolation:?}"), isolation, pool, idle)
}

fn fleet_named(
    server: &str,
    isolation: Isolation,
    pool: Arc<InstancePool<Instance>>,
    idle: Duration,
) -> Fleet {
    let settings = InstanceSettings {
        server: Arc::from(server),
        isolation,
        start: Duration::from_secs(60),
        idle,
        client_info: ClientInfo { name: "us", version: "1" },
        pool,
    };
    let launcher = FakeLauncher::default();
    let instances = Instances::new(settings, Box::new(launcher.clone()));
    Fleet { instances, launcher }
}

fn usual() -> Fleet {
    fleet((8, 64), IDLE)
}

fn isolated(isolation: Isolation) -> Fleet {
    fleet_of(isolation, InstancePool::new((8, 64)), IDLE)
}

/// A person with one client program.
fn person(user: u64, grant: u8) -> Principal {
    Principal { grant: GrantId([grant; 16]), ..principal(user) }
}

/// [`person`] in a session.
fn in_session(user: u64, grant: u8, id: &str) -> Principal {
    let session = CallerSession { id: id.into(), ended: CancelToken::new() };
    Principal { session: Some(Arc::new(session)), ..person(user, grant) }
}

impl Fleet {
    /// Requests an instance; the result arrives in the channel.
    fn ask(&self, person: &Principal) -> Arc<Mutex<Option<Found>>> {
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        let job: Job = Box::new(move |found| *told.lock() = Some(found.map(|(instance, _)| instance)));
        self.instances.with(person, job);
        outcome
    }

    /// A ready instance.
    fn ready(&self, person: &Principal) -> Arc<Instance> {
        let outcome = self.ask(person);
        if outcome.lock().is_none() {
            self.last().greet();
        }
        let outcome = outcome.lock().take();
        outcome.unwrap().unwrap()
    }

    fn refusal(&self, person: &Principal) -> Unavailable {
        let outcome = self.ask(person).lock().take();
        outcome.unwrap().err().unwrap()
    }

    /// Starts an instance that ends at once, unless none may be started yet. The pause after two failures may be over before a busy
    /// machine gets to the next; that after more failures is longer.
    fn fail(&self, person: &Principal) -> Unavailable {
        let outcome = self.ask(person);
        if outcome.lock().is_none() {
            self.last().die();
        }
        let outcome = outcome.lock().take();
        outcome.unwrap().err().unwrap()
    }

    fn last(&self) -> Launched {
        self.launcher.launched.lock().last().unwrap().clone()
    }

    fn launches(&self) -> usize {
        self.launcher.launched.lock().len()
    }
}

#[test]
fn simultaneous_callers_start_one_instance() {
    let fleet = usual();
    let asked: Vec<_> = (0..5).map(|_| fleet.ask(&person(1, 1))).collect();
    assert_eq!(fleet.launches(), 1);
    assert!(asked.iter().all(|outcome| outcome.lock().is_none()), "they wait for the handshake");
    fleet.last().greet();
    let found: Vec<_> = asked.iter().map(|outcome| outcome.lock().take().unwrap().unwrap()).collect();
    assert!(found.iter().all(|instance| Arc::ptr_eq(instance, &found[0])));
    assert!(fleet.instances.description(&person(1, 1)).unwrap().capabilities.contains_key("tools"));
    assert!(fleet.instances.description(&person(2, 2)).is_none());
    fleet.ready(&person(1, 1));
    assert_eq!(fleet.launches(), 1);
}

#[test]
fn the_longest_idle_instance_makes_room() {
    let fleet = fleet((2, 3), IDLE);
    let [first, second] = [1, 2].map(|grant| fleet.ready(&person(1, grant)));
    fleet.ready(&person(1, 1));
    fleet.ready(&person(1, 3));
    assert!(fleet.launcher.launched.lock()[1].was_ended(), "the first was used after the second");
    assert!(!fleet.launcher.launched.lock()[0].was_ended());
    fleet.ready(&person(2, 4));
    fleet.ready(&person(3, 5));
    assert!(fleet.launcher.launched.lock()[0].was_ended(), "one of all");
    drop((first, second));
}

#[test]
fn instances_in_use_are_not_ended_for_others() {
    let fleet = fleet((1, 1), IDLE);
    let busy = fleet.ready(&person(1, 1));
    let id = busy.peer.request("tools/call", &Members::default(), FakeRequester::of(1)).unwrap();
    for other in [person(1, 2), person(2, 3)] {
        assert_eq!(fleet.refusal(&other), Unavailable::TooMany);
    }
    busy.peer.cancel(id, "done");
    fleet.ready(&person(2, 3));
}

/// Programs that are being ended count as well: replacing them is bounded.
#[test]
fn dying_programs_are_bounded() {
    let fleet = fleet((1, 64), IDLE);
    fleet.ready(&person(1, 1));
    fleet.ready(&person(1, 2));
    assert_eq!(
        fleet.refusal(&person(1, 3)),
        Unavailable::TooMany,
        "two programs of theirs live, the first is dying"
    );
    assert_eq!(fleet.instances.count(), 1, "the second lives and is known");
    let launched = std::mem::take(&mut *fleet.launcher.launched.lock());
    launched[0].die();
    drop(launched);
    fleet.ready(&person(1, 3));
}

#[test]
fn failures_in_a_row_make_the_next_start_wait() {
    let fleet = usual();
    let caller = person(1, 1);
    let mut failures = 0;
    let wait = loop {
        let error = fleet.fail(&caller);
        if let Unavailable::Failing(seconds) = error {
            break seconds;
        }
        assert_eq!(error.to_string(), "it did not answer initialize: it ended with exit status 1");
        failures += 1;
        assert!(failures < 8);
    };
    assert!(failures >= 2 && (1..=1 << (failures - 2)).contains(&wait), "{wait} s after {failures}");
    assert_eq!(fleet.launches(), failures);
    fleet.ready(&person(2, 2));
    let now = clock::instant();
    let history = |failures, ago| History {
        failures,
        failed: Some(now - Duration::from_secs(ago)),
        ..History::default()
    };
    let pause = |failures, ago| history(failures, ago).pause(now).map_or(0, |pause| pause.as_secs());
    assert_eq!([1, 2, 3, 4, 7, 8, 99].map(|failures| pause(failures, 0)), [0, 1, 2, 4, 32, 60, 60]);
    assert_eq!([pause(4, 3), pause(4, 4), pause(0, 0)], [1, 0, 0]);
}

#[test]
fn a_program_that_cannot_be_launched_says_why() {
    let fleet = usual();
    *fleet.launcher.fails.lock() = true;
    let why = fleet.refusal(&person(1, 1)).to_string();
    assert_eq!(why, "it could not be started: No such file or directory (os error 2)");
    let to_client = |why: &str| Unavailable::NotStarted(why.to_owned()).as_error("a").message;
    assert!(to_client("log in again").ends_with("could not be started: log in again"));
    let of_file = to_client("/srv/homes: permission denied");
    assert!(of_file.contains("could not be started") && !of_file.contains("/srv"), "{of_file}");
    *fleet.launcher.fails.lock() = false;
    fleet.ready(&person(1, 1));
}

/// A program that ends while it is sent `initialize` ends the handshake twice.
#[test]
fn a_failure_is_recorded_once() {
    let fleet = usual();
    fleet.ask(&person(1, 1));
    let instance = fleet.instances.running_for(&person(1, 1)).unwrap();
    (0..2).for_each(|_| fleet.instances.failed(&instance, "it ended".to_owned()));
    assert_eq!(fleet.instances.failures.lock().failures, 1);
}

/// After the end of a ready instance, the next call starts another.
#[test]
fn the_next_call_starts_a_dead_instance_again() {
    let fleet = usual();
    let instance = fleet.ready(&person(1, 1));
    let waiter = FakeRequester::of(1);
    instance.peer.request("tools/call", &Members::default(), Arc::clone(&waiter) as _).unwrap();
    fleet.last().die();
    assert_eq!(waiter.take(), ["ended it ended with exit status 1"]);
    let again = fleet.ready(&person(1, 1));
    assert!(!Arc::ptr_eq(&instance, &again));
    let late: Arc<Mutex<Option<Unavailable>>> = Arc::default();
    let told = Arc::clone(&late);
    instance.when_ready(Box::new(move |found| *told.lock() = found.err()));
    assert_eq!(late.lock().take(), Some(Unavailable::Ended));
}

#[test]
fn only_an_idle_instance_times_out() {
    let fleet = fleet((8, 64), Duration::from_millis(20));
    let instance = fleet.ready(&person(1, 1));
    let id = instance.peer.request("tools/call", &Members::default(), FakeRequester::of(1)).unwrap();
    let deadline = clock::instant() + Duration::from_millis(40);
    while clock::instant() < deadline {
        assert!(!instance.patience().is_zero());
    }
    instance.peer.cancel(id, "done");
    while !instance.patience().is_zero() {
        std::thread::yield_now();
    }
    instance.ending();
    assert!(
        fleet.instances.description(&person(1, 1)).is_some(),
        "a client that comes back is served at once"
    );
    fleet.ready(&person(1, 1));
    assert_eq!(fleet.launches(), 2);
}

#[test]
fn a_start_that_takes_too_long_fails_its_callers() {
    let fleet = usual();
    let outcome = fleet.ask(&person(1, 1));
    let left = fleet.last().receiver.patience();
    assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60));
    fleet.last().receiver.ending();
    let why = outcome.lock().take().unwrap().err().unwrap();
    assert_eq!(
        why.to_string(),
        "it did not answer initialize within 60 s; \"startSeconds\" in a servers file allows more"
    );
}

#[test]
fn a_refused_handshake_ends_the_program() {
    let fleet = usual();
    let outcome = fleet.ask(&person(1, 1));
    let launched = fleet.last();
    assert!(
        launched.receiver.receive(r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"1999-01-01"}}"#)
    );
    assert!(launched.was_ended());
    let why = outcome.lock().take().unwrap().err().unwrap().to_string();
    assert!(why.contains("version \"1999-01-01\""), "{why}");
}

/// On revocation at once; when the server stops, idle ones at once, and no more starts.
#[test]
fn instances_end_with_their_grant_and_with_the_server() {
    let fleet = usual();
    let [revoked, idle, busy] = [1, 2, 3].map(|grant| fleet.ready(&person(1, grant)));
    busy.peer.request("tools/call", &Members::default(), FakeRequester::of(1)).unwrap();
    assert_eq!(fleet.instances.grants().len(), 3);
    fleet.instances.end_grant(GrantId([1; 16]));
    let ended = |index: usize| fleet.launcher.launched.lock()[index].was_ended();
    assert_eq!([0, 1, 2].map(ended), [true, false, false]);
    fleet.instances.close();
    assert_eq!([0, 1, 2].map(ended), [true, true, false]);
    assert_eq!(fleet.refusal(&person(2, 9)), Unavailable::Stopping);
    fleet.instances.stop(Duration::ZERO);
    assert!(ended(2));
    drop((revoked, idle, busy));
    std::mem::take(&mut *fleet.launcher.launched.lock()).iter().for_each(Launched::die);
    fleet.instances.stop(Duration::from_secs(20));
    assert!(fleet.instances.settings.pool.places.is_unused());
}

/// A server is failing from a failure until the next success, of any person.
#[test]
fn a_server_is_failing_until_something_works() {
    let fleet = usual();
    let is_failing = || fleet.instances.failures.lock().is_failing;
    fleet.ready(&person(1, 1));
    assert!(!is_failing());
    fleet.last().die();
    assert!(is_failing());
    fleet.ready(&person(2, 2));
    assert!(!is_failing());
    fleet.last().receiver.failed("no connection");
    assert!(is_failing());
    fleet.last().receiver.reached();
    assert!(!is_failing());
}

/// The operator reads the reason on one line among others.
#[test]
fn the_reason_of_a_failure_is_one_line() {
    let fleet = usual();
    fleet.ready(&person(1, 1));
    fleet.last().receiver.failed("no\nready\r\u{1b}[2J");
    let (_, why) = fleet.instances.failures.lock().latest.clone().unwrap();
    assert_eq!(why, "no ready  [2J");
}

/// A job may ask for another instance: no lock is held meanwhile.
#[test]
fn jobs_run_without_locks() {
    let fleet = Arc::new(usual());
    let (count, again) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&fleet));
    let counted = Arc::clone(&count);
    let job: Job = Box::new(move |_| {
        let inner: Job = Box::new(move |found| drop(found.map(|_| counted.fetch_add(1, Ordering::SeqCst))));
        again.instances.with(&person(1, 1), inner);
    });
    fleet.instances.with(&person(1, 1), job);
    fleet.last().greet();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
