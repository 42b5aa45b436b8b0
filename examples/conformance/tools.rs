//! The tools, prompts and resources that the official conformance suite calls (`@modelcontextprotocol/conformance`), and an
//! example of the features of a handler. One handler serves both eras: its questions to the client are sent on the call's own
//! stream up to 2025-11-25, and end the call in 2026-07-28 (MRTR).

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_oauth_server::mcp::{
    BuildError, CallError, Capability, Content, Context, InputRequest, Level, NoArguments, Progress, Prompt,
    PromptResult, Resource, ResourceContents, Role, Tool, ToolResult, ToolServer,
};
use serde::Deserialize;
use serde_json::{Value, json};

mod tasks;

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
const STEP: Duration = Duration::from_millis(50);

/// The suite's server.
///
/// # Errors
/// None in practice: tools, prompts and resources are fixed.
pub(crate) fn server() -> Result<ToolServer, BuildError> {
    let mut builder = ToolServer::builder("conformance", "1.0.0").lists_change();
    let tools = [contents(), both_eras(), questions(), rounds(), changes(), tasks::tools()];
    for tool in tools.into_iter().flatten() {
        builder = builder.tool(tool);
    }
    for prompt in prompts() {
        builder = builder.prompt(prompt);
    }
    for resource in resources() {
        builder = builder.resource(resource);
    }
    builder.resource(template()).build()
}

fn tool(name: &'static str, description: &'static str) -> Tool {
    Tool::new(name, description, json!({ "type": "object", "properties": {} }))
}

fn image() -> Content {
    Content::image(PNG, "image/png")
}

fn contents() -> Vec<Tool> {
    let embedded =
        || ResourceContents::text("test://embedded-resource", "This is an embedded resource content.");
    let mixed = || ResourceContents::text("test://mixed-content-resource", r#"{"test":"data","value":123}"#);
    vec![
        tool("test_simple_text", "Answers with text")
            .handler(|_, _: NoArguments| Ok("This is a simple text response for testing.")),
        tool("test_image_content", "Answers with an image").handler(|_, _: NoArguments| Ok(image())),
        tool("test_audio_content", "Answers with a sound")
            .handler(|_, _: NoArguments| Ok(Content::audio(WAV, "audio/wav"))),
        tool("test_embedded_resource", "Answers with a resource").handler(move |_, _: NoArguments| {
            Ok(Content::resource(embedded().with("mimeType", "text/plain")))
        }),
        tool("test_multiple_content_types", "Answers with text, image and resource").handler(
            move |_, _: NoArguments| {
                Ok(ToolResult::from("Multiple content types test:")
                    .with(image())
                    .with(Content::resource(mixed().with("mimeType", "application/json"))))
            },
        ),
        tool("test_error_handling", "Fails").handler(|_, _: NoArguments| {
            Err::<ToolResult, _>("This tool intentionally returns an error for testing".into())
        }),
        Tool::new("json_schema_2020_12_tool", "Has a rich schema", rich_schema())
            .handler(|_, _: Value| Ok("ok")),
        Tool::new(
            "test_x_mcp_header",
            "Has an argument that is repeated in a header",
            json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } }),
        )
        .handler(|_, _: Value| Ok("ok")),
    ]
}

fn both_eras() -> Vec<Tool> {
    vec![
        tool("test_tool_with_progress", "Reports progress").handler(|context, _: NoArguments| {
            for progress in [0.0, 50.0, 100.0] {
                context.progress(&Progress { progress, total: Some(100.0), message: None });
                pause(context)?;
            }
            Ok("done")
        }),
        tool("test_tool_with_logging", "Logs").handler(log_three),
        tool("test_logging_tool", "Logs, if asked to").handler(log_three),
        tool("test_missing_capability", "Needs sampling").handler(|context, _: NoArguments| {
            context.require(Capability::Sampling)?;
            Ok("The client can sample")
        }),
        tool("test_reconnection", "Ends the connection in mid-call").handler(|context, _: NoArguments| {
            context.disconnect();
            pause(context)?;
            Ok("Reconnected")
        }),
    ]
}

fn log_three(context: &Context, _: NoArguments) -> Result<&'static str, CallError> {
    for message in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        context.log(Level::Info, &message);
        pause(context)?;
    }
    Ok("logged")
}

#[derive(Deserialize)]
struct Answer {
    action: String,
    content: Option<BTreeMap<String, Value>>,
}

