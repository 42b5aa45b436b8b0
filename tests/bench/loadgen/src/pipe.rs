//! The closed loop over the pipes of a child: a fixed number of outstanding calls, each answer checked, and followed by the next call.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::drive::{Found, Opened, Plan};
use crate::mcp::{self, Tool};

/// The speed of `command` alone.
pub fn pipe(command: &[String], tool: Tool, at_once: usize, plan: &Plan) -> Result<Value, String> {
    let (program, arguments) = command.split_first().ok_or("nothing to start")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or("no pipes")?;
    let report = go_on(stdin, BufReader::new(stdout), tool, at_once, plan);
    let _ = child.kill();
    let _ = child.wait();
    report
}

fn go_on(
    mut stdin: ChildStdin,
    stdout: impl BufRead,
    tool: Tool,
    at_once: usize,
    plan: &Plan,
) -> Result<Value, String> {
    let [initialize, initialized, _] = mcp::pipe_lines(tool, 0);
    let mut say = |line: String| writeln!(stdin, "{line}").map_err(|error| format!("write: {error}"));
    say(initialize)?;
    let mut lines = stdout.lines().map(|line| line.map_err(|error| format!("read: {error}")));
    lines.next().ok_or("it ended")??;
    say(initialized)?;
    let (mut number, mut under_way) = (0, HashMap::new());
    let mut call = |under_way: &mut HashMap<u64, Instant>| {
        number += 1;
        under_way.insert(number, Instant::now());
        let [.., call] = mcp::pipe_lines(tool, number);
        say(call)
    };
    for _ in 0..at_once {
        call(&mut under_way)?;
    }
    let (mut found, mut window) = (Found::default(), None);
    let opens = Instant::now() + plan.warmup;
    for line in lines {
        let line = line?;
        // A line that is not an answer is a notification.
        let Some(begun) = mcp::answered_in(tool, &line).and_then(|number| under_way.remove(&number)) else { continue };
        found.answered(begun);
        call(&mut under_way)?;
        match &window {
            None if Instant::now() >= opens => {
                found = Found::default();
                window = Some(Opened::now(plan));
            }
            Some(opened) if opened.since() >= plan.time => {
                return Ok(found.report(opened, &Opened::now(plan), &[]));
            }
            Some(_) | None => {}
        }
    }
    Err("it ended".to_owned())
}
