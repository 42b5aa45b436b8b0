//! Sealed values: state that must survive between requests is kept by the client or the browser, encrypted and
//! authenticated under the server's key, so that an unauthenticated request stores nothing here.
//!
//! A sealed value is `PREFIX base64url(salt(16) ciphertext tag(16))`. HKDF-SHA256 derives a key for that one value from
//! the server's key, the type's prefix and the salt, so there is no nonce to count (it is always zero) and a value of one
//! type never opens as another. ChaCha20-Poly1305, because many small hosts have no AES instructions.

use std::sync::{Arc, PoisonError, RwLock};

use ring::{aead, hkdf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::{Random, Secret, Timestamp, base64url, from_base64url};

const SALT_BYTES: usize = 16;
/// The initial capacity: a salt, a prefix and their lengths fit.
const USUAL_INFO_BYTES: usize = 64;

/// A type that can be sealed.
pub trait Sealed: Serialize + DeserializeOwned {
    /// The prefix of every sealed value of this type. It is authenticated.
    const PREFIX: &'static str;

    /// When the value expires; `None` if it is valid as long as the key.
    fn expires(&self) -> Option<Timestamp>;
}

/// The reason why a sealed value did not open. Clients never learn which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// It is of another type, or not the form of a sealed value.
    Malformed,
    /// It was changed, or sealed under a key that this server does not have.
    Forged,
    /// It has expired.
    Expired,
}

/// The server's keys: the first seals, all open.
pub struct Keyring {
    /// Guards the pointer to the keys, for a rotation while the server runs; held to copy the pointer. Never empty: checked
    /// by [`Keyring::new`].
    keys: RwLock<Arc<[hkdf::Prk]>>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.keys().len())
    }
}

struct KeyLength(usize);

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        self.0
    }
}

impl Keyring {
    /// A keyring of 32-byte keys; `None` without any.
    #[must_use]
    pub fn new(keys: &[Secret<[u8; 32]>]) -> Option<Keyring> {
        let extract = |key: &Secret<[u8; 32]>| {
            hkdf::Salt::new(hkdf::HKDF_SHA256, b"mcp-oauth-server/v1").extract(key.expose())
        };
        (!keys.is_empty()).then(|| Keyring { keys: RwLock::new(keys.iter().map(extract).collect()) })
    }

    /// Replaces the keys: values are sealed with the first of them from now on.
    pub fn replace(&self, new: Keyring) {
        let new = new.keys.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    fn keys(&self) -> Arc<[hkdf::Prk]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// 32 bytes derived from `info` with each key, the sealing one first. For secrets that need not be
    /// stored because they can be derived again.
    #[must_use]
    pub fn derive(&self, info: &[&[u8]]) -> Vec<Secret<[u8; 32]>> {
        self.keys().iter().map(|key| Secret::new(expand(key, info.iter().copied()))).collect()
    }

    /// A keyed hash of `info`, under the key that seals: HMAC-SHA256, which is the second half of HKDF.
    #[must_use]
    pub fn hash(&self, info: &[&[u8]]) -> Option<[u8; 32]> {
        self.keys().first().map(|key| expand(key, info.iter().copied()))
    }

    /// Encrypts `plaintext` so that only `context` and this key open it again.
    #[must_use]
    pub fn encrypt(&self, context: &[&[u8]], plaintext: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut out = random.bytes::<SALT_BYTES>().to_vec();
        let mut text = plaintext.to_vec();
        if let Some(key) = self.keys().first() {
            let key = one_time_key(key, context, &out);
            let tag = key
                .seal_in_place_separate_tag(zero_nonce(), aead::Aad::empty(), &mut text)
                .expect("a value is far shorter than the 256 GiB that one key may encrypt");
            out.extend_from_slice(&text);
            out.extend_from_slice(tag.as_ref());
        }
        out
    }

    /// Decrypts a value that [`Keyring::encrypt`] made with the same context and one of these keys.
    #[must_use]
    pub fn decrypt(&self, context: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        let (salt, ciphertext) = sealed.split_at_checked(SALT_BYTES)?;
        self.keys().iter().find_map(|key| {
            let mut text = ciphertext.to_vec();
            let key = one_time_key(key, context, salt);
            let length = key.open_in_place(zero_nonce(), aead::Aad::empty(), &mut text).ok()?.len();
            text.truncate(length);
            Some(text)
        })
    }
}

/// The context is the HKDF info, each part preceded by its length so that no two lists of parts are the same bytes.
fn expand<'a>(key: &hkdf::Prk, parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut info = Vec::with_capacity(USUAL_INFO_BYTES);
    for part in parts {
        info.extend_from_slice(&(part.len() as u64).to_be_bytes());
        info.extend_from_slice(part);
    }
    let mut out = [0; 32];
    key.expand(&[&info], KeyLength(out.len()))
        .and_then(|okm| okm.fill(&mut out))
        .expect("32 bytes are within HKDF-SHA256's 8160");
    out
}

