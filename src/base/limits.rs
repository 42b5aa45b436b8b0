//! Every number that bounds something, the unit in its name, and why it is what it is.

pub mod bridge;
pub mod service_token;
pub mod valkey;

use std::time::Duration;

// ---- the edge: one connection ----

/// The longest request target (bytes); longer is 414. Holds a sealed `client_id`, a redirect URI and a long `state`.
pub const TARGET_BYTES: usize = 8 * 1024;
/// The longest head, request line and header fields together (bytes); longer is 431.
pub const HEAD_BYTES: usize = 32 * 1024 + TARGET_BYTES;
/// The longest header field value but for cookies (bytes); longer is 431.
pub const HEADER_VALUE_BYTES: usize = 8 * 1024;
/// The most header fields; more is 431.
pub const HEADERS: usize = 100;
/// The longest chunk-size line: 16 hexadecimal digits, and extensions that are ignored (bytes).
pub const CHUNK_LINE_BYTES: usize = 16 + 256;
/// The longest trailer section, which is read and dropped (bytes).
pub const TRAILER_BYTES: usize = 4 * 1024;
/// How long a TLS handshake may take from the start of the connection to where requests can flow.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a head may take from its first byte to its last, however the bytes trickle.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long a body may take in all; the rate below may end it sooner.
pub const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// The slowest body that is still read (bytes a second), after a first grace of [`BODY_GRACE`].
pub const BODY_BYTES_PER_SECOND: u64 = 1024;
/// How long a body may be slower than [`BODY_BYTES_PER_SECOND`] at its start.
pub const BODY_GRACE: Duration = Duration::from_secs(5);
/// How long one write may make no progress before the connection is given up.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// The slowest reader of an answer that is still written to, once [`WRITE_STALL`] has passed (bytes a second).
pub const WRITE_BYTES_PER_SECOND: u64 = 4 * 1024;
/// The size of one read from a socket (bytes): most requests are one read.
pub const READ_BYTES: usize = 8 * 1024;
/// When a silent connection is probed by the kernel (seconds).
pub const TCP_KEEP_ALIVE_SECONDS: i32 = 60;
/// How long an idle connection is kept for its next request.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(15);
/// The part of a refused body that is read and discarded, so that the client reads the answer before the reset (bytes).
pub const DRAIN_BYTES: usize = 64 * 1024;
/// How long that takes at most, and how long the answer waits for a small body that was refused.
pub const DRAIN_TIME: Duration = Duration::from_secs(1);
/// The stack of a connection's thread (bytes): quick tools run on it. Only the pages that were touched are in memory.
pub const CONNECTION_STACK_BYTES: usize = 512 * 1024;

// ---- the edge: all connections ----

/// Connections at once, unless the operator says otherwise. One thread each: about 40 KiB, inside of TLS 80 KiB.
pub const CONNECTIONS: usize = 512;
/// The largest number of connections, streams or sessions that can be asked for: more threads than Linux gives by itself.
pub const CAPACITY_MAX: usize = 100_000;
/// Descriptors for what is not a connection: refused ones, the operator's, GitHub's, the table, and what tools open.
pub const DESCRIPTORS_BESIDE_CONNECTIONS: usize = 256;
/// Connections to the port for metrics: some monitors, and room for what other programs of this machine try.
pub const METRICS_CONNECTIONS: usize = 16;
/// How much later an answer above [`SMALL_ANSWER_BYTES`] counts as waiting for its reader: a caller who reads slowly is not as
/// idle as one who is silent. A smaller one, which anybody gets, does at once.
pub const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted or refused; the kernel may lower it. One too many waits a second or more before its
/// client asks again; this many are accepted in less.
pub const BACKLOG: i32 = 4096;
/// Refused connections that are kept until their clients have read the answer.
pub const REFUSED_CONNECTIONS: usize = 64;
/// How long the accept loop waits at most for a connection that has to make room: its thread is about to end.
pub const MAKE_ROOM_PAUSE: Duration = Duration::from_millis(100);
/// How long the accept loop rests after an error: long enough not to spin, short enough not to be missed.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Open streams at once, unless the operator says otherwise: fewer than [`CONNECTIONS`], so that logins find one.
pub const STREAMS: usize = 256;
/// Bodies above [`UNCHECKED_BODY_BYTES`], whose senders are known, all together (bytes).
pub const LARGE_BODY_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;
/// Large bodies of one user whose calls are not over: fewer than [`CALLS_PER_USER`], so that no few users hold all of the above.
pub const LARGE_BODIES_PER_USER: usize = 4;

