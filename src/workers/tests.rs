use super::*;
use crate::base::{CancelToken, Principal};
use crate::http::{CallEnding, CallNote, Response, Witness};

/// Answers according to the path.
fn answer(path: &str, release: &CancelToken, responder: Responder) {
    match path {
        "/panic" => panic!("on purpose"),
        "/wait" => assert!(release.wait(Duration::from_secs(60))),
        "/go-on" => {
            responder.respond(Response::new(202));
            return assert!(release.wait(Duration::from_secs(60)));
        }
        _ => {}
    }
    responder.respond(Response::new(204));
}

/// Suppresses the backtraces of panics that tests cause, and the time that they take.
fn hide_intended_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                usual(panic);
            }
        }));
    });
}

const QUEUE: usize = 200;

struct Bench {
    pool: Pool,
    release: CancelToken,
}

impl Bench {
    fn new() -> Bench {
        hide_intended_panics();
        Bench { pool: Pool::start(QUEUE).unwrap(), release: CancelToken::new() }
    }

    fn submit(&self, path: &'static str) -> Result<Waiter, Full> {
        self.submit_holding(path, Arc::new(()))
    }

    fn submit_holding(&self, path: &'static str, held: Arc<()>) -> Result<Waiter, Full> {
        let release = self.release.clone();
        let ticket =
            Ticket::new(0, move |_, responder| Some(Box::new(move || answer(path, &release, responder))));
        self.pool.serve(None, ticket, (Vec::new(), held))
    }

    fn status(&self, waiter: &Waiter) -> u16 {
        waiter.wait(clock::instant() + Duration::from_secs(60)).unwrap().status()
    }
}

#[test]
fn a_job_is_answered() {
    let bench = Bench::new();
    let waiter = bench.submit("/").unwrap();
    assert_eq!(bench.status(&waiter), 204);
}

/// H3: a request's budget is released when its handler has returned, not when it is answered.
#[test]
fn resources_of_a_request_are_held_until_its_handler_returns() {
    let bench = Bench::new();
    let held = Arc::new(());
    let waiter = bench.submit_holding("/go-on", Arc::clone(&held)).unwrap();
    assert_eq!((bench.status(&waiter), Arc::strong_count(&held)), (202, 2));
    bench.release.trip();
    assert!(bench.pool.stop(Duration::from_secs(60)));
    assert_eq!(Arc::strong_count(&held), 1);
}

/// A chunked message, whose length is known at its end, keeps its user's place for a large one only if it is large.
#[test]
fn a_small_body_releases_its_place_at_once() {
    let bench = Bench::new();
    let serve = |length: usize, place: &Arc<()>| {
        let run = |_: Vec<u8>, responder: Responder| -> Option<Blocking> {
            std::mem::forget(responder); // not answered, and kept for ever
            None
        };
        let ticket = Ticket { place: Box::new(Arc::clone(place)), ..Ticket::new(length, run) };
        bench.pool.serve(None, ticket, (vec![0; length], ())).ok().unwrap();
    };
    let [small, large] = [0, 1].map(|more| {
        let place = Arc::new(());
        serve(limits::UNCHECKED_BODY_BYTES + more, &place);
        place
    });
    assert_eq!((Arc::strong_count(&small), Arc::strong_count(&large)), (1, 2));
}

/// H12: a panic is a 500 and costs no worker.
#[test]
fn a_panic_is_a_500_and_the_workers_live_on() {
    let bench = Bench::new();
    for _ in 0..limits::WORKERS * 2 {
        let waiter = bench.submit("/panic").unwrap();
        assert_eq!(bench.status(&waiter), 500);
    }
    // More may have been added while panics were being reported.
    assert!(bench.pool.workers() >= limits::WORKERS);
    let waiter = bench.submit("/").unwrap();
    assert_eq!(bench.status(&waiter), 204);
}

/// L1, H12: of a panic in our own code only the location is logged.
#[test]
fn a_panic_message_is_logged_only_if_a_tool_panicked() {
    assert_eq!(loggable("Bearer mcp_at_x"), None);
    assert_eq!(trace::in_tool(|| loggable("no such row")), Some("no such row"));
    assert_eq!(loggable("Bearer mcp_at_x"), None);
}

#[test]
fn blocked_workers_are_joined_by_more_up_to_the_limit() {
    let bench = Bench::new();
    let blocked: Vec<_> = (0..limits::WORKERS).map(|_| bench.submit("/wait").unwrap()).collect();
    // Answered although every worker of the start is blocked.
    let waiter = bench.submit("/").unwrap();
    assert_eq!(bench.status(&waiter), 204);

    // Until each of the workers that there may be is blocked and the queue is full.
    let mut more = Vec::new();
    while blocked.len() + more.len() < limits::WORKERS_MAX + QUEUE {
        match bench.submit("/wait") {
            Ok(waiter) => more.push(waiter),
            Err(Full) => thread::yield_now(),
        }
    }
    assert_eq!(bench.submit("/").err(), Some(Full));
    assert_eq!(bench.pool.workers(), limits::WORKERS_MAX);
    bench.release.trip();
    for waiter in blocked.iter().chain(&more) {
        assert_eq!(bench.status(waiter), 204);
    }
}

