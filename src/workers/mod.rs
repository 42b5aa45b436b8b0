//! The bounded queue between the doors and the application, and the workers that empty it.
//!
//! [`limits::WORKERS`] workers always run. A handler may block (a tool, a call to GitHub), so a supervisor adds workers
//! while the queue does not move, up to [`limits::WORKERS_MAX`]; it sleeps while the queue is empty. Nothing here uses
//! sockets.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, after, bounded};

use crate::base::log::{self, Field};
use crate::base::{Mutex, Quota, clock, limits, trace};
use crate::http::{Blocking, Responder, Ticket, Waiter};

/// A request in transit to a worker.
struct Job {
    work: Blocking,
    _served: Served,
    /// The request's shares of bounded budgets. Kept until `work` has returned, which may be long after the answer if that is a
    /// stream, or if the client has disconnected.
    _held: Arc<dyn Send + Sync>,
}

/// Held by each request that waits for a worker or runs: the clones are counted.
type Served = Arc<()>;

/// The queue is full, or closed because the server is stopping: the door answers 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The queue and its workers.
pub struct Pool {
    /// The sending end. Dropping it closes the queue: workers finish the waiting jobs and end.
    jobs: Mutex<Option<Sender<Box<Job>>>>,
    /// Wakes the supervisor, which ends when this is dropped.
    wake: Sender<()>,
    shared: Arc<Shared>,
    served: Served,
    /// Guards the door thread that handled the last request.
    last_door: Mutex<Option<ThreadId>>,
}

struct Shared {
    queue: Receiver<Box<Job>>,
    /// Number of jobs taken by workers since the start: shows the supervisor whether the queue moves.
    taken: AtomicU64,
    workers: Arc<Quota<()>>,
    /// The number of workers started so far, for their names.
    started: AtomicUsize,
}

impl Pool {
    /// Starts the workers. At most `queue` requests wait for one.
    ///
    /// # Errors
    /// The operating system cannot start the threads.
    pub fn start(queue: usize) -> io::Result<Pool> {
        let (sender, queue) = bounded(queue);
        let shared = Arc::new(Shared {
            queue,
            taken: AtomicU64::new(0),
            workers: Quota::in_total(limits::WORKERS_MAX),
            started: AtomicUsize::new(0),
        });
        for _ in 0..limits::WORKERS {
            shared.spawn_worker(None)?;
        }
        let watched = Arc::clone(&shared);
        let (wake, woken) = bounded(1);
        // Ends when the pool, which holds the only sender, is dropped.
        thread::Builder::new().name("supervisor".to_owned()).spawn(move || watched.supervise(&woken))?;
        let (jobs, served, last_door) = (Mutex::new(Some(sender)), Served::default(), Mutex::default());
        Ok(Pool { jobs, wake, shared, served, last_door })
    }

    /// Permission to run the quick part of a request on this thread, that of its door: if the request is forwarded to a peer, or no
    /// other is being served and this thread handled the last one as well. While several are busy, door threads that serve would delay
    /// workers and clients.
    pub fn place_at_door(&self, ticket: &Ticket) -> Option<Served> {
        let place = Arc::clone(&self.served);
        // This clone and the pool's own. Of two threads that ask at once, one or none is alone: if none, workers serve both requests.
        let is_alone = Arc::strong_count(&place) == 2;
        let this = Some(thread::current().id());
        let last = std::mem::replace(&mut *self.last_door.lock(), this);
        (ticket.passes_on || (is_alone && last == this)).then_some(place)
    }