// ---- the door for a trusted proxy ----

/// Requests that are answered at once besides open streams.
pub const TINY_THREADS_BESIDE_STREAMS: usize = 64;
/// The largest body of a request that may be dropped (bytes): tiny_http allocates what is missing of it, untouched.
pub const TINY_DROP_BYTES: usize = 64 * 1024 * 1024;
/// The time without a request after which it is checked whether tiny_http still accepts connections.
pub const TINY_LOOK: Duration = Duration::from_millis(200);
/// Checks in a row that find a connection waiting, after which tiny_http is taken to accept none.
pub const TINY_DEAD_LOOKS: u32 = 3;
/// The pause before a door is opened anew: long enough for descriptors to become free.
pub const TINY_REOPEN_PAUSE: Duration = Duration::from_millis(500);
/// How long the door may be opened in vain until it is given up, and for how long requests of connections that an earlier
/// opening accepted are waited for.
pub const TINY_LOST: Duration = Duration::from_secs(5);
/// Descriptors of one connection: tiny_http reads with one and writes with another.
pub const TINY_DESCRIPTORS_PER_CONNECTION: usize = 2;

// ---- bodies and JSON ----

/// A form or a client registration (bytes).
pub const FORM_BYTES: usize = 16 * 1024;
/// A JSON-RPC message from a caller whose token was checked on the head (bytes).
pub const MCP_BYTES: usize = 4 * 1024 * 1024;
/// A body whose sender's token is not looked at before it is read (bytes).
pub const UNCHECKED_BODY_BYTES: usize = 64 * 1024;
/// The deepest JSON that is parsed.
pub const JSON_DEPTH: usize = 64;
/// The most members and elements of one JSON text.
pub const JSON_VALUES: usize = 100_000;
/// Members of an object that is kept member by member: params, `_meta`, a result. Each costs an allocation, and those of a call are
/// kept as long as it runs; no message has a tenth of them.
pub const MEMBERS: usize = 256;
/// The longest JSON-RPC id (bytes): ids are kept while their call runs.
pub const REQUEST_ID_BYTES: usize = 256;

// ---- the queue and its workers ----

/// Workers that always run.
pub const WORKERS: usize = 4;
/// Workers at most, when tools or GitHub are slow: one for each that may be held for long, and [`WORKERS`] for all others.
pub const WORKERS_MAX: usize = WORKERS
    + CALLS
    + DOCUMENT_CALLERS
    + LOGIN_PLACES.1
    + LOGIN_WAITERS.1
    + REFRESH_PLACES.1
    + REFRESH_WAITERS.1;
/// How often a connection's thread lets others run, and looks for the answer, before it sleeps for it: one call by itself
/// takes half the time that way, and more looks gain nothing.
pub const ANSWER_YIELDS: usize = 3;
/// The stack of a worker (bytes): tools run on it.
pub const WORKER_STACK_BYTES: usize = 1024 * 1024;
/// How often a queue that does not move is looked at, while it is not empty.
pub const QUEUE_TICK: Duration = Duration::from_millis(20);
/// How long an extra worker waits for work before it ends.
pub const WORKER_IDLE: Duration = Duration::from_secs(10);
/// The time from the signal to stop to the end of the process, all of it together.
pub const DRAIN: Duration = Duration::from_secs(10);
/// How much of it running calls have to finish; what is left after it is cancelled.
pub const DRAIN_CALLS: Duration = Duration::from_secs(5);
/// The last sweep has at least this long: what a full disk did not take may be written now.
pub const LAST_SWEEP: Duration = Duration::from_secs(1);
/// How often expired grants, sessions and streams are looked for.
pub const SWEEP: Duration = Duration::from_secs(2);
/// Sweeps, about a minute of them, after which free memory is given back to the system.
pub const SWEEPS_A_TRIM: u32 = 30;

