use serde::Deserialize;

use super::fake::keyring;
use super::*;
use crate::base::CountedRandom;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Ticket {
    seat: u32,
    until: Option<Timestamp>,
}

impl Sealed for Ticket {
    const PREFIX: &'static str = "test_tk_";
    fn expires(&self) -> Option<Timestamp> {
        self.until
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Other(Ticket);

impl Sealed for Other {
    const PREFIX: &'static str = "test_ot_";
    fn expires(&self) -> Option<Timestamp> {
        self.0.until
    }
}

fn ticket() -> Ticket {
    Ticket { seat: 7, until: Some(Timestamp(100)) }
}

#[test]
fn a_value_opens_until_it_expires() {
    let (keys, random) = (keyring(1), CountedRandom::default());
    let sealed = seal(&keys, &ticket(), &random);
    assert!(sealed.starts_with("test_tk_"));
    assert_eq!(open::<Ticket>(&keys, &sealed, Timestamp(99)), Ok(ticket()));
    assert_eq!(open::<Ticket>(&keys, &sealed, Timestamp(100)), Err(SealError::Expired));
}

#[test]
fn no_two_seals_are_alike() {
    let (keys, random) = (keyring(1), CountedRandom::default());
    assert_ne!(seal(&keys, &ticket(), &random), seal(&keys, &ticket(), &random));
}

/// T1: a value of one type never opens as another, with any prefix.
#[test]
fn a_sealed_value_opens_only_as_its_own_type() {
    let (keys, random) = (keyring(1), CountedRandom::default());
    let sealed = seal(&keys, &ticket(), &random);
    assert_eq!(open::<Other>(&keys, &sealed, Timestamp(0)).unwrap_err(), SealError::Malformed);
    let renamed = sealed.replace("test_tk_", "test_ot_");
    assert_eq!(open::<Other>(&keys, &renamed, Timestamp(0)).unwrap_err(), SealError::Forged);
}

#[test]
fn every_changed_or_missing_character_is_noticed() {
    let (keys, random) = (keyring(1), CountedRandom::default());
    let sealed = seal(&keys, &ticket(), &random);
    for index in 0..sealed.len() {
        let mut changed = sealed.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(open::<Ticket>(&keys, &changed, Timestamp(0)).is_err(), "{index}");
        assert!(open::<Ticket>(&keys, &sealed[..index], Timestamp(0)).is_err(), "{index}");
    }
}

#[test]
fn an_older_key_opens_but_does_not_seal() {
    let random = CountedRandom::default();
    let (old, new) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let before = Keyring::new(std::slice::from_ref(&old)).unwrap();
    let after = Keyring::new(&[new, old]).unwrap();
    let sealed = seal(&before, &ticket(), &random);
    assert!(open::<Ticket>(&after, &sealed, Timestamp(0)).is_ok());
    let sealed = seal(&after, &ticket(), &random);
    assert_eq!(open::<Ticket>(&before, &sealed, Timestamp(0)), Err(SealError::Forged));
}

/// S4: the same while the server runs.
#[test]
fn replaced_keys_are_used_at_once() {
    let random = CountedRandom::default();
    let (old, new) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let keys = Keyring::new(std::slice::from_ref(&old)).unwrap();
    let before = seal(&keys, &ticket(), &random);
    keys.replace(Keyring::new(&[new, old]).unwrap());
    assert!(open::<Ticket>(&keys, &before, Timestamp(0)).is_ok());
    let after = seal(&keys, &ticket(), &random);
    assert!(open::<Ticket>(&keyring(2), &after, Timestamp(0)).is_ok());
    assert_eq!(keys.derive(&[b"x"]).len(), 2);
}

#[test]
fn the_parts_of_a_context_are_kept_apart() {
    let (keys, random) = (keyring(1), CountedRandom::default());
    let sealed = keys.encrypt(&[b"ab", b"c"], b"text", &random);
    assert_eq!(keys.decrypt(&[b"ab", b"c"], &sealed).unwrap(), b"text");
    assert_eq!(keys.decrypt(&[b"a", b"bc"], &sealed), None);
    assert_eq!(keys.decrypt(&[b"abc"], &sealed), None);
}
