//! One table seen by several servers, also while the Valkey server does not answer. `conformance` has the rest.

use std::io::{Read, Write};
use std::time::Duration;

use super::*;
use crate::base::clock;
use crate::base::limits::{valkey::ANSWER, valkey::CONNECTIONS};
use crate::seal;
use crate::store::StateDirectory;
use crate::store::conformance::{NOW, grant};
use crate::store::fake::{TestDirectory, ValkeyServer};

mod records;

/// Waits until `holds`, which must be soon: within the 5 s in which a revocation takes effect everywhere.
fn soon(holds: impl Fn() -> bool) {
    let start = clock::instant();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(5), "it does not come");
        std::thread::yield_now();
    }
}

fn is_cached(table: &ValkeyGrants, id: GrantId) -> bool {
    let _ = table.get(id);
    let mut state = table.shared.state.lock();
    state.may_use_cache() && state.cache.look_up(id).is_some()
}

/// The server deletes the key by itself, after a number of seconds in this range.
fn check_time_left(server: &ValkeyServer, key: &str, range: std::ops::RangeInclusive<u64>) {
    let left = server.ask(&["ttl", key]).parse().unwrap();
    assert!(range.contains(&left), "{left}");
}

#[test]
fn a_revocation_at_one_server_takes_effect_at_the_others() {
    let server = ValkeyServer::start();
    let (one, other) = (server.table(), server.table());
    one.insert(&grant(1)).unwrap();
    soon(|| is_cached(&other, grant(1).id));
    one.delete(grant(1).id).unwrap();
    soon(|| other.get(grant(1).id).unwrap().is_none());
}

#[test]
fn a_refresh_at_one_server_is_seen_by_the_others() {
    let server = ValkeyServer::start();
    let (one, other) = (server.table(), server.table());
    one.insert(&grant(1)).unwrap();
    soon(|| is_cached(&other, grant(1).id));
    one.update(&Grant { login: "renamed".to_owned(), ..grant(1) }).unwrap();
    assert!(matches!(other.update(&grant(1)), Err(Error::Conflict)));
    soon(|| other.get(grant(1).id).unwrap().unwrap().login == "renamed");
}

/// A refresh at another server alone is not the new token that is waited for. The end of the grant ends the wait.
#[test]
fn a_token_that_another_server_exchanges_is_waited_for() {
    let server = ValkeyServer::start();
    let (one, other) = (server.table(), &server.table());
    let change = |change: &dyn Fn(&mut Grant)| {
        let mut grant = Grant::clone(&one.get(grant(1).id).unwrap().unwrap());
        change(&mut grant);
        one.update(&grant).unwrap();
    };
    one.insert(&grant(1)).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| other.wait_for_upstream(&grant(1)).unwrap());
        change(&|grant| grant.login = "renamed".to_owned());
        soon(|| other.get(grant(1).id).unwrap().unwrap().login == "renamed");
        let _never = CancelToken::new().wait(limits::valkey::EXCHANGE_LOOK * 2);
        assert!(!waiting.is_finished());
        change(&|grant| grant.upstream = Some("exchanged".to_owned()));
        assert!(waiting.join().unwrap());
        let exchanged = one.get(grant(1).id).unwrap().unwrap();
        let waiting = scope.spawn(move || other.wait_for_upstream(&exchanged).unwrap());
        one.delete(grant(1).id).unwrap();
        assert!(!waiting.join().unwrap());
    });
}

/// C4, C10: for as long as its state would open.
#[test]
fn a_login_can_be_spent_at_one_server_only() {
    let server = ValkeyServer::start();
    let (one, other) = (server.table(), server.table());
    assert!(one.spend_login("a").unwrap());
    assert!(!other.spend_login("a").unwrap() && !one.spend_login("a").unwrap());
    assert!(other.spend_login("b").unwrap());
    check_time_left(&server, &format!("{PREFIX}login:a"), 590..=600);
}

