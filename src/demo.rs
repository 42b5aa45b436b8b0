//! What the server offers before anybody adds tools of their own: a few greetings, and who is calling.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::limits;
use crate::base::secret::Secret;
use crate::github::{GitHub, Profile};
use crate::mcp::{
    BuildError, CallError, Context, Level, NoArguments, Progress, Prompt, Resource, Tool, ToolResult,
    ToolServer,
};
use crate::oauth::provider::ProviderError;

/// Whoever can look up the profile behind a GitHub token: GitHub, or a test.
trait Profiles: Send + Sync {
    fn profile(&self, token: &Secret<String>) -> Result<Profile, ProviderError>;
}

impl Profiles for Arc<GitHub> {
    fn profile(&self, token: &Secret<String>) -> Result<Profile, ProviderError> {
        GitHub::profile(self, token)
    }
}

/// How long `multi-greet` pauses between its greetings; tests do not wait.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(1) };

/// The demo's tools, prompt and resource.
///
/// # Errors
/// None that can happen: what is offered here is fixed. A test builds it.
pub fn tools(github: &Arc<GitHub>) -> Result<ToolServer, BuildError> {
    server(Arc::clone(github))
}

fn server(profiles: impl Profiles + 'static) -> Result<ToolServer, BuildError> {
    ToolServer::builder("mcp-oauth-server", env!("CARGO_PKG_VERSION"))
        .with("title", "MCP OAuth Server")
        .keep_github_tokens() // whoami asks GitHub as the caller
        .tool(greet())
        .tool(multi_greet())
        .tool(start_notification_stream())
        .tool(whoami(profiles))
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
        .handler(|_, Name { name }| Ok(format!("Hello, {name}!")))
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
    #[serde(default = "Notifications::default_interval")]
    interval: u64,
    #[serde(default = "Notifications::default_count")]
    count: u32,
}

impl Notifications {
    fn default_interval() -> u64 {
        100
    }

