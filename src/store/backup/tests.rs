use super::*;
use crate::store::fake::TestDirectory;
use crate::store::private::create_new;

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
