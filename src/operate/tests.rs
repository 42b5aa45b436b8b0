//! The operator's commands on a state directory without a server. With a running one: tests/operator.rs.

use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixListener;

use super::perform as operate;
use super::*;
use crate::base::{GrantId, OsRandom, clock, limits};
use crate::operator::Selection;
use crate::store::conformance::grant;
use crate::store::fake::TestDirectory;
use crate::store::key_file::KeyFile;
use crate::store::{GRANTS_FILE, Grant, Grants, RedbGrants, Stage, StorePlace};
use crate::sys;

fn files(test: &TestDirectory) -> StateFiles {
    let (directory, path) = (test.path().to_owned(), test.path().join(key_file::NAME));
    let socket = directory.join(operator::SOCKET);
    StateFiles {
        directory,
        key_file: KeyFile { path, is_named: false },
        socket,
        audit_log: None,
        store: StorePlace::default(),
    }
}

/// A state directory with two grants that were created now.
fn written(test: &TestDirectory) -> StateFiles {
    let directory = StateDirectory::open(test.path()).unwrap();
    let now = clock::now();
    let keys = Arc::new(key_file::load_or_create(&directory, &OsRandom).unwrap());
    let table = RedbGrants::open(&directory, &keys).unwrap();
    for number in [1, 2] {
        let stage = Stage::Live { generation: 0, rotated_at: now };
        let expires = now.plus(limits::GRANT_LIFETIME);
        table.insert(&Grant { created: now, last_used: now, expires, stage, ..grant(number) }).unwrap();
    }
    files(test)
}

fn listed(files: &StateFiles) -> Vec<GrantId> {
    match operate(&Operation::ListGrants, files).unwrap() {
        Outcome::Grants(grants) => grants.iter().map(|grant| grant.id).collect(),
        other @ (Outcome::Revoked(_)
        | Outcome::Tokens(_)
        | Outcome::TokenAdded(_)
        | Outcome::Rotated { .. }
        | Outcome::Status { .. }
        | Outcome::Servers(_)
        | Outcome::Restarted { .. }
        | Outcome::Forgotten { .. }
        | Outcome::BackedUp
        | Outcome::Copied { .. }) => panic!("{other:?}"),
    }
}

#[test]
fn without_a_server_the_table_itself_is_changed() {
    let test = TestDirectory::new();
    let files = written(&test);
    assert_eq!(listed(&files), [grant(2).id, grant(1).id]);
    let revoke = Operation::Revoke(Selection::Grant(grant(1).id));
    assert_eq!(operate(&revoke, &files).unwrap(), Outcome::Revoked(vec![grant(1).id]));
    assert_eq!(listed(&files), [grant(2).id]);
}

/// Success means that nothing is left.
#[test]
fn revoking_all_fails_if_a_record_cannot_be_read() {
    let test = TestDirectory::new();
    let files = written(&test);
    let below = ::redb::Database::open(test.path().join(GRANTS_FILE)).unwrap();
    let transaction = below.begin_write().unwrap();
    let records = ::redb::TableDefinition::<u128, &[u8]>::new("grants");
    let key = u128::from_be_bytes(grant(1).id.0);
    transaction.open_table(records).unwrap().insert(key, b"{}".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(below);
    let error = operate(&Operation::Revoke(Selection::All), &files).unwrap_err().to_string();
    assert!(error.contains("1 grants have ended, but the table has entries that cannot be read"), "{error}");
    assert_eq!(listed(&files), []);
    operate(&Operation::Revoke(Selection::Grant(grant(1).id)), &files).unwrap();
}

/// S4: the next start seals with the new key, and every sealed value still opens.
#[test]
fn without_a_server_the_key_file_itself_is_changed() {
    let test = TestDirectory::new();
    let files = written(&test);
    assert_eq!(operate(&Operation::RotateKey, &files).unwrap(), Outcome::Rotated { keys: 2 });
    assert_eq!(listed(&files).len(), 2);
    // The older key can be removed.
    let text = std::fs::read_to_string(&files.key_file.path).unwrap();
    let new: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).take(1).collect();
    std::fs::write(&files.key_file.path, new.concat()).unwrap();
    assert_eq!(listed(&files).len(), 2);
}

