//! The tools of the suite whose calls become tasks.

use std::time::Duration;

use mcp_oauth_server::mcp::{CallError, Context, Error, NoArguments, TaskSupport, Tool, ToolResult};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, elicit, tool};

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Computation {
    #[serde(default)]
    seconds: u64,
    #[serde(default)]
    label: String,
}

#[derive(Deserialize)]
struct Deletion {
    #[serde(default)]
    filename: String,
}

pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::new("greet", "Greets, at once", object(&json!({ "name": { "type": "string" } })))
            .handler(|_, Name { name }| Ok(format!("Hello, {name}!"))),
        Tool::new(
            "slow_compute",
            "Takes some seconds",
            object(&json!({ "seconds": { "type": "integer" }, "label": { "type": "string" } })),
        )
        .tasks(TaskSupport::Optional)
        .handler(|context, Computation { seconds, label }| {
            wait(context, Duration::from_secs(seconds))?;
            Ok(format!("{label}: computed for {seconds} s"))
        }),
        tool("failing_job", "Fails after a second").tasks(TaskSupport::Required).handler(
            |context, _: NoArguments| {
                wait(context, Duration::from_secs(1))?;
                Err::<ToolResult, _>("The job failed".into())
            },
        ),
        tool("protocol_error_job", "Ends with a protocol error")
            .tasks(TaskSupport::Required)
            .handler(|_, _: NoArguments| Err::<ToolResult, _>(CallError::Protocol(Error::internal()))),
        Tool::new(
            "confirm_delete",
            "Asks before it deletes",
            object(&json!({ "filename": { "type": "string" } })),
        )
        .tasks(TaskSupport::Optional)
        .handler(|context, Deletion { filename }| {
            let question = format!("Delete {filename}?");
            let answer: Answer = context.ask(elicit("confirm", &question, ("confirm", "boolean")))?;
            Ok(format!("{filename}: {}", answer.action))
        }),
        tool("multi_input", "Asks two things at once").tasks(TaskSupport::Optional).handler(
            |context, _: NoArguments| {
                let answers = context.ask_all(vec![
                    elicit("first", "First?", ("value", "string")),
                    elicit("second", "Second?", ("value", "string")),
                ])?;
                Ok(format!("{} answers", answers.len()))
            },
        ),
        tool("test_tool_with_task", "Asks for a name, then works").tasks(TaskSupport::ByHandler).handler(
            |context, _: NoArguments| {
                let question = elicit("user_name", "What is your name?", ("name", "string"));
                let answer: Answer = context.ask(question)?;
                let _ = context.become_task()?; // a client that takes no tasks waits
                wait(context, Duration::from_millis(200))?;
                Ok(format!("Hello, {}!", answer.field("name")))
            },
        ),
    ]
}

fn object(properties: &Value) -> Value {
    json!({ "type": "object", "properties": properties })
}

fn wait(context: &Context, duration: Duration) -> Result<(), CallError> {
    if context.cancel().wait(duration) { Err(CallError::Cancelled) } else { Ok(()) }
}
