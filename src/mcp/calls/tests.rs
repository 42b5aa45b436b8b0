use serde_json::value::RawValue;

use super::super::call::{Call, CallError, Capability, InputRequest, Level, Reply};
use super::super::exchange::Dialect;
use super::super::jsonrpc::{Encoded, Error, RequestId};
use super::super::stream::EventStream;
use super::*;
use crate::base::{CancelToken, fake};
use crate::http::{Responder, Stream};

/// A minimal era.
struct Plain;

impl Dialect for Plain {
    fn log_level(&self) -> Option<Level> {
        None
    }

    fn wants_log(&self, _: Level) -> bool {
        false
    }

    fn stream(&self, _: &Call) -> (EventStream, Stream) {
        unreachable!("nothing is said")
    }

    fn ask(&self, _: &Exchange, _: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        Err(CallError::Cancelled)
    }

    fn missing(&self, _: Option<Capability>) -> Error {
        Error::internal()
    }

    fn encode(&self, _: &Call, _: Result<Reply, CallError>) -> Encoded {
        Encoded::error(200, Some(&RequestId::Integer(1)), &Error::internal())
    }
}

fn exchange(user: u64, cancel: &CancelToken) -> Arc<Exchange> {
    let call = Call { cancel: cancel.clone(), ..Call::of_tool(user, "any") };
    let (responder, _) = Responder::pair();
    Exchange::new(call, Box::new(Plain), responder, None)
}

fn begin(calls: &Arc<Calls>, user: u64) -> Result<Permit, &'static str> {
    calls.begin(&exchange(user, &CancelToken::new()), Duration::ZERO)
}

/// M17: calls are bounded per user and in total.
#[test]
fn calls_are_bounded_per_user_and_in_all() {
    let calls = Calls::new();
    let mine: Vec<_> = (0..limits::CALLS_PER_USER).map(|_| begin(&calls, 1).ok().unwrap()).collect();
    assert!(begin(&calls, 1).is_err());
    let others: Vec<_> = (2..).map_while(|user| begin(&calls, user).ok()).collect();
    assert_eq!(mine.len() + others.len(), limits::CALLS);
    assert!(mine.len() * 3 < limits::CALLS, "three users leave room for others");
    drop(mine);
    assert!(begin(&calls, 1).is_ok());
    assert_eq!(calls.count(), others.len());
}

/// M17: at the limit and one above, for one user and in total. A call that has ended, or that did not become a task, returns its
/// place.
#[test]
fn tasks_that_run_leave_calls_their_places() {
    let (each, all) = limits::TASKS_RUNNING;
    let calls = Calls::new();
    let begin = |user| begin(&calls, user).ok().unwrap();
    let begin_task = |user| {
        let permit = begin(user);
        let place = permit.task_place()?;
        Some((permit, place))
    };
    let not_after_all = begin(1);
    let place = not_after_all.task_place().unwrap();
    let mut mine: Vec<_> = std::iter::from_fn(|| begin_task(1)).collect();
    assert_eq!(mine.len(), each - 1);
    drop(place);
    mine.extend(begin_task(1));
    assert_eq!(mine.len(), each);
    let others: Vec<_> = (2..=limits::CALLS as u64).map_while(begin_task).collect();
    assert_eq!(mine.len() + others.len(), all);
    let calls: Vec<_> = (each + 1..limits::CALLS_PER_USER).map(|_| begin(1)).collect();
    drop((others, calls));
    assert!(begin_task(2).is_some() && begin_task(1).is_none());
}

#[test]
fn a_grants_end_cancels_its_calls_only() {
    let calls = Calls::new();
    let (mine, other) = (CancelToken::new(), CancelToken::new());
    let running = [exchange(1, &mine), exchange(2, &other)];
    let _permits = running.each_ref().map(|exchange| calls.begin(exchange, Duration::ZERO));
    calls.end_where(|owner| owner.grant == fake::principal(1).grant);
    assert!(mine.is_tripped());
    assert!(!other.is_tripped());
}
