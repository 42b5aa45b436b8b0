//! The bridge: programs that are started, and the servers that they are.

use std::time::Duration;

/// A line of a program's standard output (bytes): a message. Above what a client may get, so that an answer that is too large is an
/// error of its call alone.
pub const LINE_BYTES: usize = 8 * 1024 * 1024;
/// The messages of one batch of a peer.
pub const BATCH: usize = 1000;
/// Reads after a program's end: more than a pipe ever holds.
pub const LAST_READS: usize = 128;
/// Text on a program's standard output that is not JSON-RPC, and the time in which that much is a flood (bytes).
pub const NOISE: (usize, Duration) = (1024 * 1024, Duration::from_secs(60));
/// The part of a line of a program's standard error that is looked at (bytes).
pub const ERROR_LINE_BYTES: usize = 4 * 1024;
/// Lines of one program's standard error that are logged in a second.
pub const ERROR_LINES: u32 = 20;
/// Lines of it that are repeated in the line that tells of the program's end.
pub const LAST_LINES: usize = 5;
/// Messages that wait until a program reads them (bytes); one message alone may be larger.
pub const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// How long a program may leave its standard input unread while something waits there.
pub const STALL: Duration = Duration::from_secs(30);
/// From the end of its input to SIGTERM, for a program that is to end; from the end of its output to SIGKILL, for one that does not.
pub const CLOSE: Duration = Duration::from_secs(2);
/// From SIGTERM to SIGKILL.
pub const TERMINATE: Duration = Duration::from_secs(3);
/// Requests that run at one peer: above what one user may have running, for servers that several share, and lists, which are not
/// counted among a user's calls.
pub const REQUESTS: usize = 128;
/// Requests of clients at peers, of one user and in all: each holds a thread and a connection where the peer is an upstream. For one
/// user, room for the calls that run, as many that wait for answers, and lists.
pub const PASSED: (usize, usize) = (24, 128);
/// Requests of one peer to its client that wait for an answer.
pub const QUESTIONS: usize = 8;
/// The time after the cancellation of a call in which a peer that several clients share asks no other client.
pub const LATE_QUESTIONS: Duration = Duration::from_secs(60);
/// Rounds of questions of one call, for clients that are asked while they wait.
pub const ROUNDS: usize = 16;
/// The lifetime after which a program that fails is started again at once.
pub const STEADY: Duration = Duration::from_secs(60);
/// How long a start waits after the second failure in a row; twice as long after each further one, up to the longest.
pub const PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Callers of whom it is remembered what their program said of itself, or that it failed.
pub const SLOTS: usize = 512;
/// A peer's description of itself (bytes): it is kept for each caller.
pub const GREETING_BYTES: usize = 64 * 1024;
/// Questions of peers that wait for people, of one user and of all: each holds a thread, those of parked calls included.
pub const QUESTIONS_WAITING: (usize, usize) = (8, 64);
/// Requests that wait for the first start of their program, of one user and of all: each holds a worker.
pub const FIRST_CALLERS: (usize, usize) = (4, 24);
/// The stack of a bridge's threads (bytes): the deepest calls parse a message and complete a call.
pub const STACK_BYTES: usize = 256 * 1024;
/// Programs that run, of one person and in all, unless the operator says otherwise.
pub const PROGRAMS: (usize, usize) = (8, 64);
/// How long a program is kept that nobody uses, unless the operator says otherwise.
pub const IDLE: Duration = Duration::from_secs(600);
/// From the start of a program to its answer to `initialize`: `npx` and `uvx` fetch it first.
pub const START: Duration = Duration::from_secs(60);
/// Descriptors of one program: its pipes, its guardian's socket, a pipe that wakes its thread.
pub const DESCRIPTORS: usize = 8;
/// The shortest value of a variable that is hidden in the log (bytes): a shorter one is a word or a number like others.
pub const SECRET_BYTES: usize = 8;
/// Memory for the tools and prompts that a grant was listed (bytes): a thousand names, or a hundred tools with many mirrored
/// arguments.
pub const LISTED_BYTES: usize = 128 * 1024;
/// Pages of a list of tools that are read to find one.
pub const LIST_PAGES: usize = 16;
/// The longest name of them (bytes): what MCP allows the name of a tool.
pub const NAME_BYTES: usize = 128;

// ---- upstreams over HTTP ----

/// Messages that wait to be sent in their order.
pub const MESSAGES: usize = 256;
/// Looking up an upstream's name, and connecting to it, TLS included.
pub const CONNECT: Duration = Duration::from_secs(10);
/// How long a stream of changes is held before it is opened anew.
pub const LISTEN: Duration = Duration::from_secs(24 * 3600);
/// How long an upstream has to accept a notification.
pub const NOTIFY: Duration = Duration::from_secs(10);
/// The head of an upstream's answer (bytes).
pub const UPSTREAM_HEAD_BYTES: usize = 32 * 1024;
/// The part of an unsuccessful answer that is read (bytes).
pub const UPSTREAM_ERROR_BYTES: usize = 64 * 1024;
/// The longest event id that is sent back (bytes).
pub const EVENT_ID_BYTES: usize = 1024;
/// The shortest pause before a stream is taken up again.
pub const RETRY_MIN: Duration = Duration::from_millis(100);
/// Messages that one event stream of an upstream may bring before it is read with pauses.
pub const UNPACED_MESSAGES: usize = 100;
/// Such a pause: hardly noticed by a client, and long enough for many messages of an upstream that floods.
pub const READ_PACE: Duration = Duration::from_millis(2);
