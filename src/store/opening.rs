//! Opens the table at its place, and copies it from one place to another.

use std::sync::Arc;

use super::key_file::{self, KeyFile};
use super::place::StorePlace;
use super::private::{OpenedFor, StateDirectory};
#[cfg(feature = "valkey")]
use super::valkey::ValkeyGrants;
use super::{Error, Grants, RedbGrants};
use crate::base::{OsRandom, StartupError};
use crate::seal::Keyring;

impl StorePlace {
    /// Opens the table, or makes an empty one if there is none.
    pub fn open(
        &self,
        directory: &StateDirectory,
        keys: &Arc<Keyring>,
    ) -> Result<Arc<dyn Grants>, StartupError> {
        #[cfg(feature = "valkey")]
        if let Some(url) = &self.url {
            ValkeyGrants::create(self, url, keys)?;
            let table = ValkeyGrants::existing(self, url, keys, OpenedFor::Server)?;
            return Ok(Arc::new(table.ok_or_else(gone)?));
        }
        Ok(Arc::new(RedbGrants::open(directory, keys)?))
    }

    /// Opens the table if there is one. A Valkey server needs no state directory.
    #[cfg_attr(not(feature = "valkey"), allow(unused_variables))]
    pub fn existing(
        &self,
        directory: Option<&StateDirectory>,
        keys: &Arc<Keyring>,
        opened_for: OpenedFor,
    ) -> Result<Option<Arc<dyn Grants>>, StartupError> {
        #[cfg(feature = "valkey")]
        if let Some(url) = &self.url {
            let table = ValkeyGrants::existing(self, url, keys, opened_for)?;
            return Ok(table.map(|table| Arc::new(table) as _));
        }
        let Some(directory) = directory else { return Ok(None) };
        Ok(RedbGrants::existing(directory, keys)?.map(|table| Arc::new(table) as _))
    }

    /// Copies every grant to a place that has none. Returns how many there are.
    pub fn copy_to(
        &self,
        to: &StorePlace,
        directory: &StateDirectory,
        keys: &Arc<Keyring>,
    ) -> Result<usize, StartupError> {
        let failed = |error: Error| {
            StartupError::new(format!(
                "{error}. A part may be copied: empty the new place before you try again"
            ))
        };
        let source = self.existing(Some(directory), keys, OpenedFor::Command)?;
        let source = source.ok_or_else(|| StartupError::new("there are no grants to be copied"))?;
        let grants = source.list().map_err(failed)?;
        let target = to.open(directory, keys)?;
        if target.count().map_err(failed)? > 0 {
            return Err(StartupError::new(
                "there are grants at the new place already: nothing was copied. If an earlier copy was cut off, empty \
                 the new place (docs/replicas.md) and try again",
            ));
        }
        grants.iter().try_for_each(|grant| target.insert(grant)).map_err(failed)?;
        Ok(grants.len())
    }

    /// As [`key_file::rotate`]. Refused where others use the key as well: they could not open what is sealed with a new one.
    pub fn key_rotation(&self, file: &KeyFile, keys: Arc<Keyring>, table: Arc<dyn Grants>) -> KeyRotation {
        let (path, is_shared) = (file.path.clone(), self.url.is_some());
        Box::new(move || {
            if !is_shared {
                return key_file::rotate(&path, &keys, &*table, &OsRandom);
            }
            Err(StartupError::new(
                "other servers use it too, and could not open what a new key seals: add the new key at the end of every key \
                 file first (docs/replicas.md)",
            ))
        })
    }
}

/// Puts a new key before the others and, in a running server, into use. Returns the number of keys.
pub type KeyRotation = Box<dyn Fn() -> Result<usize, StartupError> + Send + Sync>;

#[cfg(feature = "valkey")]
fn gone() -> StartupError {
    StartupError::new("the grants were deleted from the Valkey server while they were opened: start again")
}
