//! Sends equal bytes to our edge, to nginx and to hyper: every request that ours accepts must be read as by one of them. It may refuse
//! more; it may never read anything differently from both. Usage: `differential NGINX [MUTATIONS]`.
//!
//! Each known difference is a line of [`class`]. Exit status 1 for any other difference.

mod corpus;
mod servers;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use servers::{FIELD, Nginx, Understood};

/// Streams that a reader refuses although they are unambiguous; ours may accept them. Identified by the refused request.
type Taste = fn(&Case, &Understood) -> bool;

/// nginx: methods are capital letters, targets are paths that stay below the root, with complete escapes and no `%00`; TRACE is
/// never answered; no TAB stands between a colon and a value. Here paths match byte for byte, methods too.
const NGINX: &[Taste] = &[
    |_, request| {
        !request.method.bytes().all(|b| b.is_ascii_uppercase() || b"_-".contains(&b))
            || request.method == "TRACE"
    },
    |_, request| {
        !request.target.starts_with('/') || ["..", "%"].iter().any(|part| request.target.contains(part))
    },
    |case, _| case.stream.windows(2).any(|pair| pair == b":\t"),
];

/// hyper: targets contain only the characters of URIs. Browsers leave some others unescaped in queries.
const HYPER: &[Taste] = &[|_, request| request.target.bytes().any(|b| b"\"<>\\^`{|}".contains(&b))];

/// The outcome of one stream.
struct Case {
    stream: Vec<u8>,
    ours: Vec<Understood>,
    nginx: Vec<Understood>,
    hyper: Vec<Understood>,
}

#[derive(Clone, Copy)]
struct Addresses {
    ours: SocketAddr,
    nginx: SocketAddr,
    hyper: SocketAddr,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let nginx = arguments.next().expect("usage: differential NGINX [MUTATIONS]");
    let mutations = arguments.next().map_or(60_000, |text| text.parse().expect("a number of mutations"));
    mcp_oauth_server::internals::raise_descriptor_limit();
    let ((_edge, ours), nginx) = (servers::ours(), Nginx::start(&nginx));
    let addresses = Addresses { ours, nginx: nginx.address, hyper: servers::hyper() };

    let streams = corpus::streams(mutations);
    let (next, classes) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<&str, Vec<Case>>::new()));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(stream) = streams.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = run(stream, addresses);
                    classes.lock().unwrap().entry(class(&case)).or_default().push(case);
                }
            });
        }
    });
    let classes = classes.into_inner().unwrap();
    println!(
        "{} streams, of them {} oddities and {mutations} mutations",
        streams.len(),
        streams.len() - mutations
    );
    for (class, cases) in &classes {
        println!("{:8}  {class}", cases.len());
    }
    let unexplained = classes.get(UNEXPLAINED).map_or(&[][..], Vec::as_slice);
    for case in unexplained.iter().take(20) {
        let text = String::from_utf8_lossy(&case.stream);
        println!("\n{text:?}\n  ours  {:?}\n  nginx {:?}\n  hyper {:?}", case.ours, case.nginx, case.hyper);
    }
    if unexplained.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A difference is retried with longer timeouts: a busy machine causes some.
fn run(stream: &[u8], addresses: Addresses) -> Case {
    let ask = |patience: Duration| Case {
        stream: stream.to_vec(),
        ours: send(stream, addresses.ours, patience),
        nginx: send(stream, addresses.nginx, patience),
        hyper: send(stream, addresses.hyper, patience),
    };
    let case = ask(Duration::from_secs(2));
    if class(&case) == UNEXPLAINED { ask(Duration::from_secs(10)) } else { case }
}

/// Another reader's result, relative to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    /// Equal requests.
    Same,
    /// Equal requests, and more after them.
    More,
    /// The first of them, then it refused.
    Less,
    /// Something else.
    Different,
}

impl Other {
    fn beside(ours: &[Understood], theirs: &[Understood]) -> Other {
        match (ours.starts_with(theirs), theirs.starts_with(ours)) {
            (true, true) => Other::Same,
            (false, true) => Other::More,
            (true, false) => Other::Less,
            (false, false) => Other::Different,
        }
    }
}

/// The class of difference that a case belongs to, and the reason why it is acceptable.
fn class(case: &Case) -> &'static str {
    use Other::{Different, Less, More, Same};
    let tasteful = |theirs: &[Understood], tastes: &[Taste]| {
        case.ours.get(theirs.len()).is_some_and(|refused| tastes.iter().any(|taste| taste(case, refused)))
    };
    match (Other::beside(&case.ours, &case.nginx), Other::beside(&case.ours, &case.hyper)) {
        (Different, _) | (_, Different) => UNEXPLAINED,
        (Same, Same) if case.ours.is_empty() => "refused by all three",
        (Same, Same) => "read the same by all three",
        (More, More) => "taken by both, refused by ours: what a lenient reader repairs (H1, H4, H11)",
        (More, Same) => {
            "taken by nginx, refused by ours and hyper: bare LF, spaces, odd names and versions (H4)"
        }
        (Same, More) => {
            "taken by hyper, refused by ours and nginx: two lengths, two codings, two hosts (H1, H4)"
        }
        (Less, Same | More) => "refused by nginx, read by ours as by hyper: the tastes of nginx",
        (Same | More, Less) => "refused by hyper, read by ours as by nginx: the tastes of hyper",
        (Less, Less) if tasteful(&case.nginx, NGINX) && tasteful(&case.hyper, HYPER) => {
            "refused by both, each for its own taste"
        }
        (Less, Less) => UNEXPLAINED,
    }
}

const UNEXPLAINED: &str = "UNEXPLAINED: read by ours as by neither";

/// The requests that the server at `address` reports to have read.
fn send(stream: &[u8], address: SocketAddr, patience: Duration) -> Vec<Understood> {
    let mut line = TcpStream::connect(address).unwrap();
    line.set_read_timeout(Some(patience)).unwrap();
    let mut said = Vec::new();
    // A server may close before everything was sent: its answers are there nevertheless.
    let sent = line.write_all(stream).and_then(|()| line.shutdown(Shutdown::Write));
    let mut piece = [0; 16 * 1024];
    loop {
        match line.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    drop(sent);
    let said = String::from_utf8_lossy(&said).to_lowercase();
    let fields = said.split("\r\n").filter_map(|line| line.strip_prefix(FIELD)?.strip_prefix(": "));
    fields.map(|text| Understood::decode(text).expect("a field of ours")).collect()
}