impl Answer {
    fn field(&self, name: &str) -> &str {
        self.content
            .as_ref()
            .and_then(|content| content.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Sampled {
    content: Value,
}

fn elicit(key: &str, message: &str, field: (&str, &str)) -> InputRequest {
    let (name, kind) = field;
    let schema = json!({ "type": "object", "properties": { name: { "type": kind } }, "required": [name] });
    InputRequest::elicitation(key, message, &schema)
}

fn sample(key: &str, prompt: &str, max_tokens: u32) -> InputRequest {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    InputRequest::sampling(key, &json!({ "messages": [message], "maxTokens": max_tokens }))
}

/// An elicitation of a form with these properties; any answer is accepted.
fn form(name: &'static str, description: &'static str, properties: Value) -> Tool {
    tool(name, description).handler(move |context, _: NoArguments| {
        let schema = json!({ "type": "object", "properties": properties });
        let answer: Answer =
            context.ask(InputRequest::elicitation("form", "Please fill in the form", &schema))?;
        Ok(format!("Elicitation completed: {}, {}", answer.action, json!(answer.content)))
    })
}

fn questions() -> Vec<Tool> {
    #[derive(Deserialize)]
    struct Prompt {
        prompt: String,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let required = |name: &str| json!({ "type": "object", "properties": { name: { "type": "string" } }, "required": [name] });
    vec![
        Tool::new("test_sampling", "Asks the client's model", required("prompt")).handler(
            |context, Prompt { prompt }| {
                let answer: Sampled = context.ask(sample("sampling", &prompt, 100))?;
                Ok(format!(
                    "LLM response: {}",
                    answer.content.get("text").and_then(Value::as_str).unwrap_or_default()
                ))
            },
        ),
        Tool::new("test_elicitation", "Asks the person", required("message")).handler(
            |context, Message { message }| {
                let schema = json!({
                    "type": "object",
                    "properties": {
                        "username": { "type": "string", "description": "User's response" },
                        "email": { "type": "string", "description": "User's email address" },
                    },
                    "required": ["username", "email"],
                });
                let answer: Answer = context.ask(InputRequest::elicitation("user", &message, &schema))?;
                Ok(format!("User response: {}, {}", answer.action, json!(answer.content)))
            },
        ),
        form(
            "test_elicitation_sep1034_defaults",
            "Asks with defaults",
            json!({
                "name": { "type": "string", "default": "John Doe" },
                "age": { "type": "integer", "default": 30 },
                "score": { "type": "number", "default": 95.5 },
                "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
                "verified": { "type": "boolean", "default": true },
            }),
        ),
        form("test_elicitation_sep1330_enums", "Asks with every kind of choice", choices()),
    ]
}

fn choices() -> Value {
    let titled = json!([
        { "const": "value1", "title": "First" }, { "const": "value2", "title": "Second" }, { "const": "value3", "title": "Third" },
    ]);
    let plain = json!(["option1", "option2", "option3"]);
    json!({
        "untitledSingle": { "type": "string", "enum": plain },
        "titledSingle": { "type": "string", "oneOf": titled },
        "legacyEnum": { "type": "string", "enum": plain, "enumNames": ["One", "Two", "Three"] },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled } },
    })
}

fn rounds() -> Vec<Tool> {
    let confirm = |name, description| {
        tool(name, description).handler(|context, _: NoArguments| {
            context.remember(&"confirm")?;
            let _: Answer = context.ask(elicit("confirm", "Please confirm", ("ok", "boolean")))?;
            match context.remembered::<String>() {
                Some(_) => Ok("state-ok"),
                None => Err("the state did not come back".into()),
            }
        })
    };
    vec![
        tool("test_input_required_result_elicitation", "Asks for a name").handler(ask_name),
        tool("test_streaming_elicitation", "Asks for a name").handler(ask_name),
        tool("test_input_required_result_sampling", "Asks the client's model").handler(
            |context, _: NoArguments| {
                let answer: Sampled =
                    context.ask(sample("capital_question", "What is the capital of France?", 100))?;
                Ok(format!("The model says: {}", answer.content))
            },
        ),
        tool("test_input_required_result_list_roots", "Asks for the roots").handler(
            |context, _: NoArguments| {
                let answer: Value = context.ask(InputRequest::roots("client_roots"))?;
                Ok(format!("Roots: {}", json!(answer.get("roots"))))
            },
        ),
        confirm("test_input_required_result_request_state", "Asks and remembers"),
        confirm("test_input_required_result_tampered_state", "Asks and remembers"),
        tool("test_input_required_result_multiple_inputs", "Asks three things at once").handler(
            |context, _: NoArguments| {
                context.remember(&"multiple")?;
                let answers = context.ask_all(vec![
                    elicit("user_name", "What is your name?", ("name", "string")),
                    sample("greeting", "Write a greeting", 50),
                    InputRequest::roots("client_roots"),
                ])?;
                Ok(format!("{} answers", answers.len()))
            },
        ),
        tool("test_input_required_result_multi_round", "Asks twice").handler(|context, _: NoArguments| {
            context.remember(&"rounds")?;
            let first: Answer = context.ask(elicit("step1", "Step 1: your name?", ("name", "string")))?;
            let second: Answer = context.ask(elicit("step2", "Step 2: your colour?", ("color", "string")))?;
            Ok(format!("{} likes {}", first.field("name"), second.field("color")))
        }),
        tool("test_input_required_result_capabilities", "Asks what the client can answer").handler(
            |context, _: NoArguments| {
                let mut questions = Vec::new();
                if context.client().supports(Capability::Sampling) {
                    questions.push(sample("sampled", "Say hello", 50));
                }
                if context.client().supports(Capability::Elicitation) {
                    questions.push(elicit("user_name", "What is your name?", ("name", "string")));
                }
                if questions.is_empty() {
                    return Err(CallError::MissingCapability(Capability::Sampling));
                }
                Ok(format!("{} answers", context.ask_all(questions)?.len()))
            },
        ),
    ]
}

fn ask_name(context: &Context, _: NoArguments) -> Result<String, CallError> {
    let answer: Answer = context.ask(elicit("user_name", "What is your name?", ("name", "string")))?;
    Ok(format!("Hello, {}!", answer.field("name")))
}

fn changes() -> Vec<Tool> {
    vec![
        // Not a tool of the suite: `make conformance` follows its challenge.
        tool("scoped", "Needs a scope of its own")
            .scopes("conformance:more")
            .handler(|_, _: NoArguments| Ok("more")),
        tool("test_trigger_tool_change", "Announces a change of tools").handler(|context, _: NoArguments| {
            context.publisher().tools_changed();
            Ok("announced")
        }),
        tool("test_trigger_prompt_change", "Announces a change of prompts").handler(
            |context, _: NoArguments| {
                context.publisher().prompts_changed();
                Ok("announced")
            },
        ),
    ]
}

fn prompts() -> Vec<Prompt> {
    #[derive(Deserialize)]
    struct Arguments {
        arg1: String,
        arg2: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Embedded {
        resource_uri: String,
    }
    vec![
        Prompt::new("test_simple_prompt", "A simple prompt")
            .handler(|_, _: NoArguments| Ok("This is a simple prompt for testing.".to_owned())),
        Prompt::new("test_prompt_with_arguments", "A prompt with arguments")
            .required_argument("arg1", "First argument")
            .required_argument("arg2", "Second argument")
            .complete("arg1", |_, partial| {
                let all = ["test-one", "test-two", "other"].into_iter();
                all.filter(|each| each.starts_with(&partial.value)).map(str::to_owned).collect()
            })
            .handler(|_, Arguments { arg1, arg2 }| {
                Ok(format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))
            }),
        Prompt::new("test_prompt_with_embedded_resource", "A prompt with a resource")
            .required_argument("resourceUri", "The resource to embed")
            .handler(|_, Embedded { resource_uri }| {
                let resource = ResourceContents::text(resource_uri, "Embedded resource content for testing.");
                Ok(PromptResult::default()
                    .with(Role::User, Content::resource(resource.with("mimeType", "text/plain")))
                    .with(Role::User, Content::text("Please process the embedded resource above.")))
            }),
        Prompt::new("test_prompt_with_image", "A prompt with an image").handler(|_, _: NoArguments| {
            Ok(PromptResult::default()
                .with(Role::User, image())
                .with(Role::User, Content::text("Please analyze the image above.")))
        }),
        Prompt::new("test_input_required_result_prompt", "A prompt that asks for its context").handler(
            |context, _: NoArguments| {
                let question = elicit("user_context", "What is the context?", ("context", "string"));
                let answer: Answer = context.ask(question)?;
                Ok(format!("Context: {}", answer.field("context")))
            },
        ),
    ]
}

fn resources() -> Vec<Resource> {
    vec![
        Resource::new("test://static-text", "Static text")
            .with("mimeType", "text/plain")
            .text("This is the content of the static text resource."),
        Resource::new("test://static-binary", "Static binary").with("mimeType", "image/png").reader(
            |_, _| Ok(ResourceContents::blob("test://static-binary", PNG).with("mimeType", "image/png")),
        ),
        Resource::new("test://watched-resource", "Watched resource")
            .with("mimeType", "text/plain")
            .text("Watched"),
    ]
}

fn template() -> Resource {
    Resource::template("test://template/{id}/data", "Template data")
        .with("mimeType", "application/json")
        .reader(|_, found| {
            let id = found.variables.get("id").map(String::as_str).unwrap_or_default();
            let text =
                json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") }).to_string();
            Ok(ResourceContents::text(found.uri.clone(), text).with("mimeType", "application/json"))
        })
}

fn rich_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

fn pause(context: &Context) -> Result<(), CallError> {
    if context.cancel().wait(STEP) { Err(CallError::Cancelled) } else { Ok(()) }
}
