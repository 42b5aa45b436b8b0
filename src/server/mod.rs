//! The bounded queue between the doors and the application, and the workers that empty it.
//!
//! [`limits::WORKERS`] workers always run. A handler may block (a tool, a call to GitHub), so a supervisor adds workers
//! while the queue does not move, up to [`limits::WORKERS_MAX`]; it sleeps while the queue is empty. Nothing here knows
//! sockets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::base::clock;
use crate::base::limits;
use crate::base::lock::{Mutex, RwLock, wait_timeout};
use crate::base::log::{self, Field};
use crate::base::trace;
use crate::http::{Handler, Request, Responder};

/// One request on its way to a worker.
pub struct Job {
    /// What answers it.
    pub handler: Arc<dyn Handler>,
    /// The whole request.
    pub request: Request,
    /// Where the answer goes.
    pub responder: Responder,
    /// What the request takes of what is short, its body's bytes above all. The door lets go of it when it has the answer,
    /// the worker when the handler has returned, which may be long after: the answer is a stream, or the client has gone.
    pub held: Arc<dyn Send + Sync>,
}

/// The queue is full, or closed because the server stops: the door answers 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many requests are waiting")
    }
}

/// The queue and its workers.
pub struct Pool {
    /// The way in; taken out to close the queue, whereupon workers finish what waits and end.
    jobs: RwLock<Option<Sender<Box<Job>>>>,
    shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
    /// For `unpark` without a lock.
    supervisor_thread: thread::Thread,
}

struct Shared {
    queue: Receiver<Box<Job>>,
    /// Jobs that workers have taken, ever: the supervisor sees by it whether the queue moves.
    taken: AtomicU64,
    /// Whether the supervisor is awake and looks at the queue by itself.
    watching: AtomicBool,
    stopping: AtomicBool,
    /// Guards the number of workers that run.
    workers: Mutex<usize>,
    /// Wakes [`Pool::stop`] when a worker ends.
    worker_ended: Condvar,
    /// Numbers the workers' names.
    started: AtomicUsize,
}

/// How long a worker stays.
#[derive(Clone, Copy)]
enum Stay {
    UntilClosed,
    WhileNeeded,
}