#[test]
fn a_cached_grant_is_read_without_a_request() {
    let server = ValkeyServer::start();
    let table = server.table();
    table.insert(&grant(1)).unwrap();
    soon(|| is_cached(&table, grant(1).id));
    let gets = || {
        server.ask(&["info", "commandstats"]).lines().find(|line| line.contains("_get:")).map(str::to_owned)
    };
    let before = gets();
    for _ in 0..100 {
        table.get(grant(1).id).unwrap().unwrap();
    }
    assert_eq!(gets(), before);
}

/// F14's hour: the server deletes what no sweep has deleted.
#[test]
fn a_record_is_deleted_by_the_server_an_hour_after_its_end() {
    let server = ValkeyServer::start();
    let table = server.table();
    table
        .insert(&Grant {
            stage: super::super::Stage::CodeIssued,
            expires: NOW.plus(limits::CODE_LIFETIME),
            ..grant(1)
        })
        .unwrap();
    check_time_left(&server, &grant_key(&grant(1).id.to_string()), 3600..=3660);
}

#[test]
fn an_index_without_its_record_is_swept() {
    let server = ValkeyServer::start();
    let table = server.table();
    table.insert(&grant(1)).unwrap();
    server.ask(&["del", &grant_key(&grant(1).id.to_string())]);
    assert!(table.of_user(UserId(1)).unwrap().is_empty() && table.list().unwrap().is_empty());
    assert_eq!(table.count().unwrap(), 1);
    assert!(table.sweep(Expiry { settled: grant(1).end(), now: grant(1).end() }).unwrap().is_empty());
    assert_eq!(table.count().unwrap(), 0);
    assert_eq!(server.ask(&["keys", "*"]), meta());
}

#[test]
fn an_invalid_index_entry_does_not_stop_the_sweep() {
    let server = ValkeyServer::start();
    let table = server.table();
    table.insert(&grant(1)).unwrap();
    server.ask(&["zadd", &format!("{PREFIX}by_end"), "0", "nonsense"]);
    let swept = table.sweep(Expiry { settled: grant(1).end(), now: grant(1).end() }).unwrap();
    assert_eq!(swept.len(), 1);
    assert!(table.list().unwrap().is_empty(), "and the entry alone is no error");
}

#[test]
fn another_key_is_refused() {
    let server = ValkeyServer::start();
    drop(server.table());
    let error = server.open(2).err().unwrap();
    assert!(error.contains("under a key that is not in the key file"), "{error}");
}

/// S4: a failover may lead to a server with nothing in it.
#[test]
fn another_key_is_refused_also_after_the_table_was_emptied() {
    let server = ValkeyServer::start();
    let table = server.table();
    server.ask(&["flushall"]);
    table.insert(&grant(1)).unwrap();
    let error = server.open(2).err().unwrap();
    assert!(error.contains("under a key that is not in the key file"), "{error}");
    assert_eq!(server.table().list().unwrap().len(), 1);
}

/// S3, S5: while the server is away nothing is found, nothing is granted, and a revocation is kept until it can be written.
#[test]
fn a_revocation_without_the_server_is_written_when_it_is_back() {
    let server = ValkeyServer::start();
    let (table, other) = (server.table(), server.table());
    table.insert(&grant(1)).unwrap();
    soon(|| is_cached(&table, grant(1).id));
    server.signal("-STOP");
    assert!(matches!(table.delete(grant(1).id), Err(Error::Storage(_))));
    assert!(matches!(table.get(grant(1).id), Err(Error::Storage(_))));
    assert!(matches!(table.insert(&grant(2)), Err(Error::Storage(_))));
    assert!(!table.takes_writes());
    soon(|| other.get(grant(1).id).is_err());
    server.signal("-CONT");
    soon(|| table.sweep(Expiry { settled: NOW, now: NOW }).is_ok());
    assert!(table.takes_writes());
    soon(|| other.get(grant(1).id).is_ok());
    assert!(other.get(grant(1).id).unwrap().is_none());
}

