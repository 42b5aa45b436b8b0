//! A real Valkey or Redis server of one test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::TestDirectory;
use crate::seal::{self, Keyring};
use crate::store::valkey::ValkeyGrants;
use crate::store::{OpenedFor, StorePlace, StoreUrl};

/// A server on a Unix socket, without files. Stopped when dropped.
pub(crate) struct ValkeyServer {
    process: Child,
    directory: TestDirectory,
    /// Options of its own.
    more: Vec<String>,
}

impl ValkeyServer {
    pub(crate) fn start() -> ValkeyServer {
        ValkeyServer::start_with(&[])
    }

    /// Starts it with more on its command line.
    pub(crate) fn start_with(more: &[&str]) -> ValkeyServer {
        let directory = TestDirectory::new();
        std::fs::create_dir(directory.path()).unwrap();
        let more: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
        let process = ValkeyServer::spawn(&directory, &more);
        ValkeyServer { process, directory, more }
    }

    fn spawn(directory: &TestDirectory, more: &[String]) -> Child {
        let program = ["valkey-server", "redis-server"]
            .into_iter()
            .find(|program| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok());
        let program = program
            .expect("neither valkey-server nor redis-server is installed: apt-get install redis-server");
        let mut process = Command::new(program)
            .args(["--port", "0", "--save", "", "--unixsocket", "socket", "--dir"])
            .arg(directory.path())
            .args(more)
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("eady to accept connections")), "it does not start");
        // Further lines are of no interest, and must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        process
    }

    /// Ends it, with everything that it holds, and starts another at the same place.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.process = ValkeyServer::spawn(&self.directory, &self.more);
    }

    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Suspends it, or lets it go on: connections stay, and nothing is answered.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    }

    pub(crate) fn url(&self) -> StoreUrl {
        StoreUrl::parse(&format!("unix://{}/socket", self.directory.path().display())).unwrap().unwrap()
    }

    pub(crate) fn place(&self) -> StorePlace {
        StorePlace { url: Some(self.url()), ..StorePlace::default() }
    }

    /// A connection of its own to the table that is made with the key of this number.
    pub(crate) fn open(&self, key: u8) -> Result<ValkeyGrants, String> {
        self.open_with(seal::fake::keyring(key))
    }

    /// A connection of its own to the table that is made with these keys.
    pub(crate) fn open_with(&self, keys: Keyring) -> Result<ValkeyGrants, String> {
        let (place, url, keys) = (StorePlace::default(), self.url(), Arc::new(keys));
        ValkeyGrants::create(&place, &url, &keys).map_err(|error| error.to_string())?;
        let table = ValkeyGrants::existing(&place, &url, &keys, OpenedFor::Server);
        Ok(table.map_err(|error| error.to_string())?.expect("it was made"))
    }

    pub(crate) fn table(&self) -> Arc<ValkeyGrants> {
        Arc::new(self.open(1).unwrap())
    }

    /// The answer to a command, for people.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let socket = self.directory.path().join("socket");
        let output = Command::new("redis-cli").arg("-s").arg(socket).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for ValkeyServer {
    fn drop(&mut self) {
        self.stop();
    }
}
