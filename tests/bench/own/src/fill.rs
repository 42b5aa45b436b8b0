//! Fills the grants table of a stopped server.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcp_oauth_server::internals::base::{Clock, SystemClock, Timestamp};
use mcp_oauth_server::internals::base::{ClientFingerprint, GrantId, Scopes, Subject, UserId};
use mcp_oauth_server::internals::base::{OsRandom, Random};
use mcp_oauth_server::internals::{Grant, GrantClient, Grants, RedbGrants, Stage, StateDirectory, key_file};

fn grant(number: u64, id: GrantId, now: Timestamp) -> Grant {
    // So that they do not all expire in the same second.
    let lifetime = Duration::from_secs(86_400 + number);
    Grant {
        id,
        revision: 0,
        subject: Subject::User(UserId(20_000_000 + number)),
        login: format!("person-{number}"),
        client: GrantClient {
            fingerprint: ClientFingerprint::of("bench"),
            name: "Bench".to_owned(),
            host: None,
            redirect: "http://127.0.0.1:9".to_owned(),
        },
        scopes: Scopes::parse("mcp").unwrap_or_default(),
        resource: "http://127.0.0.1/mcp".to_owned(),
        memberships: Default::default(),
        created: now,
        last_used: now,
        admitted: now,
        expires: now.plus(lifetime),
        stage: Stage::Live { generation: 0, rotated_at: now },
        upstream: None,
    }
}

/// Adds grants up to `count`, of one user each, as logins create them.
pub fn fill(path: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let now = SystemClock.now();
    let directory = StateDirectory::open(path)?;
    let random: &dyn Random = &OsRandom;
    let keys = Arc::new(key_file::load_or_create(path, random)?);
    let grants = RedbGrants::open(&directory, &keys)?;
    let there = u64::try_from(grants.list()?.len())?;
    for number in there..count {
        grants.insert(&grant(number, GrantId(random.bytes()), now))?;
    }
    Ok(())
}
