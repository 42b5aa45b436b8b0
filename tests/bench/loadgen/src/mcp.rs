//! The requests of both eras, with a placeholder for the number that makes each call unique; and the check that an answer
//! matches its call.

use std::net::SocketAddr;

use memchr::memmem;

use crate::wire::{Answer, Connection};

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// The placeholder of a call's number: of equal width, so that lengths are constant.
const NUMBER: &str = "##########";
const FIRST_NUMBER: u64 = 1_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Legacy,
    Modern,
}

/// The server, the resource in it, and the tool that is called.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub path: String,
    pub tool: Tool,
}

/// The credentials of a client.
#[derive(Clone, Default)]
pub struct Caller {
    pub token: Option<String>,
    pub session: Option<String>,
}

/// An echo tool: its name, the argument, and the parts of the answer around the echo.
#[derive(Clone, Copy)]
pub struct Tool(&'static str, &'static str, &'static str, &'static str);

impl Tool {
    pub fn named(name: &str) -> Option<Tool> {
        let tools = [Tool("greet", "name", "Hello, u", "!"), Tool("echo", "message", "Echo: u", "")];
        tools.into_iter().find(|tool| tool.0 == name)
    }
}

/// A request that is sent repeatedly, and its expected answer.
pub struct Template {
    request: Vec<u8>,
    numbers: Vec<usize>,
    expected: Expected,
}

#[derive(Clone)]
pub enum Expected {
    /// 200, the call's number as id, and this tool's echo of it.
    Said(Tool),
    /// This status, and this text in the body.
    Words(u16, String),
}

impl Template {
    fn new(request: String, expected: Expected) -> Template {
        let request = request.into_bytes();
        let numbers = memmem::find_iter(&request, NUMBER).collect();
        Template { request, numbers, expected }
    }

    /// The request with this number in it.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        let digits = (FIRST_NUMBER + number).to_string();
        for &at in &self.numbers {
            self.request[at..at + NUMBER.len()].copy_from_slice(digits.as_bytes());
        }
        &self.request
    }

    /// The request with its latest number.
    pub fn bytes(&self) -> &[u8] {
        &self.request
    }

    /// Checks the answer to the request with this number. The error describes the difference.
    pub fn check(&self, answer: &Answer, number: u64) -> Result<(), String> {
        let has = |words: &str| memmem::find(&answer.body, words.as_bytes()).is_some();
        let is_right = match &self.expected {
            Expected::Said(Tool(_, _, before, after)) => {
                let number = FIRST_NUMBER + number;
                answer.head.status == 200
                    && has(&format!("{before}{number}{after}"))
                    && (has(&format!("\"id\":{number}")) || has(&format!("\"id\": {number}")))
            }
            Expected::Words(status, words) => answer.head.status == *status && has(words),
        };
        if is_right { Ok(()) } else { Err(describe(answer)) }
    }
}

fn describe(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned();
    format!("{} {body}", answer.head.status)
}

/// `tools/call`.
pub fn call(target: &Target, era: Era, caller: &Caller) -> Template {
    let Tool(name, argument, ..) = target.tool;
    let call = format!(r#""name":"{name}","arguments":{{"{argument}":"u{NUMBER}"}}"#);
    let (fields, params) = match era {
        Era::Legacy => (version(LEGACY), call),
        Era::Modern => (format!("{}Mcp-Name: {name}\r\n", modern("tools/call")), format!("{call},{}", meta())),
    };
    let body = format!(r#"{{"jsonrpc":"2.0","id":{NUMBER},"method":"tools/call","params":{{{params}}}}}"#);
    Template::new(post(target, caller, &fields, &body), Expected::Said(target.tool))
}

/// The lines that start a session over a pipe, and the call with this number, for a single write.
pub fn pipe_lines(tool: Tool, number: u64) -> [String; 3] {
    let Tool(name, argument, ..) = tool;
    let number = FIRST_NUMBER + number;
    [
        initialize(),
        INITIALIZED.to_owned(),
        format!(
            r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"{name}","arguments":{{"{argument}":"u{number}"}}}}}}"#
        ),
    ]
}