/// S3: whoever asks again is not told that a grant is gone which other servers still serve.
#[test]
fn a_repeated_revocation_is_written_before_it_is_acknowledged() {
    let server = ValkeyServer::start();
    let (table, other) = (server.table(), server.table());
    table.insert(&grant(1)).unwrap();
    server.signal("-STOP");
    assert!(table.delete(grant(1).id).is_err());
    server.signal("-CONT");
    soon(|| table.get(grant(1).id).is_ok());
    assert!(table.get(grant(1).id).unwrap().is_none());
    assert_eq!(server.ask(&["exists", &grant_key(&grant(1).id.to_string())]), "0");
    soon(|| other.get(grant(1).id).is_ok_and(|grant| grant.is_none()));
}

#[test]
fn without_the_server_operations_fail_at_once_and_the_cache_is_cleared() {
    let mut server = ValkeyServer::start();
    let table = server.table();
    table.insert(&grant(1)).unwrap();
    soon(|| is_cached(&table, grant(1).id));
    server.stop();
    soon(|| table.get(grant(1).id).is_err());
    let start = clock::instant();
    for _ in 0..1000 {
        assert!(table.get(grant(1).id).is_err());
    }
    assert!(start.elapsed() < Duration::from_secs(2));
    server.restart();
    soon(|| table.get(grant(1).id).is_ok());
    table.insert(&grant(2)).unwrap();
    soon(|| is_cached(&table, grant(2).id));
}

/// More callers than connections wait for one, and none fails.
#[test]
fn more_callers_than_connections_are_served() {
    let server = ValkeyServer::start();
    let table = server.table();
    std::thread::scope(|scope| {
        for number in 0..4 * u64::try_from(CONNECTIONS).unwrap() {
            let table = &table;
            scope.spawn(move || table.insert(&grant(number)).unwrap());
        }
    });
    assert_eq!(table.count().unwrap(), 64);
    let clients: usize = server.ask(&["client", "list"]).lines().count();
    assert!(clients <= CONNECTIONS + 2, "{clients}");
}

/// Copied to Valkey and back, grants are the same; they are not mixed with others.
#[test]
fn grants_are_copied_from_the_file_and_back() {
    let (server, keys) = (ValkeyServer::start(), Arc::new(seal::fake::keyring(1)));
    let directory = |directory: &TestDirectory| StateDirectory::open(directory.path()).unwrap();
    let (old, new) = (TestDirectory::new(), TestDirectory::new());
    let (old, new) = (directory(&old), directory(&new));
    let file = StorePlace::default();
    assert!(file.copy_to(&server.place(), &old, &keys).is_err());
    let table = file.open(&old, &keys).unwrap();
    (1..=300).for_each(|number| table.insert(&grant(number)).unwrap());
    table.update(&grant(7)).unwrap();
    let grants = table.list().unwrap();
    drop(table);
    assert_eq!(file.copy_to(&server.place(), &old, &keys).unwrap(), 300);
    assert!(file.copy_to(&server.place(), &old, &keys).is_err());
    assert_eq!(server.table().list().unwrap(), grants);
    assert_eq!(server.place().copy_to(&file, &new, &keys).unwrap(), 300);
    assert_eq!(file.open(&new, &keys).unwrap().list().unwrap(), grants);
}

