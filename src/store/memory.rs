//! The table in memory.
/// The table in memory.
#[derive(Debug, Default)]
pub struct MemoryGrants;
