//! The contract of every table, whatever it is made of.

use std::sync::Arc;
use std::time::Duration;

use super::fake::{Disk, TestDirectory};
use super::{
    Error, Expiry, GRANTS_FILE, Grant, GrantClient, Grants, MemoryGrants, RedbGrants, Stage, StateDirectory,
};
use crate::base::{ClientFingerprint, GrantId, Memberships, Scopes, Subject, Timestamp, UserId, limits};
use crate::seal;

pub(super) const NOW: Timestamp = Timestamp(1_767_225_600);

/// A live grant of user 1, made now.
pub(crate) fn grant(number: u64) -> Grant {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    Grant {
        id: GrantId(id),
        revision: 0,
        subject: Subject::User(UserId(1)),
        login: "octocat".to_owned(),
        client: GrantClient {
            fingerprint: ClientFingerprint::of("client"),
            name: "Example".to_owned(),
            host: None,
            redirect: "http://127.0.0.1".to_owned(),
        },
        scopes: Scopes::parse("mcp offline_access").unwrap(),
        resource: "https://mcp.example.com/mcp".to_owned(),
        created: NOW,
        last_used: NOW,
        admitted: NOW,
        memberships: Memberships::default(),
        expires: NOW.plus(limits::GRANT_LIFETIME),
        stage: Stage::Live { generation: 0, rotated_at: NOW },
        upstream: None,
    }
}

/// A table on a disk that can be taken away from it.
pub(crate) struct Removable {
    pub(crate) table: Arc<RedbGrants>,
    disk: Disk,
    _directory: TestDirectory,
}

impl Removable {
    pub(crate) fn new() -> Removable {
        let (directory, disk) = (TestDirectory::new(), Disk::default());
        let state = StateDirectory::open(directory.path()).unwrap();
        drop(RedbGrants::open(&state, &Arc::new(seal::fake::keyring(1))).unwrap());
        let table = Arc::new(disk.table(state.file(GRANTS_FILE)));
        Removable { table, disk, _directory: directory }
    }

    /// From now on nothing can be read but what is in memory.
    pub(crate) fn take_away(&self) {
        self.disk.take_away(true);
        assert!(self.table.delete(grant(u64::MAX).id).is_err());
        assert!(self.table.list().is_err());
    }

    /// The next write fails. The table can be read afterwards, and the next sweep writes again.
    pub(crate) fn fail_once(&self) {
        self.disk.fail_once();
    }

    /// The next sweep finds the disk again.
    pub(crate) fn put_back(&self) {
        self.disk.take_away(false);
    }
}

fn of(user: u64, number: u64) -> Grant {
    Grant { subject: Subject::User(UserId(user)), ..grant(number) }
}

pub(super) fn ids(grants: &[Arc<Grant>]) -> Vec<GrantId> {
    grants.iter().map(|grant| grant.id).collect()
}

/// Runs `test` on an empty table of each kind.
fn check(test: impl Fn(&dyn Grants)) {
    test(&MemoryGrants::default());
    let directory = TestDirectory::new();
    let state = StateDirectory::open(directory.path()).unwrap();
    test(&RedbGrants::open(&state, &Arc::new(seal::fake::keyring(1))).unwrap());
    #[cfg(feature = "valkey")]
    test(&*super::fake::ValkeyServer::start().table());
}

#[test]
fn an_inserted_grant_can_be_read() {
    check(|table| {
        assert!(table.get(grant(1).id).unwrap().is_none());
        table.insert(&grant(1)).unwrap();
        for _ in 0..2 {
            assert_eq!(*table.get(grant(1).id).unwrap().unwrap(), grant(1));
        }
    });
}

#[test]
fn grants_are_counted() {
    check(|table| {
        for number in 1..=5 {
            assert_eq!(table.count().unwrap(), number - 1);
            table.insert(&grant(number)).unwrap();
        }
        table.delete(grant(2).id).unwrap();
        assert_eq!(table.count().unwrap(), 4);
    });
}

#[test]
fn an_id_is_inserted_once() {
    check(|table| {
        table.insert(&grant(1)).unwrap();
        assert!(matches!(table.insert(&of(2, 1)), Err(Error::Conflict)));
        assert_eq!(*table.get(grant(1).id).unwrap().unwrap(), grant(1));
        assert!(table.of_user(UserId(2)).unwrap().is_empty());
    });
}

#[test]
fn a_second_update_of_one_revision_is_refused() {
    check(|table| {
        table.insert(&grant(1)).unwrap();
        let read = table.get(grant(1).id).unwrap().unwrap();
        let change = |login: &str| Grant { login: login.to_owned(), ..(*read).clone() };
        table.update(&change("first")).unwrap();
        assert!(matches!(table.update(&change("second")), Err(Error::Conflict)));
        let stored = table.get(grant(1).id).unwrap().unwrap();
        assert_eq!((stored.login.as_str(), stored.revision), ("first", 1));
    });
}

