use super::*;

fn root(name: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("mcp-launch-test-{name}-{}", process::id()));
    let _ = fs::remove_dir_all(&root); // left by a run whose process had the same id
    root
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// P1: only named variables reach a program; the server's own do not.
#[test]
fn the_environment_is_built_from_nothing() {
    let names = [
        "PATH",
        "LANG",
        "LC_ALL",
        "LC_TIME",
        "TZ",
        "SSL_CERT_FILE",
        "HOME",
        "MCP_X",
        "GITHUB_CLIENT_SECRET",
        "LD_PRELOAD",
    ];
    let environment: Variables = names.map(|name| (name.to_owned(), "x".to_owned())).into();
    let passed: Vec<&str> = base_environment(&environment).map(|(name, _)| name.as_str()).collect();
    assert_eq!(passed, ["LANG", "LC_ALL", "LC_TIME", "PATH", "SSL_CERT_FILE", "TZ"]);
}

#[test]
fn directories_are_for_their_owner_and_kept() {
    let root = root("home");
    let made = Directories::make(&root, &["files", "7"], None).unwrap();
    assert_eq!(made.home, root.join("files/7/home"));
    assert_eq!([&root, &root.join("files"), &root.join("files/7")].map(|path| mode(path)), [0o711; 3]);
    assert_eq!([&made.home, &made.temporary].map(|path| mode(path)), [0o700; 2]);
    fs::write(made.home.join("cache"), "x").unwrap();
    fs::set_permissions(&made.home, fs::Permissions::from_mode(0o777)).unwrap();
    let again = Directories::make(&root, &["files", "7"], None).unwrap();
    assert!(again.home.join("cache").exists() && mode(&again.home) == 0o700);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn programs_are_found_in_path() {
    let root = root("path");
    fs::create_dir_all(root.join("bin")).unwrap();
    let tool = root.join("bin/tool");
    fs::write(&tool, "#!/bin/sh\n").unwrap();
    fs::write(root.join("bin/text"), "").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.join("bin/text"), fs::Permissions::from_mode(0o644)).unwrap();
    let path = format!("/nonexistent:{}", root.join("bin").display());
    let environment: Variables = [("PATH".to_owned(), path)].into();
    let find = |command: &str| find(command, &environment);
    assert_eq!(find("tool"), Some(tool.clone()));
    assert_eq!(find(tool.to_str().unwrap()), Some(tool));
    for absent in ["text", "bin/text", "absent", "bin", "/nonexistent/tool"] {
        assert_eq!(find(absent), None, "{absent}");
    }
    assert_eq!(super::find("sh", &Variables::new()).unwrap().file_name(), Some("sh".as_ref()));
    fs::remove_dir_all(root).unwrap();
}

/// P1: no name of an entry or a person leads elsewhere.
#[test]
fn a_name_that_is_no_directory_is_refused() {
    let root = root("names");
    for name in ["", "..", ".users", "a/b", "/nowhere", "a\0b"] {
        let Err(error) = Directories::make(&root, &["files", name], None) else { panic!("{name:?}") };
        assert_eq!(error.to_string(), "its name cannot be that of a directory");
        assert!(!root.exists(), "{name:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let root = root("unmade");
    fs::write(&root, "").unwrap();
    let error = Directories::make(&root.join("homes"), &["files", "7"], None).err().unwrap().to_string();
    assert!(error.starts_with(&format!("{}: ", root.join("homes").display())), "{error}");
    fs::remove_file(root).unwrap();
}