/// The steps in which metrics show how long answers took (microseconds): from a page out of memory to a slow GitHub.
pub const LATENCY_BUCKETS_MICROS: [u64; 8] =
    [250, 1_000, 5_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

// ---- the log ----

/// Lines that wait to be written; of these the last quarter for all but the lines of requests.
pub const LOG_LINES: usize = 4096;
/// How long the writer lets lines gather after the first: a busy server wakes it, and writes, two hundred times a second.
pub const LOG_GATHER: Duration = Duration::from_millis(5);
/// Lines that are written together at most.
pub const LOG_BATCH: usize = 64;
/// How long the end of the server waits for what is left of them.
pub const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// Lines a second for requests of which nobody has proven who asks; how many more there were is in the next.
pub const LOG_STRANGERS_PER_SECOND: u32 = 100;
/// Lines a second about lines that the audit log did not take, and about each kind of error of the grants table.
pub const FAILURES_PER_SECOND: u32 = 1;

// ---- streams ----

/// How often a silent stream says something, so that no proxy takes it for dead.
pub const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often a door looks whether the client of a running request is still there.
pub const CLIENT_CHECK: Duration = Duration::from_secs(1);
/// Events waiting for one slow reader; one more and the reader loses its stream.
pub const STREAM_EVENTS: usize = 256;
/// Bytes waiting for one slow reader; with more, the next event costs it its stream.
pub const STREAM_BYTES: usize = 1024 * 1024;
/// Answers that their clients have not read (bytes): of one user's streams and large answers, and of all. A machine with
/// half a gigabyte must bear this, [`REPLAY_BYTES_KEPT`], [`KEPT_BYTES`] and what is read of requests.
pub const UNREAD_BYTES: (usize, usize) = (8 * 1024 * 1024, 48 * 1024 * 1024);
/// Of each budget that users share, what a user may hold whatever others hold (bytes): some notices for one reader. A hundred
/// users who all hold it add 6 MiB to a budget, a thousand 64 MiB; a user has it as long as they hold something only.
pub const FLOOR_BYTES: usize = 64 * 1024;
/// An answer up to this size is not counted (bytes): there is one for each connection at most.
pub const SMALL_ANSWER_BYTES: usize = 64 * 1024;
/// The largest write of waiting chunks (bytes).
pub const STREAM_WRITE_BYTES: usize = 64 * 1024;
/// The kernel's buffer for a stream that its client does not read (bytes); the kernel doubles the figure.
pub const STREAM_SEND_BUFFER_BYTES: i32 = 64 * 1024;
/// How often a handler that says more than its client reads looks whether there is room again.
pub const STREAM_PACE: Duration = Duration::from_millis(5);
/// When a call that has not been answered becomes a stream: some clients hold a lock until the headers arrive.
pub const SLOW_CALL: Duration = Duration::from_millis(250);

// ---- MCP ----

/// Sessions at once, unless the operator says otherwise; when there are as many, the user with most of them makes room.
pub const SESSIONS: usize = 1000;
/// Sessions of one user, unless the operator says otherwise.
pub const SESSIONS_PER_USER: usize = 32;
/// The longest session id that is looked into (bytes); ours have about 120.
pub const SESSION_ID_BYTES: usize = 512;
/// Sessions that are remembered as ended by their clients.
pub const SESSIONS_ENDED: usize = 4096;
/// How long a session is kept in memory without a request or an open stream.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// Streams of one user that belong to no call, those included that a client left less than [`CLIENT_CHECK`] ago, unless the
/// operator says otherwise.
pub const STREAMS_PER_USER: usize = 24;
/// Sessions and streams that one user opens in a minute: far above what a person's clients do that open one for each call.
pub const OPENINGS: u32 = 600;
/// Calls of one user that run at once: a few users together do not hold all of [`CALLS`].
pub const CALLS_PER_USER: usize = 8;
/// How long a call may run, its questions to the person included.
pub const CALL: Duration = Duration::from_secs(15 * 60);
/// Calls that run at once; fewer than [`WORKERS_MAX`], so that slow tools leave workers for logins. A bridged call that waits for
/// the next request of its client is not one of them: [`bridge::QUESTIONS_WAITING`] bounds those.
pub const CALLS: usize = 48;
/// Lists that run at once, of one user and in all, besides [`CALLS`]: those of this process take no time, those of a server behind
/// the bridge as long as that likes.
pub const LISTS: (usize, usize) = (16, 96);
/// Events kept of a stream for `Last-Event-ID`; fewer than [`STREAM_EVENTS`], so that a new reader has room for all.
pub const REPLAY_EVENTS: usize = 128;
/// Bytes kept of a stream for `Last-Event-ID`.
pub const REPLAY_BYTES: usize = 1024 * 1024;
/// How long a finished stream can still be replayed, and a call goes on whose stream nobody reads.
pub const REPLAY_TIME: Duration = Duration::from_secs(5 * 60);
/// Streams of one session that are kept for `Last-Event-ID`, running ones included.
pub const REPLAY_STREAMS: usize = 32;
/// Bytes kept of the streams of one user, and of all; beyond that a stream keeps nothing.
pub const REPLAY_BYTES_KEPT: (usize, usize) = (4 * 1024 * 1024, 64 * 1024 * 1024);
/// How long a client is to wait before it takes up a broken stream again.
pub const STREAM_RETRY: Duration = Duration::from_secs(1);
/// How long a tool waits for what it asked of the client: a person may have to answer.
pub const ASK: Duration = Duration::from_secs(5 * 60);
/// How long a `requestState` is good for, for the same reason.
pub const REQUEST_STATE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The longest `requestState` (bytes): earlier answers travel in it.
pub const REQUEST_STATE_BYTES: usize = 256 * 1024;
/// How long a task is kept, running or over: an answer may be wanted long after the work is done.
pub const TASK_LIFETIME: Duration = Duration::from_secs(3600);
/// How often a client should ask how its task is.
pub const TASK_POLL: Duration = Duration::from_secs(1);
/// Tasks at once, those included that are over.
pub const TASKS: usize = 1000;
/// Tasks of one user; more than [`CALLS_PER_USER`], so that one which is over can make room.
pub const TASKS_PER_USER: usize = 64;
/// Tasks that run, of one user and of all: they run for up to [`TASK_LIFETIME`], and must leave calls their places
/// ([`CALLS_PER_USER`], [`CALLS`]).
pub const TASKS_RUNNING: (usize, usize) = (4, 24);
/// The answer to one call, a task's result included (bytes): as much as its request may take.
pub const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Results of tasks and subscriptions kept for one user, and for all (bytes).
pub const KEPT_BYTES: (usize, usize) = (8 * 1024 * 1024, 32 * 1024 * 1024);
/// The part of its subject that an error's text repeats (characters): this many from the start, and as many from the end.
pub const ECHOED_CHARS: usize = 100;
/// Resources that one session or one listener is told about.
pub const SUBSCRIPTIONS: usize = 128;
/// How long a client may rely on a list that it has read; changes are announced before.
pub const LIST_TTL: Duration = Duration::from_secs(60);
/// The most completion values of one answer (MCP, completion).
pub const COMPLETION_VALUES: usize = 100;

// ---- OAuth ----

/// From the consent page to GitHub's answer.
pub const LOGIN_LIFETIME: Duration = Duration::from_secs(600);
/// How long a person stays signed in to their account page: long enough to read a list and end something.
pub const ACCOUNT_LIFETIME: Duration = Duration::from_secs(600);
/// An authorization code.
pub const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// An access token.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// The lifetime of an unused refresh token.
pub const REFRESH_IDLE: Duration = Duration::from_secs(30 * 86_400);
/// A grant, however often it is refreshed.
pub const GRANT_LIFETIME: Duration = Duration::from_secs(90 * 86_400);
/// How long after a refresh the token that it replaced is still good, unless its successor was used: clients with one login in
/// several processes. As long as an access token, so each process comes back in time.
pub const REFRESH_GRACE: Duration = ACCESS_TOKEN_LIFETIME;
/// How much of that needs no line in the log: lost answers, parallel refreshes.
pub const REFRESH_RETRY: Duration = Duration::from_secs(60);
/// How often a write that lost a race is tried again.
pub const STORE_ATTEMPTS: usize = 16;
/// How long before GitHub's token expires it is exchanged.
pub const UPSTREAM_MARGIN: Duration = Duration::from_secs(60);
/// How long a grant is refreshed on the policy's last yes while GitHub does not answer.
pub const POLICY_GRACE: Duration = Duration::from_secs(24 * 3600);
/// Grants of one user; the least recently used one makes room.
pub const GRANTS_PER_USER: usize = 100;
/// Grants of one user that keep a token of GitHub, which ends the oldest of more than ten tokens of a person and scope.
pub const GITHUB_TOKENS_PER_USER: usize = 10;
/// Endings of grants that wait until the table can be read: of one person, of all.
pub const WAITING_ENDINGS: (usize, usize) = (16, 256);
/// The client's `state` (bytes).
pub const STATE_BYTES: usize = 4 * 1024;
/// The `scope` parameter (bytes).
pub const SCOPE_BYTES: usize = 1024;
/// The `resource` parameter and a redirect URI (bytes).
pub const URI_BYTES: usize = 2048;
/// Registrations in an hour from one sender, unless the operator says otherwise: hosted clients register all their users from a
/// few addresses. There is no limit for all: a registration costs what a refusal costs and leaves nothing behind.
pub const REGISTRATIONS: usize = 600;
/// Answers on the consent page in ten minutes from one sender. There is no limit for all: most strangers never come back.
pub const LOGINS: u32 = 30;
/// Browsers sent to GitHub for the account page in ten minutes from one sender.
pub const SIGN_INS: u32 = 10;
/// Logins and sign-ins about which GitHub is asked: a burst, and the rate per hour. Any hour has at most twice as many;
/// GitHub allows an app 2000.
pub const LOGINS_AT_GITHUB: u32 = 950;
/// Failed ones of these in an hour from one sender: it takes some fifty senders to use up what all share.
pub const FAILED_LOGINS: u32 = 20;
/// Logins of one user in an hour that count as successful.
pub const LOGINS_PER_USER: u32 = 60;
/// Failed client authentications and token requests in ten minutes from one sender. There is no limit for all: it would
/// hide from others why they failed, and a client that is not told cannot log in again.
pub const TOKEN_FAILURES: u32 = 60;
/// Logins that are over and remembered, so that none ends twice: of one sender, of all. More than [`LOGINS`] and [`SIGN_INS`]
/// let the senders of one IPv6 /48 end while one would open (480).
pub const SPENT_LOGINS: (usize, usize) = (512, 4096);
/// Parameters of a form; no honest one has a third of them.
pub const FORM_PARAMETERS: usize = 64;
/// How many senders' worth the senders of one IPv6 /48 have together: a site has 65,536 /64s.
pub const SENDERS_PER_SITE: u32 = 4;
/// Keys of which a rate is kept, for each rate: senders, users.
pub const RATE_KEYS: usize = 4096;
/// Redirect URIs that are kept of a registration.
pub const REDIRECT_URIS: usize = 10;
/// All of them together (bytes): they travel in its `client_id`.
pub const REDIRECT_URIS_BYTES: usize = 3072;
/// The deepest JSON of a client's metadata: `jwks` holds keys that hold certificates, and nothing is deeper.
pub const METADATA_DEPTH: usize = 8;
/// The most members and elements of a client's metadata; the bytes bound it as well.
pub const METADATA_VALUES: usize = 1000;
/// The longest client name that is kept (characters).
pub const CLIENT_NAME_CHARS: usize = 100;
/// The id of a client that the operator configures (bytes).
pub const CONFIGURED_ID_BYTES: usize = 100;
/// The shortest secret of such a client (bytes).
pub const CONFIGURED_SECRET_BYTES: usize = 32;
/// Logins that one browser may have under way; the oldest makes room.
pub const LOGINS_PER_BROWSER: usize = 8;

// ---- client metadata documents ----

/// The longest name of the DNS (bytes).
pub const DNS_NAME_BYTES: usize = 253;
/// A client's metadata document (bytes), as the draft advises.
pub const DOCUMENT_BYTES: usize = 5 * 1024;
/// The head of the answer that brings it (bytes).
pub const DOCUMENT_HEAD_BYTES: usize = 16 * 1024;
/// Looking for a document, from the name to the last byte.
pub const DOCUMENT_FETCH: Duration = Duration::from_secs(5);
/// Of that, for the name: ours is looked up as well.
pub const DOCUMENT_RESOLVE: Duration = Duration::from_secs(3);
/// Documents that are fetched at once, of one sender (an IPv4 address, a /48 of IPv6) one.
pub const DOCUMENT_FETCHES: usize = 8;
/// Logins that look for a document at once: those that fetch, and those that wait for another's document or for their turn. Each
/// holds a worker.
pub const DOCUMENT_CALLERS: usize = 40;
/// How long such a login waits: until one fetch ends, then another.
pub const DOCUMENT_WAIT: Duration = Duration::from_secs(10);
/// Documents that are remembered; the sender with most of them makes room.
pub const DOCUMENTS: usize = 1000;
/// The shortest and the longest time for which a document is fresh, whatever its Cache-Control says.
pub const DOCUMENT_LIFETIME: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
/// How long after that it is used if its host does not answer: an outage of a day keeps nobody out.
pub const DOCUMENT_STALE: Duration = Duration::from_secs(86_400);
/// Documents in ten minutes that one sender may have us fetch, or wait for in vain. There is no limit for all, which a few senders
/// could use up.
pub const DOCUMENT_LOOKUPS: u32 = 30;

// ---- GitHub ----

/// Connecting to GitHub.
pub const GITHUB_CONNECT: Duration = Duration::from_secs(5);
/// One call to GitHub in all.
pub const GITHUB_CALL: Duration = Duration::from_secs(10);
/// An answer of GitHub (bytes).
pub const GITHUB_BYTES: usize = 256 * 1024;
/// Logins about which GitHub is asked at once, of one sender and of all; nothing else takes these places.
pub const LOGIN_PLACES: (usize, usize) = (12, 24);
/// Logins that wait for such a place: with those that have one, as many of a sender as they may start in ten minutes.
pub const LOGIN_WAITERS: (usize, usize) = (24, 48);
/// Refreshes for which GitHub is asked at once, and tokens given back to it, of one user and of all.
pub const REFRESH_PLACES: (usize, usize) = (4, 16);
/// Refreshes that wait for such a place, of one user and of all.
pub const REFRESH_WAITERS: (usize, usize) = (8, 32);
/// How long they wait for it: people and clients have more patience than that.
pub const PLACE_PATIENCE: Duration = Duration::from_secs(5);
/// Callers whom GitHub asked to slow down and who are remembered; the one that may go on soonest makes room.
pub const GITHUB_PAUSES: usize = 256;
/// How long nothing is asked of GitHub for a caller whom it refused without saying how long to wait. GitHub: "at least one minute".
pub const GITHUB_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that GitHub can ask for; after it, one call finds out.
pub const GITHUB_PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// GitHub's code in a callback (bytes): 20 today.
pub const GITHUB_CODE_BYTES: usize = 256;
/// GitHub's access token (bytes): about 40 today, 520 announced.
pub const GITHUB_TOKEN_BYTES: usize = 1024;

// ---- the store ----

/// Keys in the key file: each costs an attempt on every value that none of them sealed.
pub const KEYS: usize = 8;
/// Grants kept in memory, about 1 KiB each: four times [`SESSIONS`], so that every caller who is active finds their grant
/// here; others are read from the table.
pub const CACHED_GRANTS: usize = 4096;
/// The database's own cache of pages (bytes): the upper levels of the trees of some 100,000 grants.
pub const DATABASE_CACHE_BYTES: usize = 2 * 1024 * 1024;
/// Grants that are deleted in one transaction: of those that are over, the next sweep goes on; of a denied client's, the next
/// transaction.
pub const SWEEP_BATCH: usize = 256;
/// How long a grant stays in the table after its end, in the process's monotonic time: a clock that jumps ahead and back
/// deletes nothing. Grants whose code was never redeemed are not kept.
pub const EXPIRED_KEPT: Duration = Duration::from_secs(3600);
/// A clock further behind the newest record is taken for wrong: tokens issued by it would have expired once it is set.
pub const CLOCK_BEHIND: Duration = Duration::from_secs(86_400);
/// How long after its start a server with such a clock issues nothing. If the clock is still the same then, the record is
/// taken for wrong.
pub const CLOCK_WAIT: Duration = Duration::from_secs(600);
/// When clients and people are to ask again meanwhile.
pub const CLOCK_RETRY: Duration = Duration::from_secs(30);
/// When clients are to ask again while the table cannot be read or written.
pub const STORE_RETRY: Duration = Duration::from_secs(5);

/// The longest answer that an operator's command reads (bytes): room for the summaries of 100,000 grants.
pub const OPERATOR_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// How long `health` waits for its answer: less than the ten seconds that a container's runtime gives it.
pub const HEALTH: Duration = Duration::from_secs(5);
/// The longest path of the operator's socket (bytes): Linux takes 107, and it is bound as `….new`.
pub const SOCKET_PATH_BYTES: usize = 103;

// ---- the simulated GitHub ----

/// Codes and tokens that the simulated GitHub remembers, of each; the oldest makes room.
pub const SIMULATED_RECORDS: usize = 256;

// ---- configuration ----

/// A file of the operator (bytes): a system's whole bundle of certificates has 220,000.
pub const FILE_BYTES: usize = 1024 * 1024;
/// The longest login of a GitHub account or organisation (bytes).
pub const LOGIN_BYTES: usize = 39;

// ---- the demo's tools ----

/// The longest pause that `start-notification-stream` makes (milliseconds).
pub const DEMO_INTERVAL_MILLIS: u64 = 1000;
/// The most notifications that it sends: a call holds a worker.
pub const DEMO_NOTIFICATIONS: u32 = 200;
