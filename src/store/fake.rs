//! Tables, directories and disks for tests and the laboratory.

#[cfg(test)]
mod directory;
#[cfg(test)]
mod disk;
mod memory;

#[cfg(test)]
pub(crate) use directory::TestDirectory;
#[cfg(test)]
pub(crate) use disk::Disk;
pub use memory::MemoryGrants;
