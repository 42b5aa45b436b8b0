//! The effects of the operator's endpoint on a table in memory.

use super::*;
use crate::base::fake::subject;
use crate::base::{ClientFingerprint, TokenName, UserId};
use crate::http::Body;
use crate::http::desk::{answer, body_limit};
use crate::http::fake::request;
use crate::oauth::fake;
use crate::store::MemoryGrants;
use crate::store::conformance::{Removable, grant};

struct Fixture {
    operator: Arc<Operator>,
    /// The surroundings of the operator's server.
    world: fake::Fixture,
}

/// An operator over grants of these users, numbered from 1: user and login.
fn fixture(users: &[(u64, &str)]) -> Fixture {
    let grants = Arc::new(MemoryGrants::default());
    for (&(user, login), number) in users.iter().zip(1..) {
        let grant = Grant { subject: subject(user), login: login.to_owned(), ..grant(number) };
        grants.insert(&grant).unwrap();
    }
    fixture_over(grants)
}

fn fixture_over(grants: Arc<dyn Grants>) -> Fixture {
    let world = fake::fixture_over(Arc::clone(&grants));
    let operator = Operator {
        grants,
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
        rotate_key: Box::new(|| Ok(2)),
        copy: PathBuf::from(COPY),
        writing: Quota::in_total(1),
        server: Some(RunningServer {
            oauth: Arc::new(AuthorizationServer::new(world.parts())),
            look: Box::new(running),
            bridges: None,
            metrics: Arc::new(NoMetrics),
        }),
    };
    Fixture { operator: Arc::new(operator), world }
}

struct NoMetrics;

impl Handler for NoMetrics {
    fn admit(self: Arc<Self>, _: Head) -> Admission {
        Admission::Answered(Response::new(204))
    }
}

fn running() -> Running {
    Running { version: "1".into(), since: "x".into(), sessions: 1, streams: 2, calls: 3, programs: 4 }
}

impl Fixture {
    fn operator(&mut self) -> &mut Operator {
        Arc::get_mut(&mut self.operator).unwrap()
    }
}

fn post(operator: &Arc<Operator>, body: &str) -> (u16, serde_json::Value) {
    let response = answer(operator, request("POST", PATH).body(body));
    let Body::Bytes(bytes) = response.body() else { panic!("a stream") };
    (response.status(), serde_json::from_slice(bytes).unwrap())
}

fn id(number: u64) -> GrantId {
    grant(number).id
}

/// A panic in one command does not keep the later ones out.
#[test]
fn a_panicking_command_does_not_block_later_ones() {
    let mut fixture = fixture(&[]);
    let has_panicked = std::sync::atomic::AtomicBool::new(false);
    fixture.operator().rotate_key = Box::new(move || {
        assert!(has_panicked.swap(true, std::sync::atomic::Ordering::Relaxed), "the first time");
        Ok(2)
    });
    let rotate = || fixture.operator.perform(&Operation::RotateKey);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(rotate)).is_err());
    assert_eq!(rotate().unwrap(), Outcome::Rotated { keys: 2 });
}

#[test]
fn the_operator_sees_whether_the_table_answers() {
    let fixture = fixture(&[]);
    let check = |method, path, status| {
        assert_eq!(answer(&fixture.operator, request(method, path)).status(), status, "{path}");
    };
    check("GET", "/healthz", 200);
    check("HEAD", "/readyz", 200);
    check("POST", "/readyz", 405);
    check("GET", PATH, 405);
    check("GET", "/mcp", 404);
}

/// C11, A1: each grant with its person, program and times, and nothing that opens anything.
#[test]
fn grants_are_listed_without_secrets() {
    let fixture = fixture(&[(1, "octocat")]);
    let grant = Grant { upstream: Some("sealed".to_owned()), ..grant(9) };
    fixture.world.grants.insert(&grant).unwrap();
    let (status, body) = post(&fixture.operator, "\"list_grants\"");
    assert_eq!((status, body["grants"].as_array().unwrap().len()), (200, 2));
    assert!(!body.to_string().contains("sealed"), "{body}");
    let one = &body["grants"][1];
    assert_eq!((&one["login"], &one["user"]), (&"octocat".into(), &1.into()));
    assert_eq!(one["client"]["redirect"], "http://127.0.0.1");
    assert_eq!(
        (&one["created"], &one["ends"]),
        (&"2026-01-01T00:00:00Z".into(), &"2026-01-31T00:00:00Z".into())
    );
    fixture.world.clock.advance(limits::GRANT_LIFETIME);
    assert_eq!(post(&fixture.operator, "\"list_grants\"").1["grants"].as_array().unwrap().len(), 0);
}

