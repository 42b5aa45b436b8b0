use super::*;
use crate::store::fake::TestDirectory;

fn place(directory: &TestDirectory) -> (std::path::PathBuf, std::path::PathBuf) {
    fs::create_dir(directory.path()).unwrap();
    (directory.path().join("backup.new"), directory.path().join("copy.redb"))
}

#[test]
fn a_copy_is_moved_and_nothing_is_overwritten() {
    let directory = TestDirectory::new();
    let (copy, target) = place(&directory);
    fs::write(&copy, "grants").unwrap();
    deliver(&copy, &target).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "grants");
    assert!(!copy.exists());
    fs::write(&copy, "later").unwrap();
    assert_eq!(deliver(&copy, &target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&target).unwrap(), "grants");
    assert!(!copy.exists(), "a copy of all grants is left behind");
}

/// The process that made the copy may be somebody else's by now, and the command root's.
#[test]
fn a_link_in_the_place_of_a_copy_is_not_followed() {
    let directory = TestDirectory::new();
    let (copy, target) = place(&directory);
    let secret = directory.path().join("shadow");
    fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::symlink(&secret, &copy).unwrap();
    assert!(deliver(&copy, &target).is_err());
    fs::hard_link(&secret, &copy).unwrap();
    assert_eq!(deliver(&copy, &target).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(!target.exists());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
}
