//! Records that were damaged, or that others than the servers have written.

use super::*;
use crate::base::{Secret, base64url};
use crate::store::conformance::ids;

#[test]
fn a_damaged_record_can_be_ended_and_hides_no_other() {
    let server = ValkeyServer::start();
    let table = server.table();
    table.insert(&grant(1)).unwrap();
    table.insert(&grant(2)).unwrap();
    let set = |record: &str| server.ask(&["set", &grant_key(&grant(1).id.to_string()), record]);
    set("0 1 {");
    soon(|| table.get(grant(1).id).unwrap().is_none());
    // Written by a version that has other members.
    let tag = seal::fake::keyring(1).hash(&record::hashed(&grant(1).id.to_string(), "0 1 {}"));
    set(&format!("0 1 {{}} {}", base64url(&tag.unwrap())));
    assert!(matches!(table.get(grant(1).id), Err(Error::Record(_))));
    assert_eq!(table.of_user(UserId(1)).unwrap().len(), 1);
    assert!(table.delete(grant(1).id).unwrap());
    assert_eq!(table.count().unwrap(), 1);
}

/// The store is shared: a record is as absent unless a server with the key has written it, as it is and for this grant.
#[test]
fn a_record_changed_by_others_counts_as_absent() {
    let server = ValkeyServer::start();
    let table = server.table();
    table.insert(&grant(1)).unwrap();
    table.insert(&grant(2)).unwrap();
    let key = |number| grant_key(&grant(number).id.to_string());
    let record = |number| server.ask(&["get", &key(number)]);
    let (good, other) = (record(1), record(2));
    let check = |record: &str, expected: bool| {
        server.ask(&["set", &key(1), record]);
        server.ask(&["publish", &table.shared.channel, "all"]);
        soon(|| table.get(grant(1).id).unwrap().is_some() == expected);
        assert_eq!(ids(&table.list().unwrap()).contains(&grant(1).id), expected, "{record}");
        assert_eq!(ids(&table.of_user(UserId(1)).unwrap()).contains(&grant(1).id), expected, "{record}");
    };
    check(&good, true);
    let user = r#""user":1,"#;
    assert!(good.starts_with("0 1 {") && good.contains(user));
    check(&good.replace(user, r#""user":7,"#), false);
    check(&good.replace(user, r#""user":7,"#).replacen("0 1 {", "0 7 {", 1), false);
    check(&good.replacen("0 1 {", "9 1 {", 1), false);
    check(&other, false);
    check(good.rsplit_once(' ').unwrap().0, false);
    check("", false);
    check(&good, true);
    check(&other, false);
    let end = grant(1).end();
    assert_eq!(table.sweep(Expiry { settled: end, now: end }).unwrap().len(), 1, "it is no grant");
    assert_eq!(table.count().unwrap(), 0, "and is swept all the same");
}

#[test]
fn a_forged_user_index_entry_does_not_reveal_a_grant() {
    let server = ValkeyServer::start();
    let table = server.table();
    table.insert(&grant(1)).unwrap();
    server.ask(&["zadd", &format!("{PREFIX}by_user"), "0", &format!("7:{}", grant(1).id)]);
    assert!(table.of_user(UserId(7)).unwrap().is_empty());
    assert_eq!(table.of_user(UserId(1)).unwrap().len(), 1);
}

/// S4: as sealed values are.
#[test]
fn a_record_is_written_under_the_newest_key_and_read_under_any() {
    let server = ValkeyServer::start();
    let keys = |bytes: &[u8]| {
        Keyring::new(&bytes.iter().map(|&byte| Secret::new([byte; 32])).collect::<Vec<_>>()).unwrap()
    };
    let before = server.open_with(keys(&[1])).unwrap();
    before.insert(&grant(1)).unwrap();
    before.insert(&grant(2)).unwrap();
    let during = server.open_with(keys(&[2, 1])).unwrap();
    assert_eq!(ids(&during.list().unwrap()), [grant(1).id, grant(2).id]);
    assert_eq!(during.sweep(Expiry { settled: NOW, now: NOW }).unwrap(), []);
    during.update(&grant(2)).unwrap();
    during.adopt_key(&keys(&[2, 1])).unwrap();
    let after = server.open_with(keys(&[2])).unwrap();
    assert!(after.get(grant(1).id).unwrap().is_none(), "its tokens do not open any more either");
    assert_eq!(after.get(grant(2).id).unwrap().unwrap().revision, 1);
    assert!(after.delete(grant(1).id).unwrap());
}
