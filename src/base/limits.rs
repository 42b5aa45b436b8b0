//! All limits, timeouts and intervals: the unit in the name, the reason for the value in the comment.

pub mod bridge;
pub mod service_token;
pub mod valkey;

use std::time::Duration;

// ---- the edge: one connection ----

/// The longest request target (bytes); longer is 414. Holds a sealed `client_id`, a redirect URI and a long `state`.
pub const TARGET_BYTES: usize = 8 * 1024;
/// The longest head, request line and header fields together (bytes); longer is 431.
pub const HEAD_BYTES: usize = 32 * 1024 + TARGET_BYTES;
/// The longest header field value except cookies (bytes); longer is 431.
pub const HEADER_VALUE_BYTES: usize = 8 * 1024;
/// The most header fields; more is 431.
pub const HEADERS: usize = 100;
/// The longest chunk-size line: 16 hexadecimal digits, and extensions that are ignored (bytes).
pub const CHUNK_LINE_BYTES: usize = 16 + 256;
/// The longest trailer section, which is read and dropped (bytes).
pub const TRAILER_BYTES: usize = 4 * 1024;
/// Timeout of a request head, from its first byte to its last, and of a TLS handshake, from the start of the connection.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Timeout of a whole request body; the minimum rate below may end it sooner.
pub const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// The minimum rate of a request body (bytes per second), after [`BODY_GRACE`].
pub const BODY_BYTES_PER_SECOND: u64 = 1024;
/// The time at the start of a body without a minimum rate.
pub const BODY_GRACE: Duration = Duration::from_secs(5);
/// Timeout of a write without progress; then the connection is closed.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// The minimum rate at which a client reads an answer, once [`WRITE_STALL`] has passed (bytes per second).
pub const WRITE_BYTES_PER_SECOND: u64 = 4 * 1024;
/// The size of one read from a socket (bytes): most requests are one read.
pub const READ_BYTES: usize = 8 * 1024;
/// The time for which an idle connection is kept open for its next request.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(15);
/// The part of a refused body that is read and discarded, so that the client reads the answer before the reset (bytes).
pub const DRAIN_BYTES: usize = 64 * 1024;
/// Timeout of this reading, and the time for which the answer waits for a small body that was refused.
pub const DRAIN_TIME: Duration = Duration::from_secs(1);
/// The stack of a connection's thread (bytes): quick tools run on it. Only the pages that were touched are in memory.
pub const CONNECTION_STACK_BYTES: usize = 512 * 1024;

// ---- the edge: all connections ----

/// Connections at once, by default. One thread each: about 40 KiB, with TLS 80 KiB.
pub const CONNECTIONS: usize = 512;
/// The largest number of connections, streams or sessions that can be configured: more threads than Linux allows by default.
pub const CAPACITY_MAX: usize = 100_000;
/// File descriptors besides admitted connections: refused connections, the operator's, those to GitHub, the table, those of tools.
pub const DESCRIPTORS_BESIDE_CONNECTIONS: usize = 256;
/// Connections to the port for metrics: several monitors, and a reserve because any program of this machine can connect.
pub const METRICS_CONNECTIONS: usize = 16;
/// The time for which a connection that writes an answer above [`SMALL_ANSWER_BYTES`] is not yet considered idle: a client that
/// reads slowly is evicted later than a silent one. Smaller answers, which anybody gets, have no such time.
pub const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// The listen backlog (connections); the kernel may lower it. Accepting as many takes less than the second after which clients retry.
pub const BACKLOG: i32 = 4096;
/// Refused connections that are kept until their clients have read the answer.
pub const REFUSED_CONNECTIONS: usize = 64;
/// Timeout of the accept loop's wait for the end of an evicted connection, whose thread is about to end.
pub const MAKE_ROOM_PAUSE: Duration = Duration::from_millis(100);
/// The pause of the accept loop after an error: long enough not to spin, short enough for clients not to notice.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Open streams at once, by default: fewer than [`CONNECTIONS`], so that logins find one.
pub const STREAMS: usize = 256;
/// The total size of the request bodies above [`UNCHECKED_BODY_BYTES`] in flight (bytes). Their senders are authenticated.
pub const LARGE_BODY_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;
/// Large bodies of one user whose calls are running: fewer than [`CALLS_PER_USER`], so that a few users cannot use up the total.
pub const LARGE_BODIES_PER_USER: usize = 4;