/// S2: a file whose name the server needs for the making of a copy does not stay, and the command does not say that it does.
#[test]
fn a_backup_that_is_not_there_afterwards_has_failed() {
    let test = TestDirectory::new();
    let files = written(&test);
    let back_up = |path: PathBuf| {
        let (operation, files) = (Operation::BackUp, files.clone());
        super::operate(&OperatorCommand { operation, files, file: Some(path), format: log::Format::Human })
    };
    for name in [operator::COPY, "copy.new"] {
        let error = back_up(test.path().join(name)).unwrap_err().to_string();
        assert!(error.contains("Name a file that is not there yet"), "{error}");
        assert!(!test.path().join(name).exists());
    }
    let path = test.path().join("copy.redb");
    assert_eq!(back_up(path.clone()).unwrap(), Outcome::BackedUp);
    assert!(path.exists() && !test.path().join(operator::COPY).exists());
}

/// Under systemd's DynamicUser= only root can do this: root lists, and files that it writes keep the server's owner.
#[test]
fn root_works_on_the_state_of_another_user() {
    if sys::effective_user() != 0 {
        return; // only root can change the owner of the directory
    }
    let test = TestDirectory::new();
    let files = written(&test);
    let inside = test.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
    for path in inside.chain([test.path().to_owned()]) {
        std::os::unix::fs::chown(path, Some(61_184), Some(61_184)).unwrap();
    }
    assert_eq!(listed(&files).len(), 2);
    assert_eq!(operate(&Operation::RotateKey, &files).unwrap(), Outcome::Rotated { keys: 2 });
    for entry in test.path().read_dir().unwrap().map(Result::unwrap) {
        let owner = std::os::unix::fs::MetadataExt::uid(&entry.metadata().unwrap());
        assert_eq!(owner, 61_184, "{:?}", entry.path());
    }
}

/// A mistyped directory is not initialised as an empty state.
#[test]
fn commands_create_no_state_where_no_server_ran() {
    let test = TestDirectory::new();
    let files = files(&test);
    for prepare in [false, true] {
        if prepare {
            drop(StateDirectory::open(test.path()).unwrap());
        }
        for operation in [Operation::ListGrants, Operation::RotateKey, Operation::Revoke(Selection::All)] {
            let error = operate(&operation, &files).unwrap_err();
            assert_eq!(error.cause, Cause::Missing);
            assert!(error.to_string().contains("no server has run with"), "{error}");
        }
        assert_eq!(test.path().exists(), prepare);
        assert!(!files.key_file.path.exists());
    }
}

/// A directory that is locked by a server without a socket yet.
#[test]
fn a_server_that_does_not_answer_is_named() {
    let test = TestDirectory::new();
    let files = written(&test);
    let _server = StateDirectory::open(test.path()).unwrap();
    let error = operate(&Operation::ListGrants, &files).unwrap_err().to_string();
    assert!(error.contains("operator.sock") && error.contains("try again"), "{error}");
}

/// A hung server accepts no connection once its backlog is full, and does not answer an accepted one.
#[test]
fn a_health_check_of_a_hung_server_ends() {
    let test = TestDirectory::new();
    std::fs::create_dir_all(test.path()).unwrap();
    let socket = test.path().join(operator::SOCKET);
    let _hung = sys::adopt_listener(UnixListener::bind(&socket).unwrap().into_raw_fd(), 1).unwrap();
    for _ in 0..4 {
        let error = status_over(socket.clone(), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error, "no answer in time");
    }
    let error = health(test.path().join("elsewhere.sock"), None).unwrap_err().to_string();
    assert!(error.contains("elsewhere.sock: No such file") && error.contains("--state-dir"), "{error}");
}

#[test]
fn a_truncated_answer_is_refused() {
    let whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(parse(whole), Some((200, &b"{}"[..])));
    for length in 0..whole.len() {
        assert_eq!(parse(&whole[..length]), None, "{length}");
    }
}

/// Changing the owner of the state would keep the server from it.
#[test]
fn another_user_is_told_to_run_the_command_as_the_servers() {
    let denied = StartupError {
        advice: "Run: chown -R 1000 /var/lib/mcp".to_owned(),
        cause: Cause::Denied,
        ..StartupError::new("/var/lib/mcp belongs to user 61184")
    };
    assert_eq!(
        advised(denied).to_string(),
        "/var/lib/mcp belongs to user 61184. Run the command as root or as the server's user"
    );
    let other = StartupError { cause: Cause::Other, ..StartupError::new("/var/lib/mcp is damaged") };
    assert_eq!(advised(other).to_string(), "/var/lib/mcp is damaged");
}