    /// Serves a whole request; never waits. With a place, [`Ticket::run`] runs on this thread, and the work that it returns is queued for
    /// a worker; without one, all is queued. `counted` is the memory budget of the body. It is released together with the ticket's own
    /// shares, when the request is answered and all work of the ticket has returned.
    ///
    /// # Errors
    /// [`Full`].
    pub fn serve(
        &self,
        place: Option<Served>,
        ticket: Ticket,
        (body, counted): (Vec<u8>, impl Send + Sync + 'static),
    ) -> Result<Waiter, Full> {
        // A chunked body may turn out to be small.
        let place_of_large = (body.len() > limits::UNCHECKED_BODY_BYTES).then_some(ticket.place);
        let held: Arc<dyn Send + Sync> = Arc::new((counted, place_of_large));
        let (mut responder, waiter) = Responder::pair();
        responder.held = Some(Arc::clone(&held));
        let run = move || (ticket.run)(body, responder);
        let work: Option<Blocking> = match place {
            Some(_place) => catch_panic(run).flatten(),
            None => Some(Box::new(|| run().into_iter().for_each(|rest| rest()))),
        };
        let Some(work) = work else { return Ok(waiter) };
        let job = Box::new(Job { work, _served: Arc::clone(&self.served), _held: held });
        let queued = match &*self.jobs.lock() {
            Some(jobs) => jobs.try_send(job).map_err(TrySendError::into_inner),
            None => Err(job),
        };
        if let Err(_refused) = queued {
            waiter.door_answers(503);
            return Err(Full);
        }
        if !self.shared.queue.is_empty() {
            // Full: the supervisor has been woken, and looks at the queue after it has taken that token.
            let _ = self.wake.try_send(());
        }
        Ok(waiter)
    }

    /// The number of requests that wait for a worker.
    pub fn waiting(&self) -> usize {
        self.shared.queue.len()
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.shared.workers.held()
    }

    /// Closes the queue, lets the workers finish the jobs in it, and waits up to `patience` until all have ended. Returns whether all
    /// jobs are done; a worker that the supervisor starts even now finds none.
    pub fn stop(&self, patience: Duration) -> bool {
        drop(self.jobs.lock().take());
        self.shared.workers.wait_below(1, patience)
    }
}

impl Shared {
    /// Sleeps until it is woken because a job waits. Then checks every [`limits::QUEUE_TICK`] whether the queue moves, until it is empty.
    /// So it wakes once per tick at most, even if many jobs wait only briefly.
    fn supervise(self: Arc<Shared>, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            let mut taken_before = self.taken.load(Ordering::Relaxed);
            loop {
                let _ = after(limits::QUEUE_TICK).recv();
                let taken_now = self.taken.load(Ordering::Relaxed);
                let moved = taken_now.wrapping_sub(taken_before);
                taken_before = taken_now;
                for _ in 0..wanted_workers(self.queue.len(), moved) {
                    if self.spawn_worker(Some(clock::instant() + limits::WORKER_IDLE)).is_err() {
                        break;
                    }
                }
                if self.queue.is_empty() {
                    break;
                }
            }
        }
    }

    /// Starts a worker, which ends when the queue is closed, or when it is empty after `needed_until`.
    fn spawn_worker(self: &Arc<Shared>, needed_until: Option<Instant>) -> io::Result<()> {
        let counted = self.workers.take(()).ok_or(io::ErrorKind::WouldBlock)?;
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(self);
        // Ends when the queue is closed and empty; a temporary worker earlier, see `Shared::work`.
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .stack_size(limits::WORKER_STACK_BYTES)
            .spawn(move || {
                shared.work(needed_until);
                drop(counted);
            })
            .map(drop)
    }

    fn work(&self, needed_until: Option<Instant>) {
        // An extra worker ends the first time that it finds the queue empty after this. If the time were reset by each job, no
        // worker would ever end under a light load: the jobs are spread over all of them.
        let next = || match needed_until {
            None => self.queue.recv().ok(),
            Some(time) => self.queue.recv_deadline(time).ok(),
        };
        while let Some(job) = next() {
            self.taken.fetch_add(1, Ordering::Relaxed);
            let Job { work, _served, _held } = *job;
            catch_panic(work);
        }
    }
}

/// The number of workers to add, given the number of waiting jobs and of those taken in the last tick.
fn wanted_workers(waiting: usize, moved: u64) -> usize {
    match u64::try_from(waiting) {
        Ok(0) => 0,
        _ if moved == 0 => waiting, // every worker is blocked
        Ok(waiting) if moved >= waiting => 0,
        Ok(_) | Err(_) => 1,
    }
}

const PANICKED: &str =
    "a bug in the code that the line `panic` before this one names: please report it to its authors";

/// A panic ends the request with the 500 of its dropped responder, not the thread (H12).
fn catch_panic<R>(work: impl FnOnce() -> R) -> Option<R> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.inspect_err(|_| log::error("request.panicked", &[Field::Hint(PANICKED)])).ok()
}

/// Logs panics by their location in the code, and those in tools with their message.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let (text, payload) = (panic.payload().downcast_ref::<String>(), panic.payload());
        let said = text.map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        let said = said.and_then(loggable).map(Field::Error);
        log::error("panic", &[Field::Path(&place)].into_iter().chain(said).collect::<Vec<_>>());
    }));
}

/// The message of a panic, if it may be logged: that of a tool, which its author wrote. A message of our own code may quote a
/// request or a secret.
fn loggable(message: &str) -> Option<&str> {
    trace::is_in_tool().then_some(message)
}

#[cfg(test)]
mod tests;