    fn default_count() -> u32 {
        50
    }
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

fn whoami(profiles: impl Profiles + 'static) -> Tool {
    #[derive(Serialize)]
    struct Caller<'a> {
        login: &'a str,
        id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        scopes: &'a [String],
    }
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
        let profile = profiles.profile(&token).map_err(|error| match error {
            ProviderError::Refused => {
                context.principal().upstream.refused();
                "GitHub does not accept your token any more: log in again"
            }
            ProviderError::Blocked(_) => "GitHub does not answer for your account: see github.com",
            ProviderError::Busy => "Too many calls to GitHub are running: try again in a moment",
            ProviderError::UsedUp => "GitHub asks you to slow down: try again in an hour",
            ProviderError::Unreachable | ProviderError::Nonsense | ProviderError::Misconfigured => {
                "GitHub did not answer: try again later"
            }
        })?;
        let caller = Caller {
            login: &profile.login,
            id: profile.id.0,
            name: profile.name.as_deref(),
            scopes: &profile.scopes,
        };
        Ok(ToolResult::structured(json!(caller)))
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

/// Waits, unless the caller goes away.
fn pause(context: &Context, duration: Duration) -> Result<(), CallError> {
    if context.cancel().wait(duration) { Err(CallError::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::capacity::Capacity;
    use crate::base::clock::{self, SystemClock};
    use crate::base::identity::{Principal, UpstreamToken, UserId, fake};
    use crate::base::random::CountedRandom;
    use crate::http::{Body, Next, Responder};
    use crate::mcp::{Mcp, Settings};
    use crate::seal;

    /// Knows one token.
    struct OneProfile;

    impl Profiles for OneProfile {
        fn profile(&self, token: &Secret<String>) -> Result<Profile, ProviderError> {
            if !token.matches(b"gho_good") {
                return Err(ProviderError::Refused);
            }
            let scopes = vec!["read:org".to_owned()];
            Ok(Profile { id: UserId(583_231), login: "octocat".into(), name: None, scopes })
        }
    }

    struct Kept(&'static str);

    impl UpstreamToken for Kept {
        fn token(&self) -> Option<Secret<String>> {
            Some(Secret::new(self.0.to_owned()))
        }

        fn refused(&self) {}
    }

    fn caller(token: &'static str) -> Principal {
        Principal { upstream: Arc::new(Kept(token)), ..fake::principal(1) }
    }

    /// Every message of the answer to a 2026-07-28 request that wants all log messages, the response last.
    fn ask(principal: Principal, method: &str, name: (&str, &str), arguments: Value) -> Vec<Value> {
        let mcp = Mcp::new(Settings {
            backend: Arc::new(server(OneProfile).unwrap()),
            keys: Arc::new(seal::fake::keyring(1)),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(CountedRandom::default()),
            capacity: Capacity::default(),
            insufficient_scope: Box::new(|_| crate::http::Response::new(403)),
        });
        let (member, name) = name;
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/logLevel": "debug",
            "progressToken": "p",
        });
        let params = json!({ member: name, "arguments": arguments, "_meta": meta });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = crate::http::fake::request("POST", "/mcp")
            .with("Content-Type", "application/json")
            .with("MCP-Protocol-Version", "2026-07-28")
            .with("Mcp-Method", method)
            .with("Mcp-Name", name)
            .body(body.to_string());
        let (responder, waiter) = Responder::pair();
        let worker = std::thread::spawn(move || mcp.handle(request, principal, responder));
        let response = waiter.wait(clock::instant() + Duration::from_secs(60)).unwrap();
        let messages = match response.into_body() {
            Body::Bytes(bytes) => vec![serde_json::from_slice(&bytes).unwrap()],
            Body::Stream(stream) => std::iter::from_fn(|| match stream.next(Duration::from_secs(60)) {
                Next::Chunk(chunk) => {
                    let text = std::str::from_utf8(&chunk).unwrap();
                    Some(serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap())
                }
                Next::Silence | Next::End => None,
            })
            .collect(),
        };
        worker.join().unwrap();
        messages
    }

    fn check(principal: Principal, tool: &str, arguments: Value, expected: &str) {
        let messages = ask(principal, "tools/call", ("name", tool), arguments);
        assert_eq!(messages.last().unwrap()["result"]["content"][0]["text"], expected, "{messages:?}");
    }

    #[test]
    fn greet_greets() {
        check(caller("x"), "greet", json!({ "name": "Ada" }), "Hello, Ada!");
        check(caller("x"), "greet", json!({}), "Invalid arguments: missing field `name`");
    }

    #[test]
    fn multi_greet_logs_and_reports_progress_on_the_way() {
        let messages = ask(caller("x"), "tools/call", ("name", "multi-greet"), json!({ "name": "Ada" }));
        let said: Vec<_> = messages
            .iter()
            .map(|each| (each["params"]["level"].as_str(), each["params"]["progress"].as_f64()))
            .collect();
        let (debug, info) = ((Some("debug"), None), (Some("info"), None));
        assert_eq!(said, [debug, info, (None, Some(1.0)), info, (None, Some(2.0)), (None, None)]);
        assert_eq!(messages[5]["result"]["content"][0]["text"], "Good morning, Ada!");
    }

    #[test]
    fn notifications_come_as_many_as_asked_for() {
        let count = |arguments: Value| {
            ask(caller("x"), "tools/call", ("name", "start-notification-stream"), arguments).len() - 1
        };
        assert_eq!(count(json!({ "interval": 1, "count": 3 })), 3);
        assert_eq!(count(json!({ "interval": 1, "count": limits::DEMO_NOTIFICATIONS + 1 })), 0);
        assert_eq!(count(json!({ "interval": 0, "count": 1 })), 0);
        assert_eq!(count(json!({ "interval": limits::DEMO_INTERVAL_MILLIS + 1, "count": 1 })), 0);
    }

    #[test]
    fn whoami_asks_github_as_the_caller() {
        let expected = json!({ "login": "octocat", "id": 583_231, "scopes": ["read:org"] });
        let messages = ask(caller("gho_good"), "tools/call", ("name", "whoami"), json!({}));
        assert_eq!(messages[0]["result"]["structuredContent"], expected);
        check(
            caller("gho_old"),
            "whoami",
            json!({}),
            "GitHub does not accept your token any more: log in again",
        );
        let none = "No GitHub token was kept for this login, so GitHub cannot be asked";
        check(fake::principal(1), "whoami", json!({}), none);
    }

    #[test]
    fn the_prompt_and_the_resource_are_there() {
        let prompt = ask(caller("x"), "prompts/get", ("name", "greeting-template"), json!({ "name": "Ada" }));
        let text = &prompt[0]["result"]["messages"][0]["content"]["text"];
        assert_eq!(text, "Please greet Ada in a friendly manner.");
        let uri = "https://example.com/greetings/default";
        let resource = ask(caller("x"), "resources/read", ("uri", uri), json!({}));
        assert_eq!(
            resource[0]["result"]["contents"],
            json!([{ "uri": uri, "mimeType": "text/plain", "text": "Hello, world!" }])
        );
    }
}
