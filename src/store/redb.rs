//! The table in one file.
/// The table in one file.
#[derive(Debug, Default)]
pub struct RedbGrants;