// ---- the door for a trusted proxy ----

/// Requests that are served concurrently, in addition to open streams.
pub const TINY_THREADS_BESIDE_STREAMS: usize = 64;
/// The largest body of a request that may be dropped (bytes): tiny_http allocates its unread rest, without touching the pages.
pub const TINY_DROP_BYTES: usize = 64 * 1024 * 1024;
/// The time without a request after which it is checked whether tiny_http still accepts connections.
pub const TINY_LOOK: Duration = Duration::from_millis(200);
/// Checks in a row with a connection waiting until tiny_http is considered to have stopped: longer than a busy machine delays a thread.
pub const TINY_DEAD_LOOKS: u32 = 10;
/// The pause before a door is reopened: long enough for descriptors to become free.
pub const TINY_REOPEN_PAUSE: Duration = Duration::from_millis(500);
/// The time of failed openings after which the door stays closed. Also the timeout for the next request on the connections that an
/// earlier opening accepted.
pub const TINY_LOST: Duration = Duration::from_secs(5);
/// Descriptors of one connection: tiny_http reads with one and writes with another.
pub const TINY_DESCRIPTORS_PER_CONNECTION: usize = 2;

// ---- bodies and JSON ----

/// The largest form or client registration (bytes).
pub const FORM_BYTES: usize = 16 * 1024;
/// The largest JSON-RPC message of a caller whose token was checked before the body is read (bytes).
pub const MCP_BYTES: usize = 4 * 1024 * 1024;
/// The largest body that is read before its sender is authenticated (bytes).
pub const UNCHECKED_BODY_BYTES: usize = 64 * 1024;
/// The deepest JSON that is parsed.
pub const JSON_DEPTH: usize = 64;
/// The most members and elements of one JSON text.
pub const JSON_VALUES: usize = 100_000;
/// Members of an object that is kept member by member: params, `_meta`, a result. Each costs an allocation, and those of a call are
/// kept as long as it runs; real messages have less than a tenth of them.
pub const MEMBERS: usize = 256;
/// The longest JSON-RPC id (bytes): ids are kept while their call runs.
pub const REQUEST_ID_BYTES: usize = 256;

// ---- the queue and its workers ----

/// Workers that always run.
pub const WORKERS: usize = 4;
/// Workers at most, when tools or GitHub are slow: one for each operation that may block for long, and [`WORKERS`] for all others.
pub const WORKERS_MAX: usize = WORKERS
    + CALLS
    + DOCUMENT_CALLERS
    + LOGIN_PLACES.1
    + LOGIN_WAITERS.1
    + REFRESH_PLACES.1
    + REFRESH_WAITERS.1;
/// Yields and polls of a connection's thread before it blocks for an answer: half the latency of a single call; more gain nothing.
pub const ANSWER_YIELDS: usize = 3;
/// The stack of a worker (bytes): tools run on it.
pub const WORKER_STACK_BYTES: usize = 1024 * 1024;
/// The interval at which a stalled queue is checked, while it is not empty.
pub const QUEUE_TICK: Duration = Duration::from_millis(20);
/// The age from which an extra worker ends when the queue is empty.
pub const WORKER_IDLE: Duration = Duration::from_secs(10);
/// The time from the signal to stop to the end of the process, in total.
pub const DRAIN: Duration = Duration::from_secs(10);
/// The part of [`DRAIN`] in which running calls may finish; those that remain are then cancelled.
pub const DRAIN_CALLS: Duration = Duration::from_secs(5);
/// The minimum time for the last sweep: writes that failed on a full disk may succeed now.
pub const LAST_SWEEP: Duration = Duration::from_secs(1);
/// The interval at which expired grants, sessions and streams are removed.
pub const SWEEP: Duration = Duration::from_secs(2);
/// The number of sweeps, about a minute of them, after which free memory is returned to the system.
pub const SWEEPS_A_TRIM: u64 = 30;