/// S5: a revocation is not undone by whoever read the grant before.
#[test]
fn a_deleted_grant_stays_deleted() {
    check(|table| {
        table.insert(&grant(1)).unwrap();
        let read = table.get(grant(1).id).unwrap().unwrap();
        assert!(table.delete(read.id).unwrap());
        assert!(!table.delete(read.id).unwrap());
        assert!(matches!(table.update(&read), Err(Error::Conflict)));
        assert!(table.get(read.id).unwrap().is_none());
        assert!(table.of_user(UserId(1)).unwrap().is_empty() && table.list().unwrap().is_empty());
    });
}

#[test]
fn delete_all_returns_the_ids_that_existed() {
    check(|table| {
        for number in 1..=4 {
            table.insert(&grant(number)).unwrap();
        }
        let wanted = [1, 9, 3].map(|number| grant(number).id);
        assert_eq!(table.delete_all(&wanted).unwrap(), [grant(1).id, grant(3).id]);
        assert_eq!(ids(&table.list().unwrap()), [grant(2).id, grant(4).id]);
    });
}

#[test]
fn grants_are_listed_in_the_order_of_their_ids_and_by_user() {
    check(|table| {
        for (user, number) in [(2, 256), (1, 3), (2, 1), (3, 2)] {
            table.insert(&of(user, number)).unwrap();
        }
        assert_eq!(ids(&table.list().unwrap()), [1, 2, 3, 256].map(|number| grant(number).id));
        let check = |user, expected: &[u64]| {
            let mut found = ids(&table.of_user(UserId(user)).unwrap());
            found.sort();
            assert_eq!(found, expected.iter().map(|&number| grant(number).id).collect::<Vec<_>>(), "{user}");
        };
        check(1, &[3]);
        check(2, &[1, 256]);
        check(4, &[]);
        check(u64::MAX, &[]);
    });
}

#[test]
fn a_sweep_deletes_only_expired_grants() {
    check(|table| {
        let idle = grant(1);
        let code = Grant { stage: Stage::CodeIssued, expires: NOW.plus(limits::CODE_LIFETIME), ..grant(2) };
        table.insert(&idle).unwrap();
        table.insert(&code).unwrap();
        table.insert(&grant(3)).unwrap();
        let check = |now: Timestamp, expected: &[GrantId]| {
            assert_eq!(ids(&table.sweep(Expiry { settled: now, now }).unwrap()), expected, "{now:?}");
        };
        check(Timestamp(code.expires.0 - 1), &[]);
        check(code.expires, &[code.id]);
        check(code.expires, &[]);

        // Refreshed: its end has moved, and the sweep has noticed.
        let later = NOW.plus(Duration::from_secs(86_400));
        let refreshed = Grant { stage: Stage::Live { generation: 1, rotated_at: later }, ..grant(3) };
        table.update(&refreshed).unwrap();
        check(idle.end(), &[idle.id]);
        assert_eq!(ids(&table.list().unwrap()), [refreshed.id]);
        check(refreshed.end(), &[refreshed.id]);
        assert!(table.list().unwrap().is_empty() && table.of_user(UserId(1)).unwrap().is_empty());
    });
}

/// S5: what has ended stays until that is settled, but for grants whose code was never redeemed.
#[test]
fn an_unsettled_end_deletes_unredeemed_grants_only() {
    check(|table| {
        let end = grant(1).end();
        let code = |number| Grant { stage: Stage::CodeIssued, expires: end, ..grant(number) };
        table.insert(&grant(1)).unwrap();
        table.insert(&code(2)).unwrap();
        table.insert(&Grant { expires: end.plus(limits::CODE_LIFETIME), ..code(3) }).unwrap();
        let sweep = |settled, now| ids(&table.sweep(Expiry { settled, now }).unwrap());
        assert_eq!(sweep(NOW, end), [grant(2).id]);
        assert_eq!(sweep(Timestamp(end.0 - 1), end), []);
        assert_eq!(sweep(end, end), [grant(1).id]);
        assert_eq!(ids(&table.list().unwrap()), [grant(3).id]);
    });
}

/// T11: whatever the interleaving, each revision is followed by one other.
#[test]
fn one_of_parallel_updates_of_one_revision_wins() {
    check(|table| {
        table.insert(&grant(1)).unwrap();
        for revision in 0..8 {
            let wins: usize = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            let read = table.get(grant(1).id).unwrap().unwrap();
                            usize::from(table.update(&Grant { revision, ..(*read).clone() }).is_ok())
                        })
                    })
                    .collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).sum()
            });
            assert_eq!(wins, 1);
            assert_eq!(table.get(grant(1).id).unwrap().unwrap().revision, revision + 1);
        }
    });
}