/// The number of the call that a line answers correctly.
pub fn answered_in(tool: Tool, line: &str) -> Option<u64> {
    let Tool(_, _, before, after) = tool;
    let said = line.split_once(before)?.1;
    let number = said.get(..NUMBER.len())?;
    let is_right = said[NUMBER.len()..].starts_with(after) && line.contains(&format!("\"id\":{number}"));
    number.parse::<u64>().ok().filter(|_| is_right)?.checked_sub(FIRST_NUMBER)
}

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn initialize() -> String {
    let client = r#"{"name":"bench","version":"1"}"#;
    let params = format!(r#"{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{client}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#)
}

/// A call without a token.
pub fn stranger(target: &Target, era: Era) -> Template {
    let template = call(target, era, &Caller::default());
    Template { expected: Expected::Words(401, String::new()), ..template }
}

/// A call to a server that gives every request the same answer, with this text.
pub fn constant(target: &Target, era: Era, words: &str) -> Template {
    let caller = Caller { token: Some("x".repeat(180)), session: None };
    let template = call(target, era, &caller);
    Template { expected: Expected::Words(200, words.to_owned()), ..template }
}

/// A GET without authentication.
pub fn get(target: &Target, words: &str) -> Template {
    let request = head("GET", target, &Caller::default(), "Accept: application/json\r\n") + "\r\n";
    Template::new(request, Expected::Words(200, words.to_owned()))
}

/// `initialize` and `notifications/initialized`; the session id, if the server assigns one.
pub fn open_session(target: &Target, token: Option<&str>) -> Result<Caller, String> {
    let mut connection = Connection::open(target.address)?;
    let mut caller = Caller { token: token.map(str::to_owned), session: None };
    let session = connection.ask(post(target, &caller, "", &initialize()).as_bytes(), |answer| {
        let is_right = answer.head.status == 200 && memmem::find(&answer.body, LEGACY.as_bytes()).is_some();
        if is_right {
            Ok(answer.head.session.clone())
        } else {
            Err(format!("initialize: {}", describe(answer)))
        }
    })?;
    caller.session = session?;
    let request = post(target, &caller, &version(LEGACY), INITIALIZED);
    // Some close the connection after an answer without a body.
    Connection::open(target.address)?.ask(request.as_bytes(), |answer| {
        if answer.head.status == 202 { Ok(()) } else { Err(format!("initialized: {}", describe(answer))) }
    })??;
    Ok(caller)
}

/// Ends the session. Errors of a server without sessions are ignored.
pub fn close_session(target: &Target, caller: &Caller) -> Result<(), String> {
    let request = head("DELETE", target, caller, &version(LEGACY)) + "\r\n";
    Connection::open(target.address)?.ask(request.as_bytes(), |_| ())
}

/// The request for a stream that stays open.
pub fn listen(target: &Target, era: Era, caller: &Caller, number: usize) -> String {
    match era {
        Era::Legacy => {
            let fields = format!("Accept: text/event-stream\r\n{}", version(LEGACY));
            head("GET", target, caller, &fields) + "\r\n"
        }
        Era::Modern => {
            let params = format!(r#"{{"notifications":{{"toolsListChanged":true}},{}}}"#, meta());
            let method = "subscriptions/listen";
            let body = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{params}}}"#);
            post(target, caller, &modern(method), &body)
        }
    }
}

fn version(version: &str) -> String {
    format!("MCP-Protocol-Version: {version}\r\n")
}

fn modern(method: &str) -> String {
    format!("{}Mcp-Method: {method}\r\n", version(MODERN))
}

fn meta() -> String {
    let prefix = "io.modelcontextprotocol";
    format!(
        r#""_meta":{{"{prefix}/protocolVersion":"{MODERN}","{prefix}/clientInfo":{{"name":"bench","version":"1"}},"{prefix}/clientCapabilities":{{}}}}"#
    )
}

fn post(target: &Target, caller: &Caller, fields: &str, body: &str) -> String {
    let accept = "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n";
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    head("POST", target, caller, accept) + fields + &length + body
}

fn head(method: &str, target: &Target, caller: &Caller, fields: &str) -> String {
    let mut head = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n{fields}", target.path, target.address);
    if let Some(token) = &caller.token {
        head += &format!("Authorization: Bearer {token}\r\n");
    }
    if let Some(session) = &caller.session {
        head += &format!("Mcp-Session-Id: {session}\r\n");
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer;

    fn target() -> Target {
        Target { address: "127.0.0.1:1".parse().unwrap(), path: "/mcp".to_owned(), tool: Tool::named("greet").unwrap() }
    }

    #[test]
    fn a_request_is_as_long_as_it_says_and_holds_its_number() {
        for era in [Era::Legacy, Era::Modern] {
            let mut template = call(&target(), era, &Caller::default());
            let text = String::from_utf8(template.numbered(7).to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{text}");
            assert_eq!(body.matches("1000000007").count(), 2, "{text}");
            serde_json::from_str::<serde_json::Value>(body).unwrap();
        }
    }

    #[test]
    fn only_the_result_of_the_own_call_is_accepted() {
        let template = call(&target(), Era::Modern, &Caller::default());
        let check = |status: u16, body: &str, is_right: bool| {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let answer = answer(text.as_bytes()).unwrap().unwrap();
            assert_eq!(template.check(&answer, 7).is_ok(), is_right, "{text}");
        };
        check(200, r#"{"id":1000000007,"text":"Hello, u1000000007!"}"#, true);
        check(500, r#"{"id":1000000007,"text":"Hello, u1000000007!"}"#, false);
        check(200, r#"{"id":1000000008,"text":"Hello, u1000000007!"}"#, false);
        check(200, r#"{"id":1000000007,"text":"Hello, u1000000008!"}"#, false);
    }
}
