//! The file survives kills and full disks, and is not opened with wrong keys or damage.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ::redb::Builder;
use ::redb::backends::FileBackend;

use crate::base::{Cause, GrantId, Secret, StartupError, Timestamp, UserId, limits};
use crate::seal::{self, Keyring};
use crate::store::conformance::{NOW, grant};
use crate::store::fake::{Disk, TestDirectory};
use crate::store::private;
use crate::store::redb::{NAME, RedbGrants};
use crate::store::schema::{self, OpenTable};
use crate::store::tables::{GRANTS, META};
use crate::store::{Error, Expiry, Grant, Grants, OpenedFor, StateDirectory};

fn open(path: &Path) -> Result<RedbGrants, StartupError> {
    RedbGrants::open(&StateDirectory::open(path)?, &Arc::new(seal::fake::keyring(1)))
}

/// The layer below a table: the file of a directory, opened by itself.
fn open_file(directory: &TestDirectory) -> Result<OpenTable, StartupError> {
    schema::open(&directory.path().join(NAME), &seal::fake::keyring(1), OpenedFor::Server)
}

/// Deletes everything that has ended by `now`.
fn sweep(table: &RedbGrants, now: Timestamp) -> Result<Vec<Arc<Grant>>, Error> {
    table.sweep(Expiry { settled: now, now })
}

/// A directory with a table that holds grants 1 and 2.
fn written() -> TestDirectory {
    let directory = TestDirectory::new();
    let table = open(directory.path()).unwrap();
    table.insert(&grant(1)).unwrap();
    table.insert(&grant(2)).unwrap();
    directory
}

/// Opens a table that is not to be opened, and gives the message. The file must stay as it is.
fn refused(directory: &TestDirectory) -> String {
    let file = directory.path().join(NAME);
    let before = std::fs::read(&file).unwrap();
    let error = open(directory.path()).err().unwrap().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
    assert!(before == std::fs::read(&file).unwrap(), "{error}");
    error
}

