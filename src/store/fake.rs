//! Tables, directories and disks for tests. The laboratory has the table in memory as well.

mod directory;
mod disk;
mod memory;
#[cfg(feature = "valkey")]
mod valkey_server;

pub(crate) use directory::TestDirectory;
pub(crate) use disk::Disk;
pub(crate) use memory::MemoryGrants;
#[cfg(feature = "valkey")]
pub(crate) use valkey_server::ValkeyServer;
