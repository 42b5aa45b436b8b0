//! A program's output other than messages, for the log: text on its standard output, lines on its standard error.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Instant;

use crate::base::{Secret, Throttle, clock, limits, log};

/// Text on standard output that is not JSON-RPC: banners, log lines. Tolerated up to a rate.
pub(super) struct Noise {
    since: Instant,
    bytes: usize,
    /// The number of lines that are not logged yet.
    lines: u64,
    throttle: Throttle,
}

impl Noise {
    pub(super) fn new() -> Noise {
        Noise { since: clock::instant(), bytes: 0, lines: 0, throttle: Throttle::new(1) }
    }

    /// Counts one more line; returns whether the rate is exceeded.
    pub(super) fn is_flood(&mut self, length: usize) -> bool {
        if self.since.elapsed() >= limits::bridge::NOISE.1 {
            (self.since, self.bytes) = (clock::instant(), 0);
        }
        self.lines = self.lines.saturating_add(1);
        self.bytes = self.bytes.saturating_add(length);
        self.bytes > limits::bridge::NOISE.0
    }

    pub(super) fn log(&mut self, server: &str, process: Option<i32>) {
        if self.lines > 0 && self.throttle.pass("noise", clock::monotonic()).is_some() {
            let count = std::mem::take(&mut self.lines);
            let hint = "a server's standard output is for JSON-RPC; what else it writes there belongs on standard error";
            let mut fields =
                vec![log::Field::Server(server), log::Field::Count(count), log::Field::Hint(hint)];
            fields.extend(process.map(log::Field::Process));
            log::warn("program.noise", &fields);
        }
    }
}

/// A program's standard error: a limited number of lines per second is logged, the last lines are kept.
pub(super) struct Errors {
    throttle: Throttle,
    pub(super) last: VecDeque<String>,
    /// The lines of the variables' values, each with the name that replaces it. The longest is first: it may begin with another.
    hidden: Vec<(String, Secret<String>)>,
}

impl Errors {
    pub(super) fn new(variables: &[(String, Secret<String>)]) -> Errors {
        let mut hidden: Vec<(&str, &str)> = Vec::new();
        for (name, value) in variables {
            hidden.extend(value.expose().lines().map(|line| (name.as_str(), line.trim())));
        }
        hidden.retain(|(_, value)| value.len() >= limits::bridge::SECRET_BYTES);
        hidden.sort_by_key(|(_, value)| Reverse(value.len()));
        let hidden = hidden.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())));
        let throttle = Throttle::new(limits::bridge::ERROR_LINES);
        Errors { throttle, last: VecDeque::new(), hidden: hidden.collect() }
    }

    pub(super) fn take(&mut self, line: &[u8], server: &str, process: Option<i32>) {
        let hidden = || self.hidden.iter().map(|(name, value)| (name, value.expose().as_str()));
        let (text, is_cut) = (String::from_utf8_lossy(line), line.len() >= limits::bridge::ERROR_LINE_BYTES);
        let text = text.trim_end().trim_end_matches(|c| is_cut && c == char::REPLACEMENT_CHARACTER);
        // The line may be cut within a value, whose start is not recognised; half a character became U+FFFD.
        let starts_value = |rest: &str| hidden().any(|(_, value)| value.starts_with(rest));
        let end = (0..text.len()).find(|at| is_cut && text.get(*at..).is_some_and(starts_value));
        let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default().to_owned();
        let text = hidden().fold(text, |text, (name, value)| text.replace(value, &format!("[{name}]")));
        if text.is_empty() {
            return;
        }
        if self.last.len() >= limits::bridge::LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(text.clone());
        if let Some(omitted) = self.throttle.pass("stderr", clock::monotonic()) {
            let mut fields =
                vec![log::Field::Server(server), log::Field::Line(&text), log::Field::Omitted(omitted)];
            fields.extend(process.map(log::Field::Process));
            log::info("program.stderr", &fields);
        }
    }
}

#[cfg(test)]
mod tests;
