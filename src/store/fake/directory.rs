//! State directories for tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory of one test, deleted when dropped.
pub(crate) struct TestDirectory(PathBuf);

impl TestDirectory {
    /// The path of a directory that is not there yet.
    pub(crate) fn new() -> TestDirectory {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("mcp-oauth-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        TestDirectory(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
