//! The text of a record: `REVISION USER JSON TAG`. The scripts read the first two. The tag shows that a server with one of the keys
//! wrote the record, as it is and for this id: others may write to the store as well.

use std::sync::Arc;

use crate::base::{base64url, from_base64url};
use crate::seal::Keyring;
use crate::store::{Error, Grant};

/// Advice about a record whose tag is wrong.
const FOREIGN: &str = "is not used: no server with these keys wrote it. Give all servers the same key file; if they have it, somebody \
     else writes to the store and must be kept out (docs/replicas.md)";

/// The record of a grant, under the key that seals.
pub(super) fn print(grant: &Grant, keys: &Keyring) -> Result<String, Error> {
    let json = serde_json::to_string(grant).map_err(|error| Error::Record(error.to_string()))?;
    let text = format!("{} {} {json}", grant.revision, grant.user_number());
    let tag = keys.hash(&hashed(&grant.id.to_string(), &text)).unwrap_or_default();
    Ok(format!("{text} {}", base64url(&tag)))
}

/// The grant in the record that is stored for this id. One with a wrong tag is as absent, and logged.
pub(super) fn parse(id: &str, record: Option<&str>, keys: &Keyring) -> Result<Option<Arc<Grant>>, Error> {
    let Some(record) = record else { return Ok(None) };
    let (text, tag) = record.rsplit_once(' ').unwrap_or_default();
    let tag = from_base64url(tag).unwrap_or_default();
    if !keys.derive(&hashed(id, text)).iter().any(|expected| expected.matches(&tag)) {
        Error::Record(format!("the record of grant {id} {FOREIGN}")).log();
        return Ok(None);
    }
    let json = text.splitn(3, ' ').nth(2).unwrap_or_default();
    let grant = serde_json::from_str(json).map(|grant| Some(Arc::new(grant)));
    grant.map_err(|error| Error::Record(format!("the record of grant {id}: {error}")))
}

/// The parts whose keyed hash is the tag: its purpose, the grant's id, and the record's text.
pub(super) fn hashed<'a>(id: &'a str, text: &'a str) -> [&'a [u8]; 3] {
    [b"store record", id.as_bytes(), text.as_bytes()]
}
