use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use super::*;
use crate::base::capped;
use crate::seal;
use crate::store::fake::TestDirectory;
use crate::store::{GRANTS_FILE, RedbGrants};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

/// S1: what is made is closed to everyone else.
#[test]
fn a_new_directory_and_its_files_are_private() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    write_private(&directory.file("a"), b"text").unwrap();
    assert_eq!((mode(directory.path()), mode(&directory.file("a"))), (0o700, 0o600));
    assert_eq!(std::fs::read(directory.file("a")).unwrap(), b"text");
}

/// S1: what others may read is refused, and the message is the command that helps.
#[test]
fn a_directory_or_file_open_to_others_is_refused() {
    let test = TestDirectory::new();
    drop(StateDirectory::open(test.path()).unwrap());
    for bad in [0o701, 0o755, 0o1777] {
        set_mode(test.path(), bad);
        let error = StateDirectory::open(test.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 700 {}", test.path().display())), "{error}");
    }
    set_mode(test.path(), 0o700);
    let file = StateDirectory::open(test.path()).unwrap().file("a");
    write_private(&file, b"").unwrap();
    for bad in [0o604, 0o602, 0o644] {
        set_mode(&file, bad);
        let error = open_private(&file).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 600 {}", file.display())), "{error}");
    }
}

/// A volume of Kubernetes has such modes: fsGroup gives its group what the owner may.
#[test]
fn a_volume_that_its_group_may_use_is_opened() {
    let test = TestDirectory::new();
    let file = StateDirectory::open(test.path()).unwrap().file("a");
    write_private(&file, b"").unwrap();
    for (directory, plain) in [(0o2770, 0o660), (0o750, 0o640)] {
        set_mode(test.path(), directory);
        set_mode(&file, plain);
        assert!(capped::is_exposed(test.path(), 0o070) && capped::is_exposed(&file, 0o070));
        assert!(StateDirectory::existing(test.path(), OpenedFor::Server).unwrap().is_some());
        assert!(open_private(&file).unwrap().is_some());
    }
}

/// A file that root makes stays the server's: a key that was rotated by root can be read by the server.
#[test]
fn root_works_on_anothers_directory_and_leaves_it_to_its_owner() {
    if sys::effective_user() != 0 {
        return; // nobody else can give files away
    }
    let test = TestDirectory::new();
    let file = StateDirectory::open(test.path()).unwrap().file("a");
    write_private(&file, b"before").unwrap();
    for path in [test.path(), file.as_path()] {
        std::os::unix::fs::chown(path, Some(61_184), Some(61_184)).unwrap();
    }
    let error = StateDirectory::existing(test.path(), OpenedFor::Server).unwrap_err();
    assert!(error.to_string().contains("belongs to user 61184"), "{error}");
    let directory = StateDirectory::existing(test.path(), OpenedFor::Command).unwrap().unwrap();
    assert!(open_private(&file).unwrap().is_some());
    write_private(&directory.file("a"), b"after").unwrap();
    write_private(&directory.file("b"), b"after").unwrap();
    drop(RedbGrants::open(&directory, &Arc::new(seal::fake::keyring(1))).unwrap());
    for name in ["a", "b", GRANTS_FILE] {
        let found = std::fs::metadata(directory.file(name)).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (61_184, 61_184, 0o600), "{name}");
    }
}

/// S1: a file of ours is a plain file, not a way to another one.
#[test]
fn a_symlink_is_refused() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    write_private(&directory.file("a"), b"").unwrap();
    symlink(directory.file("a"), directory.file("b")).unwrap();
    let error = open_private(&directory.file("b")).unwrap_err().to_string();
    assert!(error.contains("is not what it should be"), "{error}");
    assert!(open_private(directory.path()).is_err());
}

/// S1: a second process is told so.
#[test]
fn a_second_opening_is_refused_until_the_first_ends() {
    let test = TestDirectory::new();
    let first = StateDirectory::open(test.path()).unwrap();
    let error = StateDirectory::open(test.path()).unwrap_err();
    assert!(error.to_string().contains("already running"), "{error}");
    drop(first);
    StateDirectory::open(test.path()).unwrap();
}

#[test]
fn a_directory_in_which_nothing_can_be_made_is_noticed() {
    let test = TestDirectory::new();
    let file = StateDirectory::open(test.path()).unwrap().file("a");
    write_private(&file, b"").unwrap();
    check_directory(test.path()).unwrap();
    assert_eq!(check_directory(&file).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    assert_eq!(check_directory(&file.with_extension("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    set_mode(test.path(), 0o500);
    assert_eq!(check_directory(test.path()).is_ok(), sys::effective_user() == 0);
    set_mode(test.path(), 0o700);
}

#[test]
fn the_draft_of_an_interrupted_start_is_replaced() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    std::fs::write(directory.file("a.new"), "half of").unwrap();
    write_private(&directory.file("a"), b"whole").unwrap();
    assert_eq!(std::fs::read(directory.file("a")).unwrap(), b"whole");
    assert!(!directory.file("a.new").exists());
}