fn one_time_key(key: &hkdf::Prk, context: &[&[u8]], salt: &[u8]) -> aead::LessSafeKey {
    let key = expand(key, std::iter::once(salt).chain(context.iter().copied()));
    aead::LessSafeKey::new(
        aead::UnboundKey::new(&aead::CHACHA20_POLY1305, &key)
            .expect("32 bytes are this algorithm's key length"),
    )
}

/// Safe because each key encrypts one value.
fn zero_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

/// Seals a value.
#[must_use]
pub fn seal<T: Sealed>(keys: &Keyring, value: &T, random: &dyn Random) -> String {
    let json = serde_json::to_vec(value).expect("sealed types are plain structs with string keys");
    let sealed = keys.encrypt(&[T::PREFIX.as_bytes()], &json, random);
    format!("{}{}", T::PREFIX, base64url(&sealed))
}

/// Opens a sealed value.
///
/// # Errors
/// [`SealError`]; the sender of the value must not learn which.
pub fn open<T: Sealed>(keys: &Keyring, text: &str, now: Timestamp) -> Result<T, SealError> {
    let body = text.strip_prefix(T::PREFIX).ok_or(SealError::Malformed)?;
    let sealed = from_base64url(body).ok_or(SealError::Malformed)?;
    let json = keys.decrypt(&[T::PREFIX.as_bytes()], &sealed).ok_or(SealError::Forged)?;
    let value: T = serde_json::from_slice(&json).map_err(|_| SealError::Malformed)?;
    match value.expires() {
        Some(end) if now >= end => Err(SealError::Expired),
        Some(_) | None => Ok(value),
    }
}

/// `#[serde(with = "seal::secret_bytes")]`: the form of a 32-byte secret inside a sealed value, and nowhere else.
pub mod secret_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::base::{Secret, base64url, from_base64url, json};

    /// Writes the secret as base64url.
    ///
    /// # Errors
    /// Errors of the serializer.
    pub fn serialize<S: Serializer>(secret: &Secret<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url(secret.expose()))
    }

    /// Parses the output of [`serialize`].
    ///
    /// # Errors
    /// Errors of the deserializer, or a length other than 32 bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<[u8; 32]>, D::Error> {
        let json::Text(text) = Deserialize::deserialize(deserializer)?;
        let bytes = from_base64url(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Secret::new).ok_or_else(|| serde::de::Error::custom("not 32 bytes"))
    }
}

/// `#[serde(with = "seal::secret_text")]`: the form of a secret text inside data that is then encrypted, or in an answer to the operator
/// over their socket, and nowhere else.
pub mod secret_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::base::Secret;

    /// Writes the text.
    ///
    /// # Errors
    /// Errors of the serializer.
    pub fn serialize<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Errors of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }

    /// A secret text that may be absent.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serializer};

        use crate::base::Secret;

        /// Writes the text, or null.
        ///
        /// # Errors
        /// Errors of the serializer.
        pub fn serialize<S: Serializer>(
            secret: &Option<Secret<String>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match secret {
                Some(secret) => super::serialize(secret, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a text or null.
        ///
        /// # Errors
        /// Errors of the deserializer.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Secret<String>>, D::Error> {
            Option::<String>::deserialize(deserializer).map(|text| text.map(Secret::new))
        }
    }
}

/// Keys for tests.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// A keyring with one key made of `byte`.
    pub(crate) fn keyring(byte: u8) -> Keyring {
        Keyring::new(&[Secret::new([byte; 32])]).unwrap()
    }
}

#[cfg(test)]
mod tests;
