//! An MCP server on standard input and output for tests of the bridge: plain JSON-RPC of 2025-11-25, and tools that misbehave. It
//! this test program, started to run one test, which is the server.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)] // it is a whole program

use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const TOOLS: [&str; 13] = [
    "echo",
    "environment",
    "read",
    "pid",
    "daemon",
    "die",
    "wait",
    "report",
    "question",
    "large",
    "tools_change",
    "resources_change",
    "long",
];

/// The last argument of a process that serves as the peer.
const AS_PEER: &str = "as-peer";

/// The arguments that start this test program as the server.
pub(crate) fn arguments() -> [&'static str; 6] {
    ["peer::serves_when_asked", "--exact", "--nocapture", "--quiet", "--", AS_PEER]
}

/// Serves as the program behind another test's bridge in the process started for that.
#[test]
fn serves_when_asked() {
    if std::env::args().any(|argument| argument == AS_PEER) {
        serve();
        std::process::exit(0);
    }
}

fn serve() {
    println!("Test peer on stdio\r\n");
    eprintln!("test peer started with {:?}", std::env::args().next_back());
    let mut lines = std::io::stdin().lock().lines();
    let mut cancelled = 0;
    let mut later = VecDeque::new();
    while let Some(line) = later.pop_front().or_else(|| lines.next()?.ok()) {
        let message: Value = serde_json::from_str(&line).unwrap();
        if message["method"] == "notifications/cancelled" {
            cancelled += 1;
        }
        let Some(id) = message.get("id").filter(|_| message["method"].is_string()) else { continue };
        match message["method"].as_str().unwrap() {
            "initialize" => answer(id, &initialized(&message["params"])),
            "ping" => answer(id, &json!({})),
            "tools/list" => answer(id, &json!({ "tools": TOOLS.map(definition), "nextCursor": "more" })),
            "prompts/list" => answer(id, &json!({ "prompts": [{ "name": "hello" }] })),
            "prompts/get" => answer(id, &json!({ "messages": [] })),
            "completion/complete" => answer(id, &json!({ "completion": { "values": ["one"] } })),
            "resources/read" => error(id, -32002, "Resource not found"),
            "tools/call" => match message["params"]["name"].as_str().unwrap() {
                "echo" => answer(id, &json!({ "content": [], "structuredContent": message["params"] })),
                "environment" => {
                    let all: Value = std::env::vars().map(|(name, value)| (name, json!(value))).collect();
                    answer(id, &json!({ "content": [], "structuredContent": all }));
                }
                "read" => {
                    let paths = message["params"]["arguments"]["paths"].as_array().unwrap();
                    let read: Vec<_> = paths.iter().map(|path| attempt(path.as_str().unwrap())).collect();
                    answer(id, &json!({ "content": [], "structuredContent": { "read": read } }));
                }
                "pid" => text(id, &std::process::id().to_string()),
                "daemon" => text(id, &daemon()),
                "die" => {
                    eprintln!("last words");
                    std::process::exit(3);
                }
                "wait" => {
                    // Like a server that reads other messages during a call: until this one is cancelled.
                    loop {
                        let next = lines.next().unwrap().unwrap();
                        if next.contains("notifications/cancelled") {
                            break cancelled += 1;
                        }
                        later.push_back(next);
                    }
                }
                "report" => {
                    let token = message["params"]["_meta"]["progressToken"].to_string();
                    raw(&format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":9007199254740993,"total":1.10}}}}"#
                    ));
                    let number = message["id"].to_string();
                    raw(&format!(
                        r#"{{"jsonrpc":"2.0","id":{number},"result":{{"z":18446744073709551615,"content":[{{"type":"text","text":"\u00e4\/"}}],"a":1.10e+2,"cancelled":{cancelled}}}}}"#
                    ));
                }
                "question" => {
                    let form = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
                    let params = json!({ "message": "Who?", "requestedSchema": form });
                    send(
                        &json!({ "jsonrpc": "2.0", "id": "q-1", "method": "elicitation/create", "params": params }),
                    );
                    let next: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
                    assert_eq!(next["id"], "q-1");
                    text(id, &json!([next["result"], next["error"]]).to_string());
                }
                "large" => text(id, &"x".repeat(5_000_000)),
                "tools_change" => {
                    send(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
                    text(id, "changed");
                }
                "resources_change" => {
                    for uri in message["params"]["arguments"]["uris"].as_array().unwrap() {
                        let method = "notifications/resources/updated";
                        send(&json!({ "jsonrpc": "2.0", "method": method, "params": { "uri": uri } }));
                    }
                    text(id, "changed");
                }
                // More than the kernel's buffers take for a client that does not read.
                "long" => {
                    let token = &message["params"]["_meta"]["progressToken"];
                    for step in 1..=25 {
                        let params = json!({ "progressToken": token, "progress": step, "message": "x".repeat(16_000) });
                        send(
                            &json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }),
                        );
                    }
                    text(id, "all");
                }
                _ => error(id, -32602, "Unknown tool"),
            },
            _ => error(id, -32601, "Method not found"),
        }
    }
}

fn initialized(params: &Value) -> Value {
    json!({
        "protocolVersion": params["protocolVersion"],
        "capabilities": { "tools": { "listChanged": true }, "prompts": {}, "completions": {}, "resources": { "subscribe": true }, "logging": {} },
        "serverInfo": { "name": "test-peer", "title": "Test Peer", "version": "1.2.3" },
        "instructions": "Be gentle.",
    })
}

fn definition(name: &str) -> Value {
    let annotations = json!({ "readOnlyHint": name == "echo" });
    json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": annotations })
}

/// The outcome of reading a file: its first bytes as text, or the error.
fn attempt(path: &str) -> String {
    let mut bytes = vec![0; 4096];
    match std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut bytes)) {
        Ok(length) => String::from_utf8_lossy(&bytes[..length]).into_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// Starts a process that leaves this one's session and group, and whose parent ends at once; returns its number.
fn daemon() -> String {
    let script = "(setsid sh -c 'trap \"\" TERM HUP; echo $$; exec >/dev/null; while :; do sleep 1; done' &)";
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _ = child.wait(); // the shell ends at once; its child does not
    line.trim().to_owned()
}

fn text(id: &Value, text: &str) {
    answer(id, &json!({ "content": [{ "type": "text", "text": text }] }));
}

fn answer(id: &Value, result: &Value) {
    send(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
}

fn error(id: &Value, code: i64, message: &str) {
    send(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }));
}

fn send(message: &Value) {
    raw(&message.to_string());
}

fn raw(message: &str) {
    let mut out = std::io::stdout().lock();
    // The bridge that started it may have ended.
    let _ = writeln!(out, "{message}").and_then(|()| out.flush());
}
