//! The byte streams: unusual framings, one per line, and mutations of them, equal in each run.

/// The symbol for a line end, so that a stream fits on a line of this file.
const END: &str = "↵";

/// Each starts with a request for a path, and is followed by [`LAST`].
const ODDITIES: &str = include_str!("oddities.txt");

/// Ends every stream: a server that answers this has found the end of the requests before it.
pub(crate) const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The pieces that a mutation inserts or overwrites with, separated by bars.
const PIECES: &str = "↵|\\n|\\r| |\\t|\\l|é|:|,|;|0|1|5|a|\\0|\\v|\"|%|#|?|/|//|↵↵|0↵↵|↵ |Content-Length: 5↵|Content-Length: 0↵|\
                      Transfer-Encoding: chunked↵|Transfer-Encoding: identity↵|chunked|, chunked|Connection: close↵|\
                      Expect: 100-continue↵|Host: b↵|HTTP/1.0|HTTP/1.1|GET |POST |HEAD |http://a";

/// The unusual framings, and `count` mutations of them.
pub(crate) fn streams(count: usize) -> Vec<Vec<u8>> {
    let lines = ODDITIES.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    let oddities: Vec<Vec<u8>> = lines.map(bytes).collect();
    let pieces: Vec<Vec<u8>> = PIECES.split('|').map(bytes).collect();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mutations: Vec<Vec<u8>> = (0..count)
        .map(|_| {
            let mut stream = oddities[chance.below(oddities.len())].clone();
            for _ in 0..=chance.below(2) {
                mutate(&mut stream, &pieces[chance.below(pieces.len())], &mut chance);
            }
            stream
        })
        .collect();
    oddities.into_iter().chain(mutations).map(|stream| [stream, LAST.into()].concat()).collect()
}

/// The bytes of a line in this notation.
fn bytes(line: &str) -> Vec<u8> {
    let signs = [(END, "\r\n"), ("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\0", "\0"), ("\\v", "\u{b}")];
    let text = signs.iter().fold(line.to_owned(), |text, (sign, bytes)| text.replace(sign, bytes));
    // A byte above 0x7F that is not UTF-8.
    let mut bytes = text.into_bytes();
    while let Some(at) = bytes.windows(2).position(|pair| pair == b"\\l") {
        bytes.splice(at..at + 2, [0xfc]);
    }
    bytes
}

fn mutate(stream: &mut Vec<u8>, piece: &[u8], chance: &mut Chance) {
    let at = chance.below(stream.len() + 1);
    let end = (at + chance.below(4)).min(stream.len());
    match chance.below(4) {
        0 => drop(stream.splice(at..at, piece.iter().copied())),
        1 => drop(stream.splice(at..end, piece.iter().copied())),
        2 => drop(stream.drain(at..end)),
        _ => {
            let other = chance.below(stream.len() + 1);
            let copied = stream[at.min(other)..at.max(other)].to_vec();
            drop(stream.splice(at..at, copied));
        }
    }
}

/// xorshift64: the same numbers everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