/// docs/replicas.md: the user that it shows may do everything that a server does, with the password from a file.
#[test]
fn the_documented_acl_user_suffices() {
    let server = ValkeyServer::start();
    let text = include_str!("../../../docs/replicas.md");
    let rules = text.lines().find_map(|line| line.strip_prefix("user mcp ")).unwrap();
    assert_eq!(
        server.ask(&[&["acl", "setuser", "mcp"], &*rules.split(' ').collect::<Vec<_>>()].concat()),
        "OK"
    );
    server.ask(&["acl", "setuser", "default", "off"]);
    let directory = TestDirectory::new();
    std::fs::create_dir(directory.path()).unwrap();
    let (file, keys) = (directory.path().join("password"), Arc::new(seal::fake::keyring(1)));
    std::fs::write(&file, "PASSWORD\n").unwrap();
    let url = StoreUrl::parse(&format!("{}?user=mcp", server.url().as_str())).unwrap().unwrap();
    let place = StorePlace { url: Some(url.clone()), password_file: Some(file.clone()), ca_file: None };
    ValkeyGrants::create(&place, &url, &keys).unwrap();
    let table = ValkeyGrants::existing(&place, &url, &keys, OpenedFor::Server).unwrap().unwrap();
    table.insert(&grant(1)).unwrap();
    table.update(&grant(1)).unwrap();
    soon(|| is_cached(&table, grant(1).id));
    assert_eq!(
        (table.list().unwrap().len(), table.of_user(UserId(1)).unwrap().len(), table.count().unwrap()),
        (1, 1, 1)
    );
    assert!(table.spend_login("a").unwrap());
    table.adopt_key(&keys).unwrap();
    assert_eq!(table.sweep(Expiry { settled: grant(1).end(), now: NOW }).unwrap().len(), 1);
    assert!(table.delete_all(&[grant(1).id]).unwrap().is_empty());
    std::fs::write(&file, "another").unwrap();
    assert!(ValkeyGrants::existing(&place, &url, &keys, OpenedFor::Command).is_err());
}

/// A full server refuses records. It still answers, and takes deletions, which is how it gets room again.
#[test]
fn a_full_server_is_read_and_takes_revocations() {
    let server = ValkeyServer::start();
    let table = server.table();
    (1..=3).for_each(|number| table.insert(&grant(number)).unwrap());
    server.ask(&["config", "set", "maxmemory", "1"]);
    assert!(matches!(table.insert(&grant(4)), Err(Error::Storage(_))));
    assert!(!table.takes_writes());
    assert!(table.get(grant(1).id).unwrap().is_some());
    assert_eq!(table.sweep(Expiry { settled: grant(1).end(), now: NOW }).unwrap().len(), 3);
    assert!(matches!(table.update(&grant(1)), Err(Error::Conflict)));
    assert!(table.insert(&grant(4)).is_err());
    assert!(!table.delete(grant(4).id).unwrap());
}

/// While it reads its file it answers, but has nothing to show: as if it were away.
#[test]
fn a_loading_server_counts_as_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("valkey://{}", listener.local_addr().unwrap());
    let connections = StoreConnections::new(StorePlace::default(), StoreUrl::parse(&url).unwrap().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 14]).unwrap();
            stream.write_all(b"-LOADING Redis is loading the dataset in memory\r\n").unwrap();
        });
        assert!(connections.ask::<()>(&redis::cmd("PING")).is_err());
    });
    assert!(connections.is_away());
}

/// Nothing ends an answer of which there is always one byte more. It holds its caller and a connection; when all are held, the others
/// are refused at once.
#[test]
fn endless_answers_block_at_most_one_caller_per_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("valkey://{}", listener.local_addr().unwrap());
    let connections = StoreConnections::new(StorePlace::default(), StoreUrl::parse(&url).unwrap().unwrap());
    let ask = || connections.ask::<()>(&redis::cmd("PING")).is_err();
    std::thread::scope(|scope| {
        let (endless, ended) = (CONNECTIONS - 1, CancelToken::new());
        let drip = |mut stream: std::net::TcpStream| {
            let ended = ended.clone();
            scope.spawn(move || {
                (0..100).all(|_| stream.write_all(b"+").is_ok() && !ended.wait(ANSWER / 10));
            });
        };
        (0..endless).for_each(|_| {
            scope.spawn(ask);
            drip(listener.accept().unwrap().0);
        });
        scope.spawn(|| drop(listener.accept().unwrap()));
        assert!(ask() && connections.is_away());
        soon(|| {
            scope.spawn(ask);
            listener.set_nonblocking(true).unwrap();
            listener.accept().map(|(stream, _)| drip(stream)).is_ok()
        });
        let start = clock::instant();
        assert!((0..20).all(|_| ask()));
        assert!(start.elapsed() < ANSWER * 3, "{:?}", start.elapsed());
        ended.trip();
    });
}