/// A1: by grant, person, program, or all; and only those.
#[test]
fn a_selection_ends_exactly_the_grants_it_names() {
    let users = [(1, "octocat"), (2, "mona"), (2, "mona-renamed"), (3, "hubot")];
    let check = |selection: Selection, expected: &[u64]| {
        let fixture = fixture(&users);
        let expected: Vec<GrantId> = expected.iter().copied().map(id).collect();
        let outcome = fixture.operator.perform(&Operation::Revoke(selection)).unwrap();
        assert_eq!(outcome, Outcome::Revoked(expected.clone()));
        assert_eq!(fixture.world.ended(), expected);
        assert_eq!(fixture.world.grants.list().unwrap().len(), users.len() - expected.len());
    };
    check(Selection::Grant(id(1)), &[1]);
    check(Selection::Grant(id(9)), &[]);
    check(Selection::User(UserId(2)), &[2, 3]);
    check(Selection::Number(UserId(2)), &[2, 3]);
    check(Selection::Login("OCTOCAT".to_owned()), &[1]);
    // A login of the past or the present means the account, under whatever name it let a program in.
    check(Selection::Login("mona".to_owned()), &[2, 3]);
    check(Selection::Login("nobody".to_owned()), &[]);
    check(Selection::Client(ClientFingerprint::of("client")), &[1, 2, 3, 4]);
    check(Selection::Client(ClientFingerprint::of("other")), &[]);
    check(Selection::All, &[1, 2, 3, 4]);
}

/// Success means that nothing is left that another server accepts.
#[cfg(feature = "valkey")]
#[test]
fn revoking_all_fails_if_records_are_under_another_key() {
    let server = store::fake::ValkeyServer::start();
    let keys = [2, 1].map(|byte| crate::base::Secret::new([byte; 32]));
    let (own, other) = (server.table(), server.open_with(crate::seal::Keyring::new(&keys).unwrap()).unwrap());
    own.insert(&grant(1)).unwrap();
    other.insert(&grant(2)).unwrap();
    let fixture = fixture_over(own);
    let revoke = || fixture.operator.perform(&Operation::Revoke(Selection::All));
    let error = revoke().unwrap_err().to_string();
    assert!(error.contains("1 grants have ended, but the table has entries that cannot be read"), "{error}");
    let left = other.list().unwrap();
    assert_eq!(left.iter().map(|grant| grant.id).collect::<Vec<_>>(), [id(2)]);
    other.delete(id(2)).unwrap();
    assert_eq!(revoke().unwrap(), Outcome::Revoked(vec![]));
}

/// A1: digits alone are refused if they are the number of one person and the login of another.
#[test]
fn a_number_that_is_also_a_login_is_refused() {
    let check = |selection: Selection, expected: &[u64]| {
        let fixture = fixture(&[(2, "mona"), (3, "2"), (4, "4")]);
        let outcome = fixture.operator.perform(&Operation::Revoke(selection)).unwrap();
        assert_eq!(outcome, Outcome::Revoked(expected.iter().copied().map(id).collect()));
    };
    check(Selection::Number(UserId(2)), &[]);
    check(Selection::User(UserId(2)), &[1]);
    check(Selection::Number(UserId(3)), &[2]);
    check(Selection::Number(UserId(4)), &[3]);
}

/// A23: in the words that the log has for the same things elsewhere.
#[test]
fn the_log_says_what_was_to_be_revoked() {
    let check = |selection: Selection, expected: &str| assert_eq!(selection.to_string(), expected);
    check(Selection::All, "all");
    check(Selection::User(UserId(583_231)), "github:583231");
    check(Selection::Login("mona".to_owned()), "user:mona");
    check(Selection::Token(TokenName::parse("ci").unwrap()), "token:ci");
    check(Selection::Client(ClientFingerprint::of("x")), "client:LXEWQrcmsEQBYnyp-6wy9Q");
    check(Selection::Grant(id(1)), &format!("grant:{}", id(1)));
}

