//! Streams and sessions that stay open until a line arrives on standard input.

use std::io::BufRead;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::mcp::{self, Caller, Era, Target};
use crate::wire::{Connection, PATIENCE};

/// The pause before a refused attempt is repeated.
const PAUSE: Duration = Duration::from_millis(100);

/// The kinds of state that is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Of the older era, without an open connection.
    Session,
    /// Of the older era in a session of its own.
    Stream(Era),
}

struct Held {
    caller: Caller,
    stream: Option<Connection>,
}

/// Opens `count` of them, for the tokens' owners in turn; reports that on standard output; waits for a line; checks each stream,
/// and closes all.
pub fn hold(target: &Target, what: What, tokens: &[Option<String>], count: usize) -> Result<Value, String> {
    let mut held = Vec::new();
    for number in 0..count {
        let token = tokens.get(number % tokens.len().max(1)).cloned().flatten();
        held.push(open(target, what, token, number).map_err(|error| format!("{number}: {error}"))?);
    }
    println!("{}", json!({ "held": held.len() }));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;
    let is_dead = |held: &mut Held| held.stream.as_mut().is_some_and(|stream| !stream.is_open());
    let dead = held.iter_mut().filter_map(|each| is_dead(each).then_some(())).count();
    held.iter_mut().for_each(|each| each.stream = None);
    for Held { caller, .. } in held.iter().filter(|each| each.caller.session.is_some()) {
        mcp::close_session(target, caller)?;
    }
    Ok(json!({ "held": count, "wrong": dead }))
}

fn open(target: &Target, what: What, token: Option<String>, number: usize) -> Result<Held, String> {
    let caller = match what {
        What::Stream(Era::Modern) => Caller { token, session: None },
        What::Session | What::Stream(Era::Legacy) => {
            patiently(|| mcp::open_session(target, token.as_deref()))?
        }
    };
    let What::Stream(era) = what else { return Ok(Held { caller, stream: None }) };
    let stream = patiently(|| {
        let mut connection = Connection::open(target.address)?;
        match connection.begin(mcp::listen(target, era, &caller, number).as_bytes())?.status {
            200 => Ok(connection),
            status => Err(status.to_string()),
        }
    })?;
    Ok(Held { caller, stream: Some(stream) })
}

/// Retries for a while after refusals, because the rate of openings per user is limited.
fn patiently<T>(attempt: impl Fn() -> Result<T, String>) -> Result<T, String> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if error.contains("429") && begun.elapsed() < PATIENCE => {
                std::thread::park_timeout(PAUSE);
            }
            outcome => return outcome,
        }
    }
}
