//! Tables, directories and disks for tests and the laboratory.

#[cfg(test)]
mod directory;
#[cfg(test)]
mod disk;
mod memory;
#[cfg(test)]
#[cfg(feature = "valkey")]
mod valkey_server;

#[cfg(test)]
pub(crate) use directory::TestDirectory;
#[cfg(test)]
pub(crate) use disk::Disk;
pub use memory::MemoryGrants;
#[cfg(test)]
#[cfg(feature = "valkey")]
pub(crate) use valkey_server::ValkeyServer;