/// The upper bounds of the buckets of the latency histogram (microseconds): from a page out of memory to a slow call to GitHub.
pub const LATENCY_BUCKETS_MICROS: [u64; 8] =
    [250, 1_000, 5_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

// ---- the log ----

/// Queued lines. The last quarter is reserved for lines that are limited in rate, or cost a write to the disk each.
pub const LOG_LINES: usize = 4096;
/// The time for which the writer collects lines after the first: a busy server wakes it, and writes, at most 200 times per second.
pub const LOG_GATHER: Duration = Duration::from_millis(5);
/// The maximum number of lines in one write.
pub const LOG_BATCH: usize = 64;
/// The time for which the end of the server waits for the remaining lines to be written.
pub const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// Lines per second for unauthenticated requests. The next line has the number of those that were left out.
pub const LOG_STRANGERS_PER_SECOND: u32 = 100;
/// Refusals of one person or service token per minute that the audit log records: enough to see that they happen. The log has all.
pub const RECORDED_REFUSALS: u32 = 60;
/// The time for which a line waits for the reader of standard output, under the lock that all lines take (milliseconds).
pub const AUDIT_PATIENCE_MILLIS: i32 = 1000;
/// Lines per second about failed writes to the audit log, each kind of error of the grants table, and each upstream.
pub const FAILURES_PER_SECOND: u32 = 1;

// ---- streams ----

/// The interval of keep-alive messages on a silent stream, so that no proxy closes it as idle.
pub const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The interval at which a door checks that the client of a running request is still connected.
pub const CLIENT_CHECK: Duration = Duration::from_secs(1);
/// Events waiting for one slow reader; one more and the reader loses its stream.
pub const STREAM_EVENTS: usize = 256;
/// Bytes waiting for one slow reader; with more, the reader loses its stream at the next event. No question of a peer is longer.
pub const STREAM_BYTES: usize = 1024 * 1024;
/// Bytes of streams and large answers that clients have not read yet: per user, in total. A machine with half a gigabyte of memory
/// must have room for this, [`REPLAY_BYTES_KEPT`], [`KEPT_BYTES`] and the bodies of requests.
pub const UNREAD_BYTES: (usize, usize) = (8 * 1024 * 1024, 48 * 1024 * 1024);
/// The part of each shared budget that every user may hold even if the total is used up (bytes): some notifications for one reader.
/// A hundred users who all hold it add 6 MiB to a budget, a thousand 64 MiB. Nothing is reserved for users who hold nothing.
pub const FLOOR_BYTES: usize = 64 * 1024;
/// An answer up to this size is not counted (bytes): each connection has at most one.
pub const SMALL_ANSWER_BYTES: usize = 64 * 1024;
/// The largest write of waiting chunks (bytes).
pub const STREAM_WRITE_BYTES: usize = 64 * 1024;
/// The kernel's buffer for a stream that its client does not read (bytes); the kernel doubles the figure.
pub const STREAM_SEND_BUFFER_BYTES: i32 = 64 * 1024;
/// The interval at which a handler checks for room again after it has sent more than its client reads.
pub const STREAM_PACE: Duration = Duration::from_millis(5);
/// The time after which an unanswered call becomes a stream: some clients hold a lock until the headers arrive.
pub const SLOW_CALL: Duration = Duration::from_millis(250);

// ---- MCP ----

/// Sessions at once, by default; at the limit, the user with most of them loses one.
pub const SESSIONS: usize = 1000;
/// Sessions of one user, by default.
pub const SESSIONS_PER_USER: usize = 32;
/// The number of recorded sessions that their clients have ended.
pub const SESSIONS_ENDED: usize = 4096;
/// The time for which a session is kept in memory without a request or an open stream.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// Streams of one user that belong to no call, by default. Includes those whose client disconnected less than [`CLIENT_CHECK`] ago.
pub const STREAMS_PER_USER: usize = 24;
/// Sessions and streams that one user may open per minute: far above the need of clients that open one for each call.
pub const OPENINGS: u32 = 600;
/// Calls of one user that run at once, so that a few users cannot use up [`CALLS`].
pub const CALLS_PER_USER: usize = 8;
/// The maximum duration of a call, its questions to the person included.
pub const CALL: Duration = Duration::from_secs(15 * 60);
/// Calls that run at once; fewer than [`WORKERS_MAX`], so that slow tools leave workers for logins. A bridged call that waits for
/// the next request of its client is not one of them: [`bridge::QUESTIONS_WAITING`] bounds those.
pub const CALLS: usize = 48;
/// Lists that run at once, per user and in total, in addition to [`CALLS`]: those of this process take no time, those of a server
/// behind the bridge may take long.
pub const LISTS: (usize, usize) = (16, 96);
/// Answers of one user that are streams: of all calls and lists that may run, and of finished calls that are still being read.
pub const ANSWERS_PER_USER: usize = CALLS_PER_USER + LISTS.0 + CALLS_PER_USER;
/// Events kept of a stream for `Last-Event-ID`; fewer than [`STREAM_EVENTS`], so that a new reader has room for all.
pub const REPLAY_EVENTS: usize = 128;
/// Bytes kept of a stream for `Last-Event-ID`.
pub const REPLAY_BYTES: usize = 1024 * 1024;
/// The time for which a finished stream can be replayed, and for which a call goes on without a reader of its stream.
pub const REPLAY_TIME: Duration = Duration::from_secs(5 * 60);
/// Streams of one session that are kept for `Last-Event-ID`, running ones included.
pub const REPLAY_STREAMS: usize = 32;
/// Bytes kept of streams for `Last-Event-ID`, per user and in total; beyond that a stream keeps nothing.
pub const REPLAY_BYTES_KEPT: (usize, usize) = (4 * 1024 * 1024, 64 * 1024 * 1024);
/// The reconnection time of a broken stream, which its `retry` field announces.
pub const STREAM_RETRY: Duration = Duration::from_secs(1);
/// Timeout of a tool's question to its client: a person may have to answer.
pub const ASK: Duration = Duration::from_secs(5 * 60);
/// The lifetime of a `requestState`, for the same reason.
pub const REQUEST_STATE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The longest `requestState` (bytes): it contains earlier answers.
pub const REQUEST_STATE_BYTES: usize = 256 * 1024;
/// The lifetime of a task, running or finished: a client may fetch the result long after the work is done.
pub const TASK_LIFETIME: Duration = Duration::from_secs(3600);
/// The interval at which a client should poll its task.
pub const TASK_POLL: Duration = Duration::from_secs(1);
/// Tasks at once, finished ones included.
pub const TASKS: usize = 1000;
/// Tasks of one user; more than [`CALLS_PER_USER`], so that a finished one can be removed for a new one.
pub const TASKS_PER_USER: usize = 64;
/// Running tasks, per user and in total: they run for up to [`TASK_LIFETIME`], and must leave places for calls ([`CALLS`]).
pub const TASKS_RUNNING: (usize, usize) = (4, 24);
/// The largest answer to one call, a task's result included (bytes): the limit of requests.
pub const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Results of tasks and subscriptions that are kept, per user and in total (bytes).
pub const KEPT_BYTES: (usize, usize) = (8 * 1024 * 1024, 32 * 1024 * 1024);
/// The part of a client's text that an error repeats (characters): this many from the start, and as many from the end.
pub const ECHOED_CHARS: usize = 100;
/// Resource subscriptions of one session or one `subscriptions/listen`.
pub const SUBSCRIPTIONS: usize = 128;
/// The time for which a client may cache a list; changes are announced before.
pub const LIST_TTL: Duration = Duration::from_secs(60);
/// The most completion values of one answer (MCP, completion).
pub const COMPLETION_VALUES: usize = 100;

// ---- OAuth ----

/// The lifetime of a login, from the consent page to GitHub's callback.
pub const LOGIN_LIFETIME: Duration = Duration::from_secs(600);
/// The lifetime of a sign-in to the account page: long enough to read the list of grants and end some.
pub const ACCOUNT_LIFETIME: Duration = Duration::from_secs(600);
/// The lifetime of an authorization code.
pub const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// The lifetime of an access token.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// The lifetime of an unused refresh token.
pub const REFRESH_IDLE: Duration = Duration::from_secs(30 * 86_400);
/// The lifetime of a grant, regardless of refreshes.
pub const GRANT_LIFETIME: Duration = Duration::from_secs(90 * 86_400);
/// The time after a refresh in which the replaced token stays valid, unless its successor was used: for clients whose processes
/// share one login. As long as an access token, so that each process refreshes in time.
pub const REFRESH_GRACE: Duration = ACCESS_TOKEN_LIFETIME;
/// The part of [`REFRESH_GRACE`] in which a reuse is not logged: lost answers, parallel refreshes.
pub const REFRESH_RETRY: Duration = Duration::from_secs(60);
/// The number of attempts at a write that loses the race against others.
pub const STORE_ATTEMPTS: usize = 16;
/// The time before the expiry of GitHub's token at which it is refreshed.
pub const UPSTREAM_MARGIN: Duration = Duration::from_secs(60);
/// The time after the last positive decision of the policy in which a grant is refreshed although GitHub does not answer.
pub const POLICY_GRACE: Duration = Duration::from_secs(24 * 3600);
/// Grants of one user; at the limit, the least recently used one is ended.
pub const GRANTS_PER_USER: usize = 100;
/// Grants of one user that keep a GitHub token. GitHub revokes the oldest of more than ten tokens per user and scope.
pub const GITHUB_TOKENS_PER_USER: usize = 10;
/// Endings of grants that are queued while the table cannot be read: per person, in total.
pub const WAITING_ENDINGS: (usize, usize) = (16, 256);
/// The client's `state` (bytes).
pub const STATE_BYTES: usize = 4 * 1024;
/// An authorization request as JSON (bytes). Sealed, it is in the URLs of the login at GitHub, which hold [`TARGET_BYTES`] at most.
pub const AUTHORIZATION_BYTES: usize = STATE_BYTES + 768;
/// The `scope` parameter (bytes).
pub const SCOPE_BYTES: usize = 1024;
/// The `resource` parameter and a redirect URI (bytes).
pub const URI_BYTES: usize = 2048;
/// Registrations per hour and sender, by default: hosted clients register all their users from a few addresses. There is no limit
/// in total: a registration costs as much as a refusal and stores nothing.
pub const REGISTRATIONS: usize = 600;
/// Answers on the consent page per ten minutes and sender. There is no limit in total: most attempts never become a login.
pub const LOGINS: u32 = 30;
/// Redirects to GitHub for the account page per ten minutes and sender.
pub const SIGN_INS: u32 = 10;
/// Logins and sign-ins that call GitHub: the burst, and the rate per hour. Any hour has at most twice as many; GitHub allows 2000.
pub const LOGINS_AT_GITHUB: u32 = 950;
/// Failed ones of these per hour and sender: about fifty senders are needed to use up the total.
pub const FAILED_LOGINS: u32 = 20;
/// Logins of one user per hour that count as successful.
pub const LOGINS_PER_USER: u32 = 60;
/// Failed client authentications and token requests per ten minutes and sender. There is no limit in total: it would hide the
/// OAuth error from other clients, which need it to log in again.
pub const TOKEN_FAILURES: u32 = 60;
/// Recorded logins that are completed, so that none completes twice: per sender, in total. More than the senders of one IPv6 /48
/// can complete within [`LOGINS`] and [`SIGN_INS`] during the lifetime of one (480).
pub const SPENT_LOGINS: (usize, usize) = (512, 4096);
/// Parameters of a form; real forms have less than a third of them.
pub const FORM_PARAMETERS: usize = 64;
/// The allowance of all senders of one IPv6 /48 together, as a multiple of that of one sender: a site has 65,536 /64s.
pub const SENDERS_PER_SITE: u32 = 4;
/// Keys (senders, users) that each rate limit tracks.
pub const RATE_KEYS: usize = 4096;
/// Redirect URIs that are kept of a registration.
pub const REDIRECT_URIS: usize = 10;
/// Their total size (bytes): they are a part of the `client_id`.
pub const REDIRECT_URIS_BYTES: usize = 3072;
/// The most members and elements of a client's metadata; the bytes bound it as well.
pub const METADATA_VALUES: usize = 1000;
/// The longest client name that is kept (characters).
pub const CLIENT_NAME_CHARS: usize = 100;
/// The id of a client that the operator configures (bytes).
pub const CONFIGURED_ID_BYTES: usize = 100;
/// The shortest secret of such a client (bytes).
pub const CONFIGURED_SECRET_BYTES: usize = 32;
/// Concurrent logins of one browser; at the limit, the oldest is dropped.
pub const LOGINS_PER_BROWSER: usize = 8;

// ---- client metadata documents ----

/// The longest DNS name (bytes).
pub const DNS_NAME_BYTES: usize = 253;
/// The largest client metadata document (bytes), as the draft recommends.
pub const DOCUMENT_BYTES: usize = 5 * 1024;
/// Timeout of the fetch of a document, from the resolution of the name to the last byte.
pub const DOCUMENT_FETCH: Duration = Duration::from_secs(5);
/// The part of it for the resolution of names, which includes our own.
pub const DOCUMENT_RESOLVE: Duration = Duration::from_secs(3);
/// Concurrent fetches of documents; one per sender (an IPv4 address, a /48 of IPv6).
pub const DOCUMENT_FETCHES: usize = 8;
/// Concurrent look-ups of documents: those that fetch, and those that wait for a fetch or for their turn. Each holds a worker.
pub const DOCUMENT_CALLERS: usize = 40;
/// Timeout of such a wait: two fetches, one after the other.
pub const DOCUMENT_WAIT: Duration = Duration::from_secs(10);
/// Cached documents; at the limit, one of the sender with most of them is evicted.
pub const DOCUMENTS: usize = 1000;
/// The minimum and maximum time for which a document is fresh, regardless of its Cache-Control.
pub const DOCUMENT_LIFETIME: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
/// The time for which an expired document is used while its host does not answer: an outage of a day locks nobody out.
pub const DOCUMENT_STALE: Duration = Duration::from_secs(86_400);
/// Fetches of documents per ten minutes and sender, waits for a failing fetch included. A few senders could use up a limit in total.
pub const DOCUMENT_LOOKUPS: u32 = 30;

// ---- GitHub ----

/// Timeout of connecting to GitHub.
pub const GITHUB_CONNECT: Duration = Duration::from_secs(5);
/// Timeout of one call to GitHub, in total.
pub const GITHUB_CALL: Duration = Duration::from_secs(10);
/// The largest answer of GitHub (bytes).
pub const GITHUB_BYTES: usize = 256 * 1024;
/// Concurrent logins that call GitHub, per sender and in total; nothing else takes these places.
pub const LOGIN_PLACES: (usize, usize) = (12, 24);
/// Logins that wait for such a place, per sender and in total. With those that have one, room for all logins that a sender may
/// start in ten minutes.
pub const LOGIN_WAITERS: (usize, usize) = (24, 48);
/// Concurrent refreshes that call GitHub, and revocations of its tokens, per user and in total.
pub const REFRESH_PLACES: (usize, usize) = (4, 16);
/// Refreshes that wait for such a place, per user and in total.
pub const REFRESH_WAITERS: (usize, usize) = (8, 32);
/// Timeout of these waits: people and clients wait longer than that.
pub const PLACE_PATIENCE: Duration = Duration::from_secs(5);
/// Tracked callers that GitHub has asked to slow down; at the limit, the one whose pause ends first is evicted.
pub const GITHUB_PAUSES: usize = 256;
/// The pause of a caller that GitHub has asked to slow down without saying for how long. GitHub: "at least one minute".
pub const GITHUB_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that is kept if GitHub asks for more; the next call shows whether it has ended.
pub const GITHUB_PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// GitHub's code in a callback (bytes): 20 today.
pub const GITHUB_CODE_BYTES: usize = 256;
/// GitHub's access token (bytes): about 40 today, 520 announced.
pub const GITHUB_TOKEN_BYTES: usize = 1024;

// ---- the store ----

/// Keys in the key file: each costs a decryption attempt on every value that none of them sealed.
pub const KEYS: usize = 8;
/// Cached grants, about 1 KiB each: four times [`SESSIONS`], so that the grants of all active callers are cached.
pub const CACHED_GRANTS: usize = 4096;
/// The database's own cache of pages (bytes): the upper levels of the trees of some 100,000 grants.
pub const DATABASE_CACHE_BYTES: usize = 2 * 1024 * 1024;
/// Grants that are deleted in one transaction. The rest of the expired ones is left to the next sweep, that of a denied client's
/// to the next transaction. Grants with recorded lists that a sweep looks up, for each bridge.
pub const SWEEP_BATCH: usize = 256;
/// The time for which a grant stays in the table after its end, in the process's monotonic time: a clock that jumps ahead and back
/// deletes nothing. Grants whose code was never redeemed are not kept.
pub const EXPIRED_KEPT: Duration = Duration::from_secs(3600);
/// A clock that is further behind the newest record is considered wrong: tokens issued by it would have expired once it is set.
pub const CLOCK_BEHIND: Duration = Duration::from_secs(86_400);
/// The time after its start in which a server with such a clock issues nothing. If the clock is still behind afterwards, the
/// record is considered wrong.
pub const CLOCK_WAIT: Duration = Duration::from_secs(600);
/// `Retry-After` of answers meanwhile.
pub const CLOCK_RETRY: Duration = Duration::from_secs(30);
/// `Retry-After` of answers while the table cannot be read or written.
pub const STORE_RETRY: Duration = Duration::from_secs(5);

/// The longest answer that an operator's command reads (bytes): room for the summaries of 100,000 grants.
pub const OPERATOR_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Timeout of `health`: less than the ten seconds that a container's runtime allows.
pub const HEALTH: Duration = Duration::from_secs(5);
/// The longest path of the operator's socket (bytes): Linux takes 107, and it is bound as `….new`.
pub const SOCKET_PATH_BYTES: usize = 103;

// ---- the simulated GitHub ----

/// Codes, and deleted tokens, that the simulated GitHub keeps; at the limit, the oldest is dropped.
pub const SIMULATED_RECORDS: usize = 256;

// ---- configuration ----

/// The largest file of the operator (bytes): a system's whole bundle of certificates has 220,000.
pub const FILE_BYTES: usize = 1024 * 1024;
/// The longest login of a GitHub account or organisation (bytes).
pub const LOGIN_BYTES: usize = 39;

// ---- the demo's tools ----

/// The longest pause that `start-notification-stream` makes (milliseconds).
pub const DEMO_INTERVAL_MILLIS: u64 = 1000;
/// The most notifications that it sends: a call holds a worker.
pub const DEMO_NOTIFICATIONS: u32 = 200;
