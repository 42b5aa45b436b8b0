use super::*;
use crate::base::fake::subject;

#[test]
fn users_are_found_by_name_and_number() {
    let parse = |text: &str| ChildUser::parse(text);
    assert_eq!(parse("root"), Ok(ChildUser::One(RunAs { id: 0, group: 0 })));
    assert_eq!(parse("0"), Ok(ChildUser::One(RunAs { id: 0, group: 0 })));
    assert_eq!(parse("54321"), Ok(ChildUser::One(RunAs { id: 54321, group: 54321 })));
    assert_eq!(parse("200000-265535"), Ok(ChildUser::PerPerson(200_000..=265_535)));
    for (text, why) in [("no-such-user", "no-such-user"), ("9-8", "lowest number first"), ("0-8", "lowest")] {
        assert!(parse(text).unwrap_err().contains(why), "{text}");
    }
}

/// A number of an existing group is not assigned: 42 is `shadow` on Debian.
#[test]
fn numbers_of_users_and_groups_that_exist_are_found() {
    let group = "root:x:0:\nshadow:x:42:\n+::x:\nnogroup:x:65534:\n";
    assert_eq!(entry_among(group, &(42..=42)), Some(("shadow", 42)));
    assert_eq!(entry_among(group, &(43..=70_000)), Some(("nogroup", 65534)));
    assert_eq!(entry_among(group, &(43..=65533)), None);
    let passwd = "octocat:x:1000:42::/home/octocat:/bin/sh\n";
    assert_eq!(entry_among(passwd, &(42..=42)), None);
    assert_eq!(entry_among(passwd, &(1..=1000)), Some(("octocat", 1000)));
    assert!(
        ChildUser::parse("0-8").is_err()
            && ChildUser::parse("1-70000").unwrap_err().contains("is the number of the user")
    );
}

/// A program of another user that the server cannot signal would outlive it.
#[test]
fn programs_of_other_users_need_the_capability_to_signal_them() {
    let check = |user: &str, capabilities: &str, expected: bool| {
        let status = format!("Name:\tx\nUid:\t1000\t1000\t1000\t1000\nCapEff:\t{capabilities}\n");
        assert_eq!(
            ChildUser::parse(user).unwrap().can_be_ended_by(&status),
            expected,
            "{user} {capabilities}"
        );
    };
    let (all, all_but_kill) = ("000001ffffffffff", "000001ffffffffdf");
    for user in ["65534", "200000-265535"] {
        check(user, all, true);
        check(user, "0000000000000020", true);
        check(user, all_but_kill, false);
        check(user, "0000000000000000", false);
    }
    check("1000", "0000000000000000", true);
    assert!(!ChildUser::parse("1000").unwrap().can_be_ended_by(""), "nothing is known");
}

fn root(name: &str) -> std::path::PathBuf {
    let root = std::env::temp_dir().join(format!("mcp-users-test-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root); // left by a run whose process had the same id
    root
}

/// A number belongs to one person for good, also with concurrent requests and after restarts.
#[test]
fn each_person_has_a_number_of_their_own() {
    let root = root("own");
    // Room for four people, and for a number that each of four threads may take for a moment and release.
    let range = ChildUser::PerPerson(70_001..=70_008);
    let of = |person: Option<u64>| range.of(person.map(subject), &root).map(|user| (user.id, user.group));
    let persons = [Some(7), Some(8), None, Some(9)];
    let asked = || persons.map(|person| of(person).unwrap());
    let at_once: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(asked)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(at_once.iter().all(|numbers| *numbers == at_once[0]), "{at_once:?}");
    let numbers: std::collections::BTreeSet<_> = at_once[0].iter().collect();
    assert_eq!(numbers.len(), persons.len());
    assert!(at_once[0].iter().all(|(id, group)| id == group && (70_001..=70_008).contains(id)));
    for person in 10..14 {
        of(Some(person)).unwrap();
    }
    assert!(of(Some(14)).unwrap_err().to_string().contains("no number is left"));
    assert_eq!(asked(), at_once[0]);
    let overlapping = ChildUser::PerPerson(70_000..=70_008).of(Some(subject(7)), &root).unwrap();
    assert_eq!(overlapping.id, 70_000, "another range is another user, and no one else's number");
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_damaged_number_is_no_user() {
    let root = root("damaged");
    let range = ChildUser::PerPerson(70_001..=70_005);
    range.of(Some(subject(7)), &root).unwrap();
    let link = root.join(".users/70001-70005-of-7");
    for target in ["0", "x", "70006"] {
        fs::remove_file(&link).unwrap();
        symlink(target, &link).unwrap();
        assert!(range.of(Some(subject(7)), &root).unwrap_err().to_string().contains("damaged"));
    }
    fs::remove_dir_all(root).unwrap();
}

/// Root needs no permission to traverse a directory.
#[test]
fn a_closed_directory_is_no_obstacle_for_root() {
    let root = root("closed");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let programs = root.join("programs");
    let obstacle = |user: &str| ChildUser::parse(user).unwrap().obstacle(&programs).map(Path::to_owned);
    assert_eq!(obstacle("54321"), Some(root.clone()));
    assert_eq!(obstacle("0"), None);
    fs::remove_dir_all(root).unwrap();
}