/// Once a server has become a replica of another, its records may be old, and so may what it publishes.
#[test]
fn a_server_demoted_to_replica_is_left_for_the_one_at_its_address() {
    let (old, new, directory) = (ValkeyServer::start(), ValkeyServer::start(), TestDirectory::new());
    std::fs::create_dir(directory.path()).unwrap();
    let path = |server: &ValkeyServer| server.url().as_str().replace("unix://", "");
    let (name, next) = (directory.path().join("socket"), directory.path().join("next"));
    std::os::unix::fs::symlink(path(&old), &name).unwrap();
    let url = StoreUrl::parse(&format!("unix://{}", name.display())).unwrap().unwrap();
    let (place, keys) = (StorePlace::default(), Arc::new(seal::fake::keyring(1)));
    ValkeyGrants::create(&place, &url, &keys).unwrap();
    let table = ValkeyGrants::existing(&place, &url, &keys, OpenedFor::Server).unwrap().unwrap();
    table.insert(&grant(1)).unwrap();
    assert!((0..CONNECTIONS).all(|_| table.count().is_ok())); // all of them lead to the old one
    let other = new.table();
    other.insert(&grant(1)).unwrap();
    std::os::unix::fs::symlink(path(&new), &next).unwrap();
    std::fs::rename(&next, &name).unwrap();
    old.ask(&["replicaof", "127.0.0.1", "1"]);
    assert!(table.insert(&grant(2)).is_err());
    soon(|| table.insert(&grant(2)).is_ok());
    soon(|| is_cached(&table, grant(1).id));
    other.delete(grant(1).id).unwrap();
    soon(|| table.get(grant(1).id).unwrap().is_none());
}

#[test]
fn urls_without_a_secret_are_taken() {
    let check = |url: &str, is_good: bool| {
        assert_eq!(StoreUrl::parse(url).is_ok_and(|url| url.is_some()), is_good, "{url}")
    };
    let good = [
        "valkey://127.0.0.1",
        "valkeys://db.example.com:6380/3",
        "rediss://user@db",
        "unix:///run/v.sock?db=2",
    ];
    good.into_iter().for_each(|url| check(url, true));
    let secret = [
        "valkey://:secret@127.0.0.1",
        "unix:///run/v.sock?pass=secret",
        "valkey://db.example.com/?pass=secret",
    ];
    let others = ["valkeys://db.example.com/#insecure", "http://x", "valkey://", ""];
    secret.into_iter().chain(others).for_each(|url| check(url, false));
}

/// With the operator's certificates in place of the system's.
#[test]
fn the_certificate_of_an_encrypted_store_is_verified() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let file = |name: &str| format!("{}/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (own, other, key) = (file("ecdsa.pem"), file("rsa.pem"), file("ecdsa.key"));
    let files = ["--tls-cert-file", &own, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let _server = ValkeyServer::start_with(&[&["--tls-port", &port], &files[..]].concat());
    let keys = Arc::new(seal::fake::keyring(1));
    let look = |ca_file: &str| {
        let url = StoreUrl::parse(&format!("valkeys://localhost:{port}")).unwrap();
        let place = StorePlace { url, ca_file: Some(ca_file.into()), password_file: None };
        place.existing(None, &keys, OpenedFor::Check).map(|table| table.is_some())
    };
    assert!(!look(&own).unwrap());
    let error = look(&other).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn a_store_that_says_nothing_is_reported_in_words() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = StoreUrl::parse(&format!("valkey://{}", silent.local_addr().unwrap())).unwrap();
    let place = StorePlace { url, ..StorePlace::default() };
    let look = || place.existing(None, &Arc::new(seal::fake::keyring(1)), OpenedFor::Check).err().unwrap();
    // SIGCHLD for a child of another test interrupts the wait, if it comes while that test starts a program.
    let mut errors = std::iter::repeat_with(|| look().to_string());
    let error = errors.find(|error| !error.contains("Interrupted system call")).unwrap();
    assert!(error.contains("does not answer within a second"), "{error}");
}