/// S3: a write that fails does not keep the next from being tried. A write for each grant would have a hundred thousand of them wait for
/// the disk for minutes, in which the last would still be let in.
#[test]
fn grants_are_ended_in_batches_of_which_each_is_tried() {
    let grants: Arc<dyn Grants> = Arc::new(MemoryGrants::default());
    (1..=300).for_each(|number| grants.insert(&grant(number)).unwrap());
    let table = Arc::new(fake::ReadOnly::keeping(&grants, id(2)));
    let mut fixture = fixture_over(table.clone());
    let revoke = |fixture: &Fixture, error: &str, writes: usize| {
        let (status, body) = post(&fixture.operator, r#"{"revoke":"all"}"#);
        assert_eq!(status, 503);
        assert!(body["error"].as_str().unwrap().starts_with(error), "{body}");
        assert_eq!(table.deletions.load(std::sync::atomic::Ordering::Relaxed), writes);
        assert_eq!(fixture.world.grants.list().unwrap().len(), limits::SWEEP_BATCH);
    };
    revoke(&fixture, "256 of 300 grants could not be deleted", 2);
    assert_eq!(fixture.world.ended().len(), 300);
    fixture.operator().server = None;
    revoke(&fixture, "256 of 256 grants could not be deleted", 3);
}

/// S3: a grant whose deletion is not on the disk is not listed any more, but neither is its end called done.
#[test]
fn a_repeated_revocation_fails_until_it_is_written() {
    let file = Removable::new();
    file.table.insert(&grant(1)).unwrap();
    let fixture = fixture_over(file.table.clone());
    let revoke = || post(&fixture.operator, r#"{"revoke":"all"}"#);
    file.fail_once();
    assert!(revoke().1["error"].as_str().unwrap().starts_with("1 of 1 grants could not be deleted"));
    for _ in 0..2 {
        let (status, body) = revoke();
        let error = body["error"].as_str().unwrap();
        assert!(status == 503 && error.ends_with("may not be on the disk yet. Try again"), "{error}");
    }
    fixture.operator.server().unwrap().oauth.grants.sweep();
    assert_eq!(revoke(), (200, serde_json::json!({ "revoked": [] })));
}

/// S3: while the table cannot be read, a server remembers what to end; the operator is told whether it does.
#[test]
fn grants_that_cannot_be_looked_up_are_ended_later() {
    let file = Removable::new();
    for user in [1, 2] {
        file.table.insert(&Grant { subject: subject(user), ..grant(user) }).unwrap();
    }
    let mut fixture = fixture_over(file.table.clone());
    file.take_away();
    let promises = |fixture: &Fixture| {
        let (status, body) = post(&fixture.operator, r#"{"revoke":{"user":2}}"#);
        assert_eq!(status, 503);
        body["error"].as_str().unwrap().contains("refuses these grants from now on")
    };
    assert!(promises(&fixture));
    file.put_back();
    fixture.operator().server.as_ref().unwrap().oauth.grants.sweep();
    assert_eq!(fixture.world.ended(), [id(2)]);
    file.take_away();
    fixture.operator().server = None;
    assert!(!promises(&fixture));
}

#[test]
fn operations_travel_as_json() {
    let fixture = fixture(&[(1, "octocat")]);
    for bad in ["", "{}", "\"revoke\"", r#"{"revoke":{"user":"octocat"}}"#, r#"{"revoke":{"grant":"x"}}"#] {
        assert_eq!(post(&fixture.operator, bad).0, 400, "{bad}");
    }
    assert_eq!(fixture.world.grants.list().unwrap().len(), 1);
    let (status, body) = post(&fixture.operator, r#"{"revoke":{"login":"octocat"}}"#);
    assert_eq!((status, body), (200, serde_json::json!({ "revoked": [id(1)] })));
    assert_eq!(post(&fixture.operator, "\"rotate_key\"").1, serde_json::json!({ "rotated": { "keys": 2 } }));
}

/// Of grants those that are not over; of a server only what it says of itself.
#[test]
fn a_status_counts_what_lives() {
    let mut fixture = fixture(&[(1, "octocat"), (2, "mona")]);
    let status = |fixture: &Fixture| fixture.operator.perform(&Operation::Status).unwrap();
    assert_eq!(status(&fixture), Outcome::Status { grants: 2, server: Some(running()) });
    fixture.world.clock.advance(limits::GRANT_LIFETIME);
    assert_eq!(status(&fixture), Outcome::Status { grants: 0, server: Some(running()) });
    fixture.operator().server = None;
    assert_eq!(status(&fixture), Outcome::Status { grants: 0, server: None });
}

/// Two at once would each write the key file without the other's key.
#[test]
fn one_command_at_a_time_changes_the_key() {
    let fixture = fixture(&[]);
    let _claim = fixture.operator.writing.take(()).unwrap();
    assert_eq!(post(&fixture.operator, "\"rotate_key\"").0, 409);
    assert_eq!(post(&fixture.operator, "\"back_up\"").0, 409);
}

/// Only the endpoint takes a body.
#[test]
fn only_the_operator_endpoint_takes_a_body() {
    let fixture = fixture(&[]);
    let limit = |path| body_limit(&fixture.operator, request("POST", path).head);
    assert_eq!((limit(PATH), limit("/healthz"), limit("/")), (Ok(limits::FORM_BYTES), Err(405), Err(404)));
}

/// Each case says what to do.
#[test]
fn commands_about_servers_say_why_there_is_none() {
    let mut fixture = fixture(&[]);
    let check = |fixture: &Fixture, expected: &str| {
        for operation in [Operation::ListServers, Operation::RestartServer("nope".to_owned())] {
            let error = fixture.operator.perform(&operation).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    };
    check(&fixture, "start it with -- COMMAND, --upstream or --servers");
    fixture.operator().server = None;
    check(&fixture, "no server runs with this state directory: start it");
}
