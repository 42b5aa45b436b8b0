use std::os::unix::fs::PermissionsExt;

use super::super::redb;
use super::*;
use crate::base::CountedRandom;
use crate::store::MemoryGrants;
use crate::store::fake::TestDirectory;
use crate::sys;

fn opens(keys: &Keyring, other: &Keyring) -> bool {
    let sealed = other.encrypt(&[b"test"], b"text", &CountedRandom::default());
    keys.decrypt(&[b"test"], &sealed).is_some()
}

/// Rotates the key of a directory as a server with its keys does. Returns the number of keys.
fn rotate_in(directory: &StateDirectory, random: &CountedRandom) -> Result<usize, StartupError> {
    let keys = load_or_create(directory, random).unwrap();
    rotate(&directory.file(NAME), &keys, &MemoryGrants::default(), random)
}

#[test]
fn the_first_start_makes_a_key_and_the_next_reads_it() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    let random = CountedRandom::default();
    let made = load_or_create(&directory, &random).unwrap();
    let read = load_or_create(&directory, &random).unwrap();
    assert!(opens(&read, &made));
    let mode = std::fs::metadata(directory.file(NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

/// S4: a lost key is not silently replaced while there is something that only it opens.
#[test]
fn a_missing_key_beside_grants_is_refused() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    std::fs::write(directory.file(redb::NAME), "").unwrap();
    let outcome = load_or_create(&directory, &CountedRandom::default());
    assert!(outcome.unwrap_err().to_string().contains("is missing, but there are grants made with it"));
}

/// S4: after a rotation the new key seals and the older ones still open.
#[test]
fn a_prepended_key_seals_and_the_older_ones_open() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    let random = CountedRandom::default();
    let before = load_or_create(&directory, &random).unwrap();
    assert_eq!(rotate_in(&directory, &random).unwrap(), 2);
    let after = load_or_create(&directory, &random).unwrap();
    assert!(opens(&after, &before) && !opens(&before, &after));
}

#[test]
fn a_full_key_file_is_left_as_it_is() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    let random = CountedRandom::default();
    load_or_create(&directory, &random).unwrap();
    for count in 2..=limits::KEYS {
        assert_eq!(rotate_in(&directory, &random).unwrap(), count);
    }
    let text = std::fs::read(directory.file(NAME)).unwrap();
    let error = rotate_in(&directory, &random).unwrap_err().to_string();
    assert!(error.contains("must hold from 1 to"), "{error}");
    assert_eq!(std::fs::read(directory.file(NAME)).unwrap(), text);
}

/// A rotation that is reported as failed has not changed the file, however often it is tried.
#[test]
fn a_directory_that_cannot_be_opened_keeps_its_key() {
    if sys::effective_user() == 0 {
        return; // root can open every directory
    }
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    load_or_create(&directory, &CountedRandom::default()).unwrap();
    let text = std::fs::read(directory.file(NAME)).unwrap();
    let set_mode = |mode| std::fs::set_permissions(test.path(), PermissionsExt::from_mode(mode)).unwrap();
    set_mode(0o300);
    let outcome = rotate_in(&directory, &CountedRandom::default());
    set_mode(0o700);
    assert!(outcome.unwrap_err().to_string().contains("Permission denied"));
    assert_eq!(std::fs::read(directory.file(NAME)).unwrap(), text);
}

#[test]
fn a_line_that_is_no_key_is_named() {
    let key = base64url(&[7; 32]);
    let check = |text: String, expected: Result<usize, usize>| {
        assert_eq!(parse(&text).map(|keys| keys.len()), expected, "{text}");
    };
    check(format!("# comment\n\n  {key}  \n{key}\r\n"), Ok(2));
    check(String::new(), Ok(0));
    check(format!("{key}\n{key}="), Err(2));
    check(format!("# comment\n{}", base64url(&[7; 31])), Err(2));
    check(format!("{key} {key}"), Err(1));
}

/// S1: a named key file may be its group's and a symlink, as Kubernetes mounts secrets, but nothing for others.
#[test]
fn a_named_file_may_be_a_symlink_whose_target_others_cannot_read() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    let (target, path) = (directory.file("..data"), directory.file(NAME));
    std::fs::write(&target, base64url(&[7; 32])).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let find = |is_named| find(&KeyFile { path: path.clone(), is_named }, directory.path());
    for (mode, welcome) in [(0o400, true), (0o600, true), (0o440, true), (0o644, false), (0o604, false)] {
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(find(true).is_ok(), welcome, "{mode:o}");
    }
    assert!(find(false).unwrap_err().to_string().contains("is not what it should be"));
    std::fs::remove_file(&path).unwrap();
    assert!(find(true).unwrap().is_none(), "made at the first start");
    let elsewhere = KeyFile { path: directory.file("other"), is_named: true };
    let error = super::find(&elsewhere, directory.path()).unwrap_err().to_string();
    assert!(error.contains("MCP_OAUTH_KEY_FILE") && error.contains("openssl rand 32"), "{error}");
}