#[test]
fn grants_outlive_the_process() {
    let directory = written();
    let table = open(directory.path()).unwrap();
    assert_eq!(*table.get(grant(1).id).unwrap().unwrap(), grant(1));
    assert_eq!(table.of_user(UserId(1)).unwrap().len(), 2);
    let mode = std::fs::metadata(directory.path().join(NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

/// S1: two handles on one file are refused, in one process as in two.
#[test]
fn a_table_cannot_be_opened_twice() {
    let directory = written();
    let _table = open(directory.path()).unwrap();
    assert!(matches!(open_file(&directory), Err(StartupError { cause: Cause::InUse, .. })));
}

/// S2: what is not a grants table is never taken for an empty one.
#[test]
fn a_damaged_or_foreign_file_is_refused() {
    let check = |damage: &dyn Fn(&mut Vec<u8>)| {
        let directory = written();
        let file = directory.path().join(NAME);
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();
        let error = refused(&directory);
        assert!(error.contains("damaged or not a grants table"), "{error}");
    };
    check(&|bytes| bytes.clear());
    check(&|bytes| bytes.truncate(100));
    check(&|bytes| *bytes = b"SQLite format 3\0".repeat(1000));
    check(&|bytes| bytes[..512].fill(0));
    check(&|bytes| bytes[4096..].fill(0xa5));
    // One flipped bit in a record's text.
    check(&|bytes| {
        let at = bytes.windows(7).position(|window| window == b"octocat").unwrap();
        bytes[at] ^= 1;
    });
}

/// S2: redb's own file, but nobody's grants.
#[test]
fn a_table_of_another_program_is_refused() {
    let directory = written();
    let file = directory.path().join(NAME);
    let draft = private::create_private(&directory.path().join("other")).unwrap();
    drop(Builder::new().create_with_backend(FileBackend::new(draft).unwrap()).unwrap());
    std::fs::rename(directory.path().join("other"), file).unwrap();
    let error = open(directory.path()).err().unwrap().to_string();
    assert!(error.contains("damaged or not a grants table"), "{error}");
}

/// S2: a newer schema is not guessed at.
#[test]
fn a_newer_schema_is_refused() {
    let directory = written();
    let table = open_file(&directory).unwrap();
    let transaction = table.database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("schema", 2_u64.to_be_bytes().as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(table);
    let error = open(directory.path()).err().unwrap().to_string();
    assert!(error.contains("was written by a later version of this program (schema 2)"), "{error}");
}

/// The table, opened with these keys.
fn with_keys(directory: &TestDirectory, keys: &[u8]) -> (Result<RedbGrants, StartupError>, Arc<Keyring>) {
    let keys: Vec<_> = keys.iter().map(|&byte| Secret::new([byte; 32])).collect();
    let keys = Arc::new(Keyring::new(&keys).unwrap());
    let state = StateDirectory::open(directory.path()).unwrap();
    (RedbGrants::open(&state, &keys), keys)
}

/// S4: with none of the keys that made it, the table is not used.
#[test]
fn a_wrong_key_is_refused_and_a_rotated_one_is_not() {
    let directory = written();
    let assert_wrong = |keys: &[u8]| {
        let error = with_keys(&directory, keys).0.err().unwrap().to_string();
        assert!(error.contains("under a key that is not in the key file"), "{error}");
    };
    assert_wrong(&[2]);
    // The new key before the old one; once it was adopted, the old one may go.
    let (table, keys) = with_keys(&directory, &[2, 1]);
    let table = table.unwrap();
    assert!(table.get(grant(1).id).unwrap().is_some());
    table.adopt_key(&keys).unwrap();
    drop(table);
    assert_eq!(with_keys(&directory, &[2]).0.unwrap().list().unwrap().len(), 2);
    assert_wrong(&[1]);
}

/// A2: whatever a look finds, be it a new first key or a table that was not closed, the file stays as it is.
#[test]
fn inspecting_the_table_does_not_change_the_file() {
    let directory = written();
    let file = directory.path().join(NAME);
    let open = open(directory.path()).unwrap();
    let unclosed = std::fs::read(&file).unwrap();
    drop(open);
    let closed = std::fs::read(&file).unwrap();
    assert!(unclosed != closed);
    for bytes in [unclosed, closed] {
        std::fs::write(&file, &bytes).unwrap();
        let state = StateDirectory::existing(directory.path(), OpenedFor::Check).unwrap().unwrap();
        let keys = Arc::new(Keyring::new(&[2, 1].map(|byte| Secret::new([byte; 32]))).unwrap());
        let look = RedbGrants::existing(&state, &keys).unwrap().unwrap();
        assert_eq!((look.list().unwrap().len(), look.newest()), (2, NOW));
        look.adopt_key(&keys).unwrap();
        drop(look);
        assert!(bytes == std::fs::read(&file).unwrap());
        assert_eq!(state.path().read_dir().unwrap().count(), 1, "no other file was made");
    }
}

const VICTIM: &str = "MCP_OAUTH_TEST_VICTIM";

/// Not a test by itself: what [`a_killed_process_loses_nothing_it_acknowledged`] starts and kills.
#[test]
#[allow(clippy::disallowed_methods)] // the environment is how the test tells its child what to be
fn a_victim_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let table = open(Path::new(&path)).unwrap();
    for number in 0.. {
        table.insert(&grant(number)).unwrap();
        if number % 3 == 2 {
            table.delete(grant(number - 1).id).unwrap();
        }
        println!("acknowledged {number}");
    }
}

/// S2: what was acknowledged is there after kill -9, what was deleted is not.
#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let directory = TestDirectory::new();
    let victim = concat!(module_path!(), "::a_victim_writes_until_it_is_killed");
    for kill_after in [1, 7, 40] {
        let _ = std::fs::remove_dir_all(directory.path());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([victim.split_once("::").unwrap().1, "--exact", "--nocapture"])
            .env(VICTIM, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = lines
            .map(Result::unwrap)
            .filter_map(|line| line.split("acknowledged ").nth(1)?.parse::<u64>().ok())
            .take(kill_after)
            .last()
            .unwrap();
        child.kill().unwrap(); // SIGKILL, while it goes on writing
        child.wait().unwrap();
        let table = open(directory.path()).unwrap();
        for number in 0..=acknowledged {
            // The victim deletes the one before every third; the next one may be under way.
            let deleted = number % 3 == 1 && number < acknowledged;
            let found = table.get(grant(number).id).unwrap().is_some();
            let may_be_gone = number % 3 == 1 && number == acknowledged;
            assert!(found != deleted || may_be_gone, "{number} of {acknowledged}");
        }
        assert_eq!(table.list().unwrap().len(), table.of_user(UserId(1)).unwrap().len());
    }
}

/// S3: on a full disk nothing is issued and nothing half-done; a revocation holds, and is written when there is room.
#[test]
fn a_full_disk_refuses_grants_and_keeps_revocations() {
    let directory = written();
    let disk = Disk::default();
    let table = disk.table(directory.path().join(NAME));
    let cached = table.get(grant(1).id).unwrap().unwrap();

    disk.fill(true);
    let failed = |outcome: Result<(), Error>| {
        assert!(matches!(outcome, Err(Error::Storage(_))), "{outcome:?}");
    };
    assert!(table.takes_writes());
    failed(table.insert(&grant(3)));
    assert!(!table.takes_writes());
    failed(table.update(&Grant { login: "changed".to_owned(), ..(*cached).clone() }));
    failed(table.delete(grant(2).id).map(drop));
    failed(sweep(&table, NOW).map(drop));
    assert!(!table.takes_writes());
    assert!(table.get(grant(2).id).unwrap().is_none());
    assert!(matches!(table.update(&grant(2)), Err(Error::Conflict)));

    disk.fill(false);
    sweep(&table, NOW).unwrap();
    assert!(table.takes_writes());
    let ids: Vec<GrantId> = table.list().unwrap().iter().map(|grant| grant.id).collect();
    assert_eq!(ids, [grant(1).id]);
    assert_eq!(*table.get(grant(1).id).unwrap().unwrap(), grant(1));
    table.insert(&grant(3)).unwrap();

    // With nothing to make up for, a sweep finds out by a write of its own.
    disk.fill(true);
    failed(table.insert(&grant(4)));
    failed(sweep(&table, NOW).map(drop));
    disk.fill(false);
    assert_eq!(sweep(&table, NOW).unwrap(), []);
    assert!(table.takes_writes());
    drop(table);
    assert!(open(directory.path()).unwrap().get(grant(2).id).unwrap().is_none());
}

/// S3: another write that succeeds does not write a deletion that has failed.
#[test]
fn a_table_is_ready_once_every_deletion_is_written() {
    let directory = written();
    let disk = Disk::default();
    let table = disk.table(directory.path().join(NAME));
    disk.fail_once();
    assert!(matches!(table.delete(grant(2).id), Err(Error::Storage(_))));
    table.insert(&grant(3)).unwrap();
    assert!(!table.takes_writes());
    sweep(&table, NOW).unwrap();
    assert!(table.takes_writes());
}

/// S3: a table that cannot be read takes no grants and keeps revocations; when the disk is back, so is the table.
#[test]
fn a_lost_disk_takes_no_grants_and_keeps_revocations() {
    let directory = written();
    let disk = Disk::default();
    let table = disk.table(directory.path().join(NAME));
    disk.take_away(true);
    assert!(matches!(table.insert(&grant(3)), Err(Error::Storage(_))));
    assert!(matches!(table.delete(grant(2).id), Err(Error::Storage(_))));
    assert!(table.get(grant(2).id).unwrap().is_none());
    assert!(table.list().is_err() && sweep(&table, NOW).is_err());

    disk.take_away(false);
    sweep(&table, NOW).unwrap();
    table.insert(&grant(3)).unwrap();
    assert_eq!(table.list().unwrap().len(), 2);
}

/// S3: redb panics on some damaged pages. To callers that is a failed disk; when its file is whole again, the table is used again.
#[test]
fn a_damaged_page_takes_no_grants_and_keeps_revocations() {
    let directory = written();
    let disk = Disk::uncached();
    let table = disk.table(directory.path().join(NAME));
    assert!(table.get(grant(1).id).unwrap().is_some());
    disk.damage(true);
    assert!(matches!(table.get(grant(2).id), Err(Error::Storage(_))));
    assert!(table.get(grant(1).id).unwrap().is_some(), "it is in memory");
    assert!(matches!(table.delete(grant(1).id), Err(Error::Storage(_))));
    assert!(table.get(grant(1).id).unwrap().is_none());
    assert!(sweep(&table, NOW).is_err() && !table.takes_writes());

    disk.damage(false);
    sweep(&table, NOW).unwrap();
    assert!(table.takes_writes());
    assert_eq!(table.list().unwrap().iter().map(|grant| grant.id).collect::<Vec<_>>(), [grant(2).id]);

    disk.damage(true);
    assert!(matches!(table.insert(&grant(3)), Err(Error::Storage(_))));
    disk.damage(false);
    sweep(&table, NOW).unwrap();
    disk.damage(true);
    drop(table); // closing it panics in redb
    disk.damage(false);
    assert_eq!(disk.table(directory.path().join(NAME)).count().unwrap(), 1);
}

/// S2, S3: what is written to a file that was removed would be gone at the next start, so nothing is; when the file is back, so
/// is the table.
#[test]
fn a_removed_file_takes_no_grants_and_keeps_revocations() {
    let directory = written();
    let table = open(directory.path()).unwrap();
    let (file, away) = (directory.path().join(NAME), directory.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    let error = table.insert(&grant(3)).unwrap_err().to_string();
    assert!(error.contains("was removed or replaced"), "{error}");
    assert!(matches!(table.delete(grant(2).id), Err(Error::Storage(_))));
    assert!(table.get(grant(2).id).unwrap().is_none());
    assert!(sweep(&table, NOW).is_err() && !table.takes_writes());

    std::fs::rename(&away, &file).unwrap();
    sweep(&table, NOW).unwrap();
    assert!(table.takes_writes());
    table.insert(&grant(3)).unwrap();
    assert_eq!(table.list().unwrap().len(), 2);
}

/// S2, S3: a backup that is put back while the server runs gets the revocations that follow, and its grants take the place of
/// those in memory.
#[test]
fn a_replaced_file_is_used_from_the_next_write() {
    let directory = written();
    let file = directory.path().join(NAME);
    let table = open(directory.path()).unwrap();
    let copy = directory.path().join("copy.redb");
    table.back_up(&copy).unwrap();
    table.insert(&grant(3)).unwrap();
    assert!(table.get(grant(3).id).unwrap().is_some());
    std::fs::rename(&copy, &file).unwrap();
    assert!(matches!(table.delete(grant(1).id), Err(Error::Storage(_))));
    assert!(table.get(grant(1).id).unwrap().is_none() && table.get(grant(3).id).unwrap().is_none());
    sweep(&table, NOW).unwrap();
    assert!(table.takes_writes());
    drop(table);
    let ids: Vec<GrantId> =
        open(directory.path()).unwrap().list().unwrap().iter().map(|grant| grant.id).collect();
    assert_eq!(ids, [grant(2).id]);
}

/// S4: a file that takes the table's place while the server runs is checked as at a start.
#[test]
fn a_replacement_under_another_key_is_not_used() {
    let (directory, other) = (written(), TestDirectory::new());
    let table = open(directory.path()).unwrap();
    let foreign = with_keys(&other, &[2]).0.unwrap();
    foreign.insert(&grant(3)).unwrap();
    drop(foreign);
    std::fs::rename(other.path().join(NAME), directory.path().join(NAME)).unwrap();
    assert!(table.insert(&grant(4)).is_err());
    let error = sweep(&table, NOW).unwrap_err().to_string();
    assert!(error.contains("under a key that is not in the key file"), "{error}");
    assert!(table.get(grant(3).id).is_err() && !table.takes_writes());
}

/// One damaged record does not keep the other grants from being shown and ended.
#[test]
fn an_unreadable_record_is_left_out_of_lists() {
    let directory = written();
    let below = open_file(&directory).unwrap();
    let transaction = below.database.begin_write().unwrap();
    let key = u128::from_be_bytes(grant(1).id.0);
    transaction.open_table(GRANTS).unwrap().insert(key, b"{}".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(below);
    let table = open(directory.path()).unwrap();
    assert!(table.get(grant(1).id).is_err());
    for grants in [table.list().unwrap(), table.of_user(UserId(1)).unwrap()] {
        assert_eq!(grants.iter().map(|grant| grant.id).collect::<Vec<_>>(), [grant(2).id]);
    }
    assert!(table.takes_writes());
}

/// S5: what is left behind by many short grants is not a growing file.
#[test]
fn a_swept_table_does_not_grow() {
    let directory = TestDirectory::new();
    let table = open(directory.path()).unwrap();
    let size = || std::fs::metadata(directory.path().join(NAME)).unwrap().len();
    let round = || {
        (0..40).for_each(|number| table.insert(&grant(number)).unwrap());
        let end = grant(0).end().plus(Duration::from_secs(1));
        assert_eq!(sweep(&table, end).unwrap().len(), 40);
    };
    round();
    round();
    let after_two = size();
    round();
    round();
    assert_eq!(size(), after_two);
}

/// T18: a record from a moment when the clock was ahead delays logins once, not at every start.
#[test]
fn a_record_from_the_future_delays_logins_only_once() {
    let directory = written();
    let ahead = Grant { last_used: NOW.plus(limits::CLOCK_BEHIND * 30), ..grant(3) };
    open(directory.path()).unwrap().insert(&ahead).unwrap();
    assert!(open(directory.path()).unwrap().newest() > NOW.plus(limits::CLOCK_BEHIND));
    open(directory.path())
        .unwrap()
        .insert(&Grant { last_used: NOW.plus(limits::SWEEP), ..grant(4) })
        .unwrap();
    assert_eq!(open(directory.path()).unwrap().newest(), NOW.plus(limits::SWEEP));
}