/// H13: waiting jobs are finished, later ones are refused.
#[test]
fn stopping_finishes_the_queue_and_refuses_more() {
    let bench = Bench::new();
    let waiters: Vec<_> = (0..QUEUE).map(|_| bench.submit("/wait").unwrap()).collect();
    assert!(!bench.pool.stop(Duration::ZERO));
    assert_eq!(bench.submit("/").err(), Some(Full));
    bench.release.trip();
    assert!(bench.pool.stop(Duration::from_secs(60)));
    for waiter in &waiters {
        assert_eq!(bench.status(waiter), 204);
    }
}

#[test]
fn workers_are_added_only_while_the_queue_does_not_move() {
    for (waiting, moved, wanted) in [(0, 0, 0), (0, 9, 0), (5, 0, 5), (5, 4, 1), (5, 5, 0)] {
        assert_eq!(wanted_workers(waiting, moved), wanted, "{waiting} waiting, {moved} moved");
    }
}

/// Requests whose quick part runs on the door's thread.
impl Bench {
    /// A place for the second request in a row of this thread.
    fn place(&self) -> Option<Served> {
        drop(self.place_of_one(false));
        self.place_of_one(false)
    }

    /// A place for a request, which is forwarded or not.
    fn place_of_one(&self, passes_on: bool) -> Option<Served> {
        self.pool.place_at_door(&Ticket { passes_on, ..Ticket::new(0, |_, _| None) })
    }

    /// The names of the threads that ran the two parts of a request.
    fn threads(&self, place: Option<Served>) -> [String; 2] {
        let (sender, names) = std::sync::mpsc::channel();
        let name = || thread::current().name().unwrap_or_default().to_owned();
        let ticket = Ticket::new(0, move |_, responder| {
            sender.send(name()).unwrap();
            Some(Box::new(move || {
                sender.send(name()).unwrap();
                responder.respond(Response::new(204));
            }))
        });
        let waiter = self.pool.serve(place, ticket, (Vec::new(), ())).unwrap();
        assert_eq!(self.status(&waiter), 204);
        [names.recv().unwrap(), names.recv().unwrap()]
    }
}

#[test]
fn with_a_place_only_the_blocking_part_runs_on_a_worker() {
    let bench = Bench::new();
    let here = thread::current().name().unwrap().to_owned();
    let [first, second] = bench.threads(Some(bench.place().unwrap()));
    assert_eq!(first, here);
    assert!(second.starts_with("worker-"), "{second}");
    let [first, second] = bench.threads(None);
    assert!(first.starts_with("worker-"), "{first}");
    assert_eq!(first, second);
}

/// A slow one holds a place, but does not block the server.
#[test]
fn a_place_is_free_only_while_no_other_request_is_served() {
    let bench = Bench::new();
    let place = bench.place();
    assert!(place.is_some() && bench.place().is_none());
    drop(place);
    assert!(bench.place().is_some());

    let waiter = bench.submit("/wait").unwrap();
    assert!(bench.place().is_none());
    bench.release.trip();
    assert_eq!(bench.status(&waiter), 204);
    assert!(bench.pool.stop(Duration::from_secs(60))); // so the worker has returned
    assert!(bench.place().is_some());
}

#[test]
fn a_place_is_given_only_to_the_thread_of_the_previous_request() {
    let bench = Bench::new();
    assert!(bench.place_of_one(false).is_none());
    assert!(bench.place_of_one(false).is_some());
    thread::scope(|scope| scope.spawn(|| assert!(bench.place_of_one(false).is_none())).join().unwrap());
    assert!(bench.place_of_one(false).is_none());
    assert!(bench.place_of_one(false).is_some());
}

#[test]
fn a_forwarded_request_always_gets_a_place() {
    let bench = Bench::new();
    let places = [bench.place_of_one(true), bench.place_of_one(true)];
    assert!(places.iter().all(Option::is_some) && bench.place().is_none());
}

/// H12: as on a worker. H3: the request's budget is released.
#[test]
fn a_panic_on_the_listener_thread_is_a_500() {
    let bench = Bench::new();
    let held = Arc::new(());
    let ticket = Ticket::new(0, |_, _responder| panic!("on purpose"));
    let waiter = bench.pool.serve(bench.place(), ticket, (Vec::new(), Arc::clone(&held))).unwrap();
    assert_eq!(bench.status(&waiter), 500);
    drop(waiter);
    assert_eq!(Arc::strong_count(&held), 1);
}

/// The status that a request was logged with.
#[derive(Default)]
struct Logged(AtomicUsize);

impl Witness for Logged {
    fn identify(&self, _: &Principal) {}

    fn called(&self, _: CallNote<'_>) -> bool {
        true
    }

    fn ended(&self, _: CallEnding) {}

    fn answered(&self, status: u16) {
        self.0.store(status.into(), Ordering::SeqCst);
    }
}

/// L1: the logged status is the client's, which is the door's 503.
#[test]
fn a_request_that_meets_a_closed_queue_is_logged_as_503() {
    let bench = Bench::new();
    assert!(bench.pool.stop(Duration::from_secs(60)));
    let logged = Arc::new(Logged::default());
    let witness = Arc::clone(&logged);
    let ticket = Ticket::new(0, move |_, mut responder| {
        responder.witness = Some(witness);
        Some(Box::new(move || responder.respond(Response::new(204))))
    });
    let place = bench.place();
    assert!(place.is_some());
    assert_eq!(bench.pool.serve(place, ticket, (Vec::new(), ())).err(), Some(Full));
    assert_eq!(logged.0.load(Ordering::SeqCst), 503);
}