impl Pool {
    /// Starts the workers, for whom at most `queue` requests wait.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn start(queue: usize) -> io::Result<Pool> {
        let (sender, queue) = bounded(queue);
        let shared = Arc::new(Shared {
            queue,
            taken: AtomicU64::new(0),
            watching: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            workers: Mutex::new(0),
            worker_ended: Condvar::new(),
            started: AtomicUsize::new(0),
        });
        for _ in 0..limits::WORKERS {
            shared.spawn_worker(Stay::UntilClosed)?;
        }
        let watched = Arc::clone(&shared);
        // Ends when `Pool::stop` or the pool's drop sets `stopping` and unparks it.
        let supervisor =
            thread::Builder::new().name("supervisor".to_owned()).spawn(move || watched.supervise())?;
        let supervisor_thread = supervisor.thread().clone();
        let supervisor = Mutex::new(Some(supervisor));
        Ok(Pool { jobs: RwLock::new(Some(sender)), shared, supervisor, supervisor_thread })
    }

    /// Hands a request to a worker; never waits.
    ///
    /// # Errors
    /// [`Full`]; the job's responder is dropped.
    pub fn submit(&self, job: Job) -> Result<(), Full> {
        let jobs = self.jobs.read();
        let jobs = jobs.as_ref().ok_or(Full)?;
        jobs.try_send(Box::new(job)).map_err(|_| Full)?;
        // The supervisor lowers `watching` and then looks at the queue once more, in this order, both sequentially
        // consistent: either it sees this job or we see the flag down.
        let asleep = !self.shared.watching.load(Ordering::SeqCst);
        if asleep && !self.shared.queue.is_empty() && !self.shared.watching.swap(true, Ordering::SeqCst) {
            self.supervisor_thread.unpark();
        }
        Ok(())
    }

    /// Requests that wait for a worker now.
    pub fn waiting(&self) -> usize {
        self.shared.queue.len()
    }

    /// Workers that run now.
    pub fn workers(&self) -> usize {
        *self.shared.lock()
    }

    /// Closes the queue, lets the workers finish what is in it, and waits for them up to `patience`. Says whether all
    /// have ended.
    pub fn stop(&self, patience: Duration) -> bool {
        let deadline = clock::instant() + patience;
        drop(self.jobs.write().take());
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.supervisor_thread.unpark();
        let supervisor = self.supervisor.lock().take();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.join(); // it neither panics nor waits for long
        }
        let mut workers = self.shared.lock();
        while *workers > 0 {
            let left = deadline.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return false;
            }
            workers = wait_timeout(&self.shared.worker_ended, workers, left);
        }
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.workers.lock()
    }

    /// Sleeps while the queue is empty. While it is not, looks every [`QUEUE_TICK`] whether it moves.
    fn supervise(self: Arc<Shared>) {
        let mut taken_before = self.taken.load(Ordering::Relaxed);
        while !self.stopping.load(Ordering::SeqCst) {
            if self.queue.is_empty() {
                self.watching.store(false, Ordering::SeqCst);
                if self.queue.is_empty() {
                    thread::park();
                }
                self.watching.store(true, Ordering::SeqCst);
                taken_before = self.taken.load(Ordering::Relaxed);
            }
            thread::park_timeout(limits::QUEUE_TICK);
            let taken_now = self.taken.load(Ordering::Relaxed);
            let moved = taken_now.wrapping_sub(taken_before);
            taken_before = taken_now;
            for _ in 0..wanted_workers(self.queue.len(), moved) {
                if *self.lock() >= limits::WORKERS_MAX || self.spawn_worker(Stay::WhileNeeded).is_err() {
                    break;
                }
            }
        }
    }

    fn spawn_worker(self: &Arc<Shared>, stay: Stay) -> io::Result<()> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let running = Running::count(Arc::clone(self));
        // Ends when the queue is closed and empty; one that stays only while needed, as `Shared::work` says.
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .stack_size(limits::WORKER_STACK_BYTES)
            .spawn(move || running.0.work(stay))
            .map(drop)
    }

    fn work(&self, stay: Stay) {
        // An extra worker ends at the first moment after this at which nothing waits. Counting from its last job
        // would keep it for ever: idle workers take turns.
        let needed_until = clock::instant() + limits::WORKER_IDLE;
        loop {
            let job = match stay {
                Stay::UntilClosed => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Stay::WhileNeeded => self.queue.recv_deadline(needed_until),
            };
            let Ok(job) = job else { return };
            self.taken.fetch_add(1, Ordering::Relaxed);
            run(*job);
        }
    }
}

/// How many workers to add, given how many jobs wait and how many were taken in the last tick.
fn wanted_workers(waiting: usize, moved: u64) -> usize {
    match u64::try_from(waiting) {
        Ok(0) => 0,
        _ if moved == 0 => waiting, // everybody is blocked
        Ok(waiting) if moved >= waiting => 0,
        Ok(_) | Err(_) => 1,
    }
}

/// Answers one request. A panic ends the request with the 500 of its dropped responder, not the worker (H12).
fn run(job: Job) {
    let Job { handler, request, responder, held: _held } = job;
    if catch_unwind(AssertUnwindSafe(|| handler.handle(request, responder))).is_err() {
        log::error("request.panicked", &[Field::Hint("this is a bug, please report it")]);
    }
}

/// A worker that is counted as long as this lives.
struct Running(Arc<Shared>);

impl Running {
    fn count(shared: Arc<Shared>) -> Running {
        let mut workers = shared.lock();
        *workers = workers.saturating_add(1);
        drop(workers);
        Running(shared)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut workers = self.0.lock();
        *workers = workers.saturating_sub(1);
        self.0.worker_ended.notify_all();
    }
}

/// Has panics logged by their place in the code, and in the code of tools with what they say.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let (text, payload) = (panic.payload().downcast_ref::<String>(), panic.payload());
        let said = text.map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        let said = said.and_then(loggable).map(Field::Error);
        log::error("panic", &[Field::Path(&place)].into_iter().chain(said).collect::<Vec<_>>());
    }));
}

