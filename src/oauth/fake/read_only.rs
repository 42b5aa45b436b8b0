//! A disk that takes no writes.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::base::identity::{GrantId, UserId};
use crate::store::{Error, Grant, Grants};

/// A table on a disk that takes no writes.
pub(crate) struct ReadOnly(pub(crate) Arc<dyn Grants>);

impl Grants for ReadOnly {
    fn insert(&self, _: &Grant) -> Result<(), Error> {
        Err(Error::Storage("read-only".to_owned()))
    }

    fn get(&self, id: GrantId) -> Result<Option<Arc<Grant>>, Error> {
        self.0.get(id)
    }

    fn update(&self, grant: &Grant) -> Result<(), Error> {
        self.insert(grant)
    }

    fn delete(&self, _: GrantId) -> Result<bool, Error> {
        Err(Error::Storage("read-only".to_owned()))
    }

    fn list(&self) -> Result<Vec<Arc<Grant>>, Error> {
        self.0.list()
    }

    fn of_user(&self, user: UserId) -> Result<Vec<Arc<Grant>>, Error> {
        self.0.of_user(user)
    }

    fn takes_writes(&self) -> bool {
        false
    }

    fn sweep(&self, _: Timestamp) -> Result<Vec<GrantId>, Error> {
        Err(Error::Storage("read-only".to_owned()))
    }
}
