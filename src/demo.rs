//! The tools, prompt and resource of the binary: a few greetings, and `whoami`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::{Secret, limits};
use crate::github::{GitHub, Profile};
use crate::mcp::{
    BuildError, CallError, Context, Level, NoArguments, Progress, Prompt, Resource, Tool, ToolResult,
    ToolServer,
};
use crate::oauth::provider::ProviderError;

/// How long `multi-greet` pauses between its greetings; tests do not wait.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(1) };

/// The demo's tools, prompt and resource.
///
/// # Errors
/// None in practice: the tools, the prompt and the resource are fixed, and a test builds them.
pub fn tools(github: &Arc<GitHub>) -> Result<ToolServer, BuildError> {
    let github = Arc::clone(github);
    server(move |token| github.profile(token))
}

/// The tools; `profile` looks up the profile of a GitHub token.
fn server(
    profile: impl Fn(&Secret<String>) -> Result<Profile, ProviderError> + Send + Sync + 'static,
) -> Result<ToolServer, BuildError> {
    ToolServer::builder("mcp-oauth-server", env!("CARGO_PKG_VERSION"))
        .with("title", "MCP OAuth Server")
        .keep_github_tokens() // whoami asks GitHub as the caller
        .tool(greet())
        .tool(multi_greet())
        .tool(start_notification_stream())
        .tool(whoami(profile))
        .prompt(greeting_template())
        .resource(default_greeting())
        .build()
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

fn name_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "name": { "type": "string", "description": "Name to greet" } },
        "required": ["name"],
    })
}

fn greet() -> Tool {
    Tool::new("greet", "A simple greeting tool", name_schema())
        .with("title", "Greeting Tool")
        .with("annotations", json!({ "readOnlyHint": true, "openWorldHint": false }))
        .quick_handler(|_, Name { name }| Ok(format!("Hello, {name}!")))
}

fn multi_greet() -> Tool {
    Tool::new("multi-greet", "Sends several greetings with pauses between them", name_schema())
        .with("title", "Multiple Greeting Tool")
        .with("annotations", json!({ "readOnlyHint": true, "openWorldHint": false }))
        .handler(|context, Name { name }| {
            context.log(Level::Debug, &format!("Starting multi-greet for {name}"));
            for (step, greeting) in [(1.0, "first"), (2.0, "second")] {
                pause(context, PAUSE)?;
                context.log(Level::Info, &format!("Sending {greeting} greeting to {name}"));
                context.progress(&Progress { progress: step, total: Some(2.0), message: None });
            }
            pause(context, PAUSE)?;
            Ok(format!("Good morning, {name}!"))
        })
}

#[derive(Deserialize)]
struct Notifications {
    interval: Option<u64>,
    count: Option<u32>,
}

fn start_notification_stream() -> Tool {
    let schema = json!({
        "type": "object",
        "properties": {
            "interval": {
                "type": "integer", "minimum": 1, "maximum": limits::DEMO_INTERVAL_MILLIS, "default": 100,
                "description": "Interval in milliseconds between notifications",
            },
            "count": {
                "type": "integer", "minimum": 1, "maximum": limits::DEMO_NOTIFICATIONS, "default": 50,
                "description": "Number of notifications to send",
            },
        },
    });
    Tool::new(
        "start-notification-stream",
        "Sends notifications at intervals, to try out how a client resumes a broken stream",
        schema,
    )
    .handler(|context, Notifications { interval, count }| {
        let (interval, count) = (interval.unwrap_or(100), count.unwrap_or(50));
        if !(1..=limits::DEMO_INTERVAL_MILLIS).contains(&interval)
            || !(1..=limits::DEMO_NOTIFICATIONS).contains(&count)
        {
            return Err("interval or count is out of range: see the tool's schema".into());
        }
        for number in 1..=count {
            context.log(Level::Info, &format!("Periodic notification #{number} of {count}"));
            pause(context, Duration::from_millis(interval))?;
        }
        Ok(format!("Sent {count} notifications, one every {interval} ms"))
    })
}

fn whoami(
    profile: impl Fn(&Secret<String>) -> Result<Profile, ProviderError> + Send + Sync + 'static,
) -> Tool {
    let properties = json!({
        "login": { "type": "string" },
        "id": { "type": "integer" },
        "name": { "type": "string" },
        "scopes": { "type": "array", "items": { "type": "string" } },
    });
    let output = json!({ "type": "object", "properties": properties, "required": ["login", "id", "scopes"] });
    Tool::new(
        "whoami",
        "Tells who is logged in: GitHub login, id, name, and what the server's GitHub token may do",
        json!({ "type": "object", "properties": {} }),
    )
    .with("title", "Who Am I")
    .with("annotations", json!({ "readOnlyHint": true, "openWorldHint": true }))
    .with("outputSchema", output)
    .handler(move |context, NoArguments {}| {
        let Some(token) = context.principal().upstream.token() else {
            return Err("No GitHub token was kept for this login, so GitHub cannot be asked".into());
        };
        let profile = profile(&token).map_err(|error| match error {
            ProviderError::Refused => {
                let _ = context.principal().upstream.is_good(); // ends the grant if the token is refused
                "GitHub does not accept your token any more: log in again"
            }
            ProviderError::Blocked(_) => "GitHub does not answer for your account: see github.com",
            ProviderError::Busy => "Too many calls to GitHub are running: try again in a moment",
            ProviderError::UsedUp => "GitHub asks you to slow down: try again in an hour",
            ProviderError::Unreachable | ProviderError::Nonsense | ProviderError::Misconfigured => {
                "GitHub did not answer: try again later"
            }
        })?;
        Ok(ToolResult::structured(json!(profile)))
    })
}

fn greeting_template() -> Prompt {
    Prompt::new("greeting-template", "A simple greeting prompt template")
        .required_argument("name", "Name to include in greeting")
        .handler(|_, Name { name }| Ok(format!("Please greet {name} in a friendly manner.")))
}

fn default_greeting() -> Resource {
    Resource::new("https://example.com/greetings/default", "greeting-resource")
        .with("description", "A simple greeting")
        .with("mimeType", "text/plain")
        .text("Hello, world!")
}

/// Waits, unless the call is cancelled.
fn pause(context: &Context, duration: Duration) -> Result<(), CallError> {
    if context.cancel().wait(duration) { Err(CallError::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