/// What a panic says, where it may be logged. In our own code it may quote a request or a secret; in a tool's its author chose the
/// words, and the operator needs them.
fn loggable(message: &str) -> Option<&str> {
    trace::is_in_tool().then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::cancel::CancelToken;
    use crate::http::{Admission, Head, Headers, Method, Response, Scheme, Waiter};

    /// What the test handler does, by path.
    struct Desk {
        release: CancelToken,
    }

    impl Handler for Desk {
        fn admit(&self, _head: &Head) -> Result<Admission, Box<Response>> {
            Ok(Admission::up_to(0))
        }

        fn handle(&self, request: Request, responder: Responder) {
            match &*request.head.path {
                "/panic" => panic!("on purpose"),
                "/wait" => assert!(self.release.wait(Duration::from_secs(60))),
                "/go-on" => {
                    responder.respond(Response::new(202));
                    return assert!(self.release.wait(Duration::from_secs(60)));
                }
                _ => {}
            }
            responder.respond(Response::new(204));
        }
    }

    /// Keeps the backtraces of panics that tests ask for out of their output, and the time that they take.
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
        desk: Arc<Desk>,
    }

    impl Bench {
        fn new() -> Bench {
            hide_intended_panics();
            Bench { pool: Pool::start(QUEUE).unwrap(), desk: Arc::new(Desk { release: CancelToken::new() }) }
        }

        fn submit(&self, path: &str) -> Result<Waiter, Full> {
            self.submit_holding(path, Arc::new(()))
        }

        fn submit_holding(&self, path: &str, held: Arc<dyn Send + Sync>) -> Result<Waiter, Full> {
            let (responder, waiter) = Responder::pair();
            let head = Head {
                method: Method::Get,
                path: path.into(),
                query: None,
                headers: Headers::default(),
                peer: None,
                scheme: Scheme::Http,
            };
            let request = Request { head, body: Vec::new() };
            self.pool.submit(Job { handler: self.desk.clone(), request, responder, held }).map(|()| waiter)
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

    /// H3: what a request takes is given back when its handler is done with it, not when it is answered.
    #[test]
    fn what_a_request_takes_is_held_as_long_as_its_handler_runs() {
        let bench = Bench::new();
        let held = Arc::new(());
        let waiter = bench.submit_holding("/go-on", Arc::clone(&held) as _).unwrap();
        assert_eq!((bench.status(&waiter), Arc::strong_count(&held)), (202, 2));
        bench.desk.release.trip();
        assert!(bench.pool.stop(Duration::from_secs(60)));
        assert_eq!(Arc::strong_count(&held), 1);
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

    /// L1, H12: of a panic in our own code the place alone is logged.
    #[test]
    fn what_a_panic_says_is_logged_of_tools_only() {
        assert_eq!(loggable("Bearer mcp_at_x"), None);
        assert_eq!(trace::in_tool(|| loggable("no such row")), Some("no such row"));
        assert_eq!(loggable("Bearer mcp_at_x"), None);
    }

    #[test]
    fn blocked_workers_are_joined_by_others_up_to_the_limit_and_then_the_queue_fills() {
        let bench = Bench::new();
        let blocked: Vec<_> = (0..limits::WORKERS).map(|_| bench.submit("/wait").unwrap()).collect();
        // Answered although every worker there was at the start is blocked.
        let waiter = bench.submit("/").unwrap();
        assert_eq!(bench.status(&waiter), 204);

        let more: Vec<_> = std::iter::from_fn(|| bench.submit("/wait").ok()).take(QUEUE * 2).collect();
        assert!(more.len() >= QUEUE && more.len() <= QUEUE + limits::WORKERS_MAX);
        assert!(bench.pool.workers() <= limits::WORKERS_MAX);
        assert_eq!(bench.submit("/").err(), Some(Full));
        bench.desk.release.trip();
        for waiter in blocked.iter().chain(&more) {
            assert_eq!(bench.status(waiter), 204);
        }
    }

    /// H13: what waits is finished, what comes later is refused.
    #[test]
    fn stopping_finishes_the_queue_and_refuses_more() {
        let bench = Bench::new();
        let waiters: Vec<_> = (0..QUEUE).map(|_| bench.submit("/wait").unwrap()).collect();
        assert!(!bench.pool.stop(Duration::ZERO));
        assert_eq!(bench.submit("/").err(), Some(Full));
        bench.desk.release.trip();
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
}
