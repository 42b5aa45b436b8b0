//! kill -9 at any moment of many concurrent refreshes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;

use crate::support::github::FakeGitHub;
use crate::support::http::Request;
use crate::support::server::Server;
use crate::support::walk::{Client, Tokens};

const CLIENTS: usize = 10;
const REFRESHES: usize = 100;
const KILLS: usize = 50;

/// S2, T10, T11: a thousand refreshes and fifty kills. Each client gets an answer to each of its refreshes in the end, and
/// the table has rotated exactly once for each: no grant lost, none doubled.
#[test]
fn a_storm_of_refreshes_survives_fifty_kills() {
    let mut server = Server::start(&FakeGitHub::start());
    let clients: Vec<(Client, Tokens)> = (0..CLIENTS).map(|_| server.login()).collect();
    let authority = server.authority().to_owned();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (client, tokens) in &clients {
            scope.spawn(|| storm(&authority, client, &tokens.refresh, &done));
        }
        for kill in 1..=KILLS {
            while done.load(Ordering::Relaxed) * KILLS < kill * CLIENTS * (REFRESHES - 2) {
                pause();
            }
            server.kill();
            server.start_again();
        }
    });
    assert!(server.stop().success(), "{}", server.log());

    let database = Database::open(server.state_dir().join("grants.redb")).unwrap();
    let table: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("grants");
    let grants = database.begin_read().unwrap().open_table(table).unwrap();
    let generation = |record: &[u8]| {
        let grant: Value = serde_json::from_slice(record).unwrap();
        grant["stage"]["live"]["generation"].as_u64().unwrap()
    };
    let generations: Vec<u64> =
        grants.iter().unwrap().map(|entry| generation(entry.unwrap().1.value())).collect();
    assert_eq!(generations, [REFRESHES as u64; CLIENTS]);
}

/// Refreshes repeatedly, each time until there is an answer.
fn storm(authority: &str, client: &Client, first: &str, done: &AtomicUsize) {
    let mut refresh = first.to_owned();
    for _ in 0..REFRESHES {
        let form =
            [("grant_type", "refresh_token"), ("client_id", &*client.id), ("refresh_token", &*refresh)];
        let request = Request::post_form("/token", &form);
        let answer = loop {
            match request.send(authority) {
                Ok(answer) => break answer,
                Err(_) => pause(), // it was killed, or is not ready yet
            }
        };
        refresh = Tokens::of(&answer.expect(200).json()).refresh;
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn pause() {
    let (_open, silence) = channel::<()>();
    let _ = silence.recv_timeout(Duration::from_millis(2));
}
