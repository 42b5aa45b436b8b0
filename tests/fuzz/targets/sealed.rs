//! A sealed value opens to the original, or not at all.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::base::Timestamp;
use mcp_oauth_server::internals::seal::{Keyring, Sealed, open, seal};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Ticket {
    seat: u32,
}

impl Sealed for Ticket {
    const PREFIX: &'static str = "fuzz_tk_";
    fn expires(&self) -> Option<Timestamp> {
        None
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Other {
    seat: u32,
}

impl Sealed for Other {
    const PREFIX: &'static str = "fuzz_ot_";
    fn expires(&self) -> Option<Timestamp> {
        None
    }
}

static KEYS: LazyLock<Keyring> = LazyLock::new(oracle::keys);
static GOOD: LazyLock<String> = LazyLock::new(|| seal(&KEYS, &Ticket { seat: 7 }, &oracle::SameRandom));

fuzz_target!(|data: &[u8]| {
    let Some((&at, patch)) = data.split_first() else { return };
    let mut bytes = GOOD.clone().into_bytes();
    let at = usize::from(at) % (bytes.len() + 1);
    let end = (at + patch.len()).min(bytes.len());
    bytes.splice(at..end, patch.iter().copied());
    for text in [bytes.as_slice(), data, patch] {
        let Ok(text) = std::str::from_utf8(text) else { continue };
        match open::<Ticket>(&KEYS, text, Timestamp(0)) {
            Ok(ticket) => {
                assert_eq!((ticket, text), (Ticket { seat: 7 }, GOOD.as_str()), "a second spelling")
            }
            Err(_) => assert_ne!(text, GOOD.as_str()),
        }
        assert!(open::<Other>(&KEYS, text, Timestamp(0)).is_err());
        let renamed = text.replace(Ticket::PREFIX, Other::PREFIX);
        assert!(open::<Other>(&KEYS, &renamed, Timestamp(0)).is_err());
    }
});
