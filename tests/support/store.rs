//! A Valkey or Redis server for the grants of one server, in builds that support it: the same tests run with either table.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::Digest;

/// A server without files. Stopped when dropped.
pub(crate) struct Store {
    process: Child,
    directory: PathBuf,
}

impl Store {
    /// Starts one beside a state directory, if `make valkey` asks for it.
    #[allow(clippy::disallowed_methods)] // the Makefile passes its choice in the environment
    pub(crate) fn beside(state_dir: &Path) -> Option<Store> {
        std::env::var_os("TEST_STORE").map(|_| Store::start(state_dir.with_extension("store")))
    }

    fn start(directory: PathBuf) -> Store {
        fs::create_dir_all(&directory).unwrap();
        let program = ["valkey-server", "redis-server"].into_iter().find_map(|program| {
            let mut command = Command::new(program);
            // Servers of other users are tested as well.
            command.args(["--port", "0", "--save", "", "--unixsocketperm", "777", "--unixsocket", "socket"]);
            command.arg("--dir").arg(&directory).current_dir(&directory).stdout(Stdio::piped()).spawn().ok()
        });
        let mut process = program.expect("no server is installed: apt-get install redis-server");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("eady to accept connections")), "it does not start");
        // Further lines are discarded, so that they do not fill the pipe. Ends with the process.
        std::thread::spawn(move || lines.for_each(drop));
        Store { process, directory }
    }

    /// Makes the key of a server: with a store, the server itself makes none.
    pub(crate) fn make_key(state_dir: &Path) {
        DirBuilder::new().mode(0o700).create(state_dir).unwrap();
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(state_dir.join("key")).unwrap();
        let digest = sha2::Sha256::digest(state_dir.as_os_str().as_encoded_bytes());
        writeln!(file, "{}", URL_SAFE_NO_PAD.encode(digest)).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}/socket", self.directory.display())
    }

    /// The keys in the store.
    pub(crate) fn names(&self) -> Vec<u8> {
        let socket = self.directory.join("socket");
        Command::new("redis-cli").arg("-s").arg(socket).args(["keys", "*"]).output().unwrap().stdout
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
