use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::base::fake::subject;
use crate::bridge::child_user::ChildUser;
use crate::bridge::entry::BridgeOptions;
use crate::bridge::template::Variables;

struct Trial {
    root: PathBuf,
    options: BridgeOptions,
}

impl Trial {
    fn new(name: &str) -> Trial {
        let root = std::env::temp_dir().join(format!("mcp-bridges-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root); // left by a run whose process had the same id
        fs::create_dir_all(&root).unwrap();
        let file = Some(root.join("servers.json"));
        let mut options = BridgeOptions { file, ..BridgeOptions::default() };
        options.take_variables(&Variables::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]));
        Trial { root, options }
    }

    /// Writes the file, with these members of `mcpServers`.
    fn write(&self, servers: &str) {
        fs::write(self.root.join("servers.json"), format!("{{\"mcpServers\":{{{servers}}}}}")).unwrap();
    }

    fn setup(&self) -> BridgeSetup<'_> {
        BridgeSetup {
            options: &self.options,
            name: "n",
            version: "1",
            state_dir: &self.root,
            ca_file: None,
            root_is_fine: true,
            is_reserved: |_| false,
        }
    }

    fn open(&self) -> Bridges {
        Bridges::open(self.setup()).unwrap()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).unwrap();
    }
}

/// Unchanged servers continue; a file with mistakes changes nothing.
#[test]
fn a_changed_file_replaces_what_has_changed() {
    let trial = Trial::new("reread");
    trial.write(r#""a":{"command":"sh"},"b":{"command":"sh"},"c":{"url":"http://127.0.0.1:1/"}"#);
    let bridges = trial.open();
    let names = || bridges.list().into_iter().map(|server| (server.name, server.kind)).collect::<Vec<_>>();
    let kinds = [("a", "program"), ("b", "program"), ("c", "upstream")];
    assert_eq!(names(), kinds.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    let before = bridges.all();
    let changes = |added: &[&str], changed: &[&str], removed: &[&str]| {
        let [added, changed, removed] =
            [added, changed, removed].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        ServerChanges { added, changed, removed }
    };
    assert_eq!(bridges.reread(trial.setup()).unwrap(), changes(&[], &[], &[]));
    trial.write(
        r#""b":{"command":"sh", "args":["x"]},"c":{ "url": "http://127.0.0.1:1/" },"d":{"command":"sh"}"#,
    );
    assert_eq!(bridges.reread(trial.setup()).unwrap(), changes(&["d"], &["b"], &["a"]));
    let after = bridges.all();
    assert_eq!(after.iter().map(|bridge| bridge.name()).collect::<Vec<_>>(), ["b", "c", "d"]);
    assert!(!Arc::ptr_eq(&before[1], &after[0]) && Arc::ptr_eq(&before[2], &after[1]));
    trial.write(r#""b":{"command":"no-such-program"}"#);
    assert!(bridges.reread(trial.setup()).is_err());
    assert_eq!(bridges.all().len(), 3);
}

/// Home directories are removed on the operator's order, those of one person or all; no other directory can be named.
#[test]
fn home_directories_are_forgotten() {
    let trial = Trial::new("forget");
    trial.write(r#""a":{"command":"sh"}"#);
    let bridges = trial.open();
    let homes = trial.root.with_file_name(format!("{}.children", trial.root.file_name().unwrap().display()));
    for person in ["a/1/home", "a/2/home", "a/3/tmp", "old/1"] {
        fs::create_dir_all(homes.join(person)).unwrap();
    }
    let forget = |name: &str, subject| {
        let mut removed = 0;
        let outcome = bridges.forget(name, subject, &mut removed);
        (removed, outcome.is_ok())
    };
    for name in ["", ".", "..", "a/1", "/etc", "none"] {
        assert_eq!(forget(name, None), (0, true), "{name}");
    }
    assert_eq!(forget("a", Some(subject(2))), (1, true));
    assert!(homes.join("a/1/home").exists() && !homes.join("a/2").exists());
    assert_eq!((forget("a", None), forget("old", None)), ((2, true), (1, true)));
    fs::write(homes.join("a/5"), "no directory").unwrap();
    assert_eq!(forget("a", None), (1, false));
    assert_eq!((bridges.restart("a"), bridges.restart("old")), (Some(0), None));
    fs::remove_dir_all(homes).unwrap();
}

/// A trial creates the directories that it needs, missing parents included, and removes them.
#[test]
fn a_trial_leaves_nothing_behind() {
    let trial = Trial::new("trial");
    trial.write(r#""a":{"command":"sh","args":["-c","touch here; pwd >&2; exit 3"]},"b":{"command":"sh","home":"shared","args":["-c","exit 3"]}"#);
    let state_dir = trial.root.join("not/there/state");
    let setup = BridgeSetup { state_dir: &state_dir, ..trial.setup() };
    for (_, outcome) in Bridges::try_out(setup).unwrap() {
        assert!(outcome.unwrap_err().contains("exit status 3"));
    }
    let left: Vec<_> = fs::read_dir(&trial.root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["servers.json"]);
}

/// P2: a trial's programs must not run as the user of a person, nor as that of programs that serve everybody.
#[test]
fn a_trial_takes_the_number_of_no_person() {
    let trial = Trial::new("numbers");
    let users = ChildUser::PerPerson(70_001..=70_005);
    let of = |person: Option<Subject>, root: &Path| users.of(person, root).unwrap().id;
    let persons = [of(None, &trial.root), of(Some(subject(7)), &trial.root)];
    for _ in 0..2 {
        let homes = TrialDirectory::below(&trial.root);
        assert_eq!((persons, of(Some(trial::NOBODY), &homes.path)), ([70_001, 70_002], 70_003));
        assert_eq!(of(Some(subject(7)), &homes.path), 70_002);
    }
    assert_eq!(of(Some(subject(8)), &trial.root), 70_004);
    let left = fs::read_dir(&trial.root).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [".users"]);
}

/// A program that cannot traverse the path to its home directory would fail at each start.
#[test]
fn a_user_who_cannot_reach_the_home_directories_is_refused() {
    if crate::sys::effective_user() != 0 {
        return;
    }
    let mut trial = Trial::new("closed");
    trial.write(r#""a":{"command":"sh","user":"65534"},"b":{"command":"sh"}"#);
    let open = |mode: u32, trial: &Trial| {
        fs::set_permissions(&trial.root, fs::Permissions::from_mode(mode)).unwrap();
        Bridges::open(trial.setup()).map(|_| ())
    };
    trial.options.directory = Some(trial.root.join("children"));
    let errors = open(0o700, &trial).unwrap_err();
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(
        error.to_string().starts_with("MCP_CHILDREN_DIR: the user that a runs as cannot reach"),
        "{error}"
    );
    assert!(error.to_string().contains(&format!("{} is closed", trial.root.display())), "{error}");
    open(0o711, &trial).unwrap();
}
