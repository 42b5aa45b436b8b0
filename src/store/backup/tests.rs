use std::sync::Arc;

use super::*;
use crate::seal;
use crate::store::conformance::grant;
use crate::store::fake::TestDirectory;
use crate::store::private::create_new;
use crate::store::{Grants, RedbGrants, StateDirectory};

fn place(directory: &TestDirectory) -> (std::path::PathBuf, std::path::PathBuf) {
    fs::create_dir(directory.path()).unwrap();
    (directory.path().join("backup.new"), directory.path().join("copy.redb"))
}

#[test]
fn a_copy_is_moved_and_nothing_is_overwritten() {
    let directory = TestDirectory::new();
    let (copy, target) = place(&directory);
    fs::write(&copy, "grants").unwrap();
    deliver(&copy, create_new(&target).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "grants");
    assert!(!copy.exists());
    assert_eq!(create_new(&target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(deliver(&copy, File::open(&target).unwrap()).is_err(), "there is no copy");
}

/// The process that made the copy may be somebody else's by now, and the command root's.
#[test]
fn a_link_in_the_place_of_a_copy_is_not_followed() {
    let directory = TestDirectory::new();
    let (copy, target) = place(&directory);
    let secret = directory.path().join("shadow");
    fs::write(&secret, "secret").unwrap();
    let deliver = || deliver(&copy, File::create(&target).unwrap());
    std::os::unix::fs::symlink(&secret, &copy).unwrap();
    assert!(deliver().is_err());
    fs::hard_link(&secret, &copy).unwrap();
    assert_eq!(deliver().unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(fs::read_to_string(&target).unwrap(), "");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
}

/// S2: a command that takes a copy while another has one made gets a whole one.
#[test]
fn a_copy_is_complete_when_it_appears() {
    let directory = TestDirectory::new();
    let state = StateDirectory::open(directory.path()).unwrap();
    let (copy, target) = (state.file("backup.new"), state.file("copy.redb"));
    let table = RedbGrants::open(&state, &Arc::new(seal::fake::keyring(1))).unwrap();
    table.insert(&grant(1)).unwrap();
    table.back_up(&copy).unwrap();
    let size = fs::metadata(&copy).unwrap().len();
    std::thread::scope(|scope| {
        let making = scope.spawn(|| (0..50).for_each(|_| table.back_up(&copy).unwrap()));
        while !making.is_finished() {
            if private::open_copy(&copy).is_ok() {
                let _ = fs::remove_file(&target);
                // Between the two, another copy may have come.
                deliver(&copy, create_new(&target).unwrap()).unwrap();
                assert_eq!(fs::metadata(&target).unwrap().len(), size);
            }
        }
    });
    assert!(!state.file("copy.new").exists());
}
