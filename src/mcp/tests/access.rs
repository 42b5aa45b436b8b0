//! Access of a caller: lists, calls, completions and subscriptions, in both eras.

use super::*;
use crate::base::{AccessRules, Group, Memberships, Subject, TokenName};
use crate::mcp::{TaskSupport, Tool, ToolServer};

#[derive(serde::Deserialize)]
struct Letter {
    a: Option<String>,
}

/// A server with tools, prompts and resources for each of these letters, with which their names begin; `w` is for the closed ones.
fn things(letters: &str) -> Endpoint {
    let mut server = ToolServer::builder("n", "1");
    for letter in letters.chars() {
        let schema =
            json!({ "type": "object", "properties": { "a": { "type": "string", "x-mcp-header": "A" } } });
        let tool = |name: &str, hint: bool| {
            Tool::new(format!("{letter}_{name}"), "t", schema.clone())
                .with("annotations", json!({ "readOnlyHint": hint }))
                .handler(|_, Letter { a }| Ok(a.unwrap_or_default()))
        };
        let scoped = if letter == 'w' { "extra" } else { "" };
        let task = Tool::new(format!("{letter}_task"), "t", json!({ "type": "object" }));
        let prompt = Prompt::new(format!("{letter}_prompt"), "p").optional_argument("a", "a");
        let uri = format!("{letter}:record/{{id}}");
        server = server
            .tool(tool("look", true))
            .tool(tool("change", false).scopes(scoped))
            .tool(task.tasks(TaskSupport::Optional).handler(|_, _: NoArguments| Ok("done")))
            .prompt(
                prompt.complete("a", |_, _| vec!["x".to_owned()]).handler(|_, _: Letter| Ok(String::new())),
            )
            .resource(Resource::new(format!("{letter}:index"), "i").text("index"))
            .resource(
                Resource::template(uri, "r").complete("id", |_, _| vec!["7".to_owned()]).text("record"),
            );
    }
    endpoint(server.build().unwrap())
}

/// Replaces the rules by these.
fn rule(endpoint: &Endpoint, rules: Value) {
    endpoint.mcp.0.settings.access.replace(AccessRules::read(&rules).unwrap());
}

/// Such a server on which only names that begin with `r` are open.
fn narrowed(letters: &str) -> Endpoint {
    let endpoint = things(letters);
    rule(&endpoint, json!([{ "allow": ["any"], "tools": ["r*"], "prompts": ["r*"], "resources": ["r:*"] }]));
    endpoint
}

/// A request in both eras.
fn both(session: &str, method: &str, params: &Value) -> [Request; 2] {
    let legacy = post(&request(1, method, params.clone())).with("Mcp-Session-Id", session);
    [legacy, modern::plain(method, params.clone())]
}

/// The answers of both eras: status, and the text of the message.
fn answers(endpoint: &Endpoint, method: &str, params: &Value) -> [(u16, String); 2] {
    let session = endpoint.session();
    both(&session, method, params).map(|request| {
        let answer = endpoint.send(request);
        let text = if answer.needed.is_some() { "scopes".to_owned() } else { answer.json().to_string() };
        (answer.status, text)
    })
}

fn names(endpoint: &Endpoint, method: &str, list: &str, member: &str) -> Vec<String> {
    let [legacy, modern] = answers(endpoint, method, &json!({})).map(|(_, text)| {
        let answer: Value = serde_json::from_str(&text).unwrap();
        let entries = answer["result"][list].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        entries.iter().map(|entry| entry[member].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(legacy, modern);
    legacy
}

/// A7: a list has the entries that its caller may use, in both eras.
#[test]
fn lists_contain_only_permitted_items() {
    let endpoint = narrowed("rw");
    let all = || {
        [
            names(&endpoint, "tools/list", "tools", "name"),
            names(&endpoint, "prompts/list", "prompts", "name"),
            names(&endpoint, "resources/list", "resources", "uri"),
            names(&endpoint, "resources/templates/list", "resourceTemplates", "uriTemplate"),
        ]
        .concat()
    };
    let open = ["r_look", "r_change", "r_task", "r_prompt", "r:index", "r:record/{id}"];
    assert_eq!(all(), open);
    rule(&endpoint, json!([{ "allow": ["any"], "readOnly": true, "exclude": ["w*"] }]));
    assert_eq!(all(), ["r_look"]);
    rule(&endpoint, json!([{ "allow": ["any"], "tools": [] }]));
    assert_eq!(all(), [""; 0]);
    rule(&endpoint, json!([{ "allow": ["user:nobody-here"] }]));
    assert_eq!(all(), [""; 0], "whoever has lost their rule since they were let in");
    rule(&endpoint, json!([{ "allow": ["any"] }]));
    assert_eq!(all().len(), 12);
}

/// A7: the answer for a closed subject is byte for byte that for one that does not exist, in both eras: calls, prompts, reads and
/// completions.
#[test]
fn a_closed_item_is_answered_like_one_that_does_not_exist() {
    let (closed, absent) = (narrowed("rw"), things("r"));
    let argument = json!({ "name": "a", "value": "" });
    for (method, params) in [
        ("tools/call", json!({ "name": "w_look", "arguments": {} })),
        (
            "tools/call",
            json!({ "name": "w_change", "arguments": { "a": "without its header, and the scope" } }),
        ),
        ("tools/call", json!({ "name": "w_task", "arguments": {} })),
        ("prompts/get", json!({ "name": "w_prompt" })),
        ("resources/read", json!({ "uri": "w:index" })),
        ("resources/read", json!({ "uri": "w:record/1" })),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "w_prompt" }, "argument": argument }),
        ),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/resource", "uri": "w:record/{id}" }, "argument": { "name": "id", "value": "" } }),
        ),
    ] {
        let found = answers(&closed, method, &params);
        assert_eq!(found, answers(&absent, method, &params), "{method} {params}");
        assert!(found.iter().all(|(_, text)| text.contains("\"error\"")), "{found:?}");
        assert_ne!(found, answers(&things("rw"), method, &params), "it would be there");
    }
    let open = json!({ "name": "r_look", "arguments": {} });
    assert_eq!(answers(&closed, "tools/call", &open), answers(&absent, "tools/call", &open));
    let dots = answers(&closed, "resources/read", &json!({ "uri": "r:record/../index" }));
    assert!(dots.iter().all(|(_, text)| text.contains("Resource not found")), "{dots:?}");
}

/// A7: a server that reads names of members case-insensitively takes the last one. So only one is allowed: the rule is applied to the
/// tool that is called.
#[test]
fn a_second_name_in_another_case_is_refused() {
    let endpoint = narrowed("rw");
    for (method, params) in [
        ("tools/call", json!({ "name": "r_look", "Name": "w_look", "arguments": {} })),
        ("tools/call", json!({ "name": "r_look", "arguments": {}, "ARGUMENTS": { "a": "b" } })),
        ("tools/call", json!({ "name": "r_look", "arguments": {}, "argument\u{17f}": { "a": "b" } })),
        ("tools/call", json!({ "name": "r_look", "arguments": {}, "_Meta": { "progressToken": 7 } })),
        ("tools/call", json!({ "name": "r_look", "arguments": {}, "RequestState": "the peer's own" })),
        ("prompts/get", json!({ "name": "r_prompt", "naMe": "w_prompt" })),
        ("resources/read", json!({ "uri": "r:index", "URI": "w:index" })),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "r_prompt", "Name": "w_prompt" }, "argument": { "name": "a", "value": "" } }),
        ),
    ] {
        let found = answers(&endpoint, method, &params);
        assert!(found.iter().all(|(_, text)| text.contains("in another case")), "{found:?}");
    }
}

/// A7: with `readOnly` only tools that are declared as read-only can be called.
#[test]
fn a_read_only_rule_opens_only_tools_with_the_read_only_hint() {
    let endpoint = things("r");
    rule(&endpoint, json!([{ "allow": ["any"], "readOnly": true }]));
    let is_open = |tool: &str| {
        let found = answers(&endpoint, "tools/call", &json!({ "name": tool, "arguments": {} }));
        found.map(|(_, text)| text.contains("\"content\""))
    };
    assert_eq!(is_open("r_look"), [true; 2]);
    assert_eq!(is_open("r_change"), [false; 2]);
    assert_eq!(is_open("r_task"), [false; 2], "it says nothing");
}

/// A7: a subscription needs access to the resource.
#[test]
fn only_readable_resources_can_be_subscribed_to() {
    let endpoint = narrowed("rw");
    let session = endpoint.session();
    let subscribe = |uri: &str| {
        let subscribe = post(&request(1, "resources/subscribe", json!({ "uri": uri })));
        endpoint.send(subscribe.with("Mcp-Session-Id", &session)).json().clone()
    };
    assert_eq!(subscribe("r:index")["result"], json!({}));
    assert_eq!(subscribe("w:index")["error"]["message"], "Resource not found");
    let wanted = json!({ "notifications": { "resourceSubscriptions": ["r:index", "w:index"] } });
    let events = endpoint.send(modern::plain("subscriptions/listen", wanted)).events();
    assert_eq!(events.json()["params"]["notifications"]["resourceSubscriptions"], json!(["r:index"]));
    let interests = endpoint.mcp.0.publisher().interests().resources;
    assert_eq!(interests.into_iter().collect::<Vec<_>>(), ["r:index"]);
}

/// The streams of a session and of a `subscriptions/listen` of a caller that have both subscribed to `r:index`.
fn subscribed(endpoint: &Endpoint, caller: &Principal) -> (String, [Events; 2]) {
    let session = endpoint.session();
    let send = |request| endpoint.start_as(caller.clone(), request).answer();
    let subscribe = post(&request(1, "resources/subscribe", json!({ "uri": "r:index" })));
    assert_eq!(send(subscribe.with("Mcp-Session-Id", &session)).json()["result"], json!({}));
    let listening = send(modern::listen(1, json!({ "resourceSubscriptions": ["r:index"] }))).events();
    listening.json(); // what is granted
    let reading = send(get().with("Mcp-Session-Id", &session)).events();
    (session, [reading, listening])
}

/// Reports a change of `r:index`. Whether each of these streams has been told.
fn told(endpoint: &Endpoint, streams: &[Events; 2]) -> [bool; 2] {
    endpoint.mcp.0.publisher().resource_updated("r:index");
    streams.each_ref().map(|events| {
        let is_told = matches!(events.0.next(Duration::ZERO), Next::Chunk(_));
        assert!(events.is_silent());
        is_told
    })
}

/// A8: rules that change hold for subscriptions from before, in both eras. The subscriptions are kept.
#[test]
fn updates_of_a_resource_follow_the_current_rules() {
    let endpoint = things("rw");
    let (_, streams) = subscribed(&endpoint, &principal(1));
    assert_eq!(told(&endpoint, &streams), [true; 2]);
    rule(&endpoint, json!([{ "allow": ["any"], "resources": ["w:*"] }]));
    assert_eq!(told(&endpoint, &streams), [false; 2]);
    endpoint.mcp.0.publisher().resources_changed();
    assert!(streams[0].json()["method"] == "notifications/resources/list_changed", "which names nothing");
    rule(&endpoint, json!([{ "allow": ["user:nobody-here"] }]));
    assert_eq!(told(&endpoint, &streams), [false; 2]);
    rule(&endpoint, json!([{ "allow": ["user:user1"], "resources": ["r:*"] }]));
    assert_eq!(told(&endpoint, &streams), [true; 2]);
}

/// A5: a session's updates follow the memberships of its latest request.
#[test]
fn updates_of_a_resource_follow_the_latest_memberships() {
    let endpoint = things("rw");
    rule(&endpoint, json!([{ "allow": ["org:o"] }, { "allow": ["any"], "resources": [] }]));
    let as_member = |is_member| {
        let mut memberships = Memberships::default();
        memberships.note(&Group::Org("o".to_owned()), is_member);
        Principal { memberships: memberships.into(), ..principal(1) }
    };
    let (session, streams) = subscribed(&endpoint, &as_member(true));
    assert_eq!(told(&endpoint, &streams), [true; 2]);
    let ping = post(&request(2, "ping", json!({}))).with("Mcp-Session-Id", &session);
    endpoint.start_as(as_member(false), ping).answer();
    assert_eq!(told(&endpoint, &streams), [false, true], "the listener's end with their token");
}

/// A7: a task whose tool is no longer open to its caller is unknown, its result included.
#[test]
fn a_task_is_unknown_once_its_tool_is_closed() {
    let endpoint = narrowed("rw");
    let started = endpoint.send(tasks::ask("tools/call", json!({ "name": "r_task", "arguments": {} })));
    let id = started.json()["result"]["taskId"].as_str().unwrap().to_owned();
    let get = |id: &str| endpoint.send(tasks::ask("tasks/get", json!({ "taskId": id }))).json().to_string();
    assert!(get(&id).contains("\"status\""));
    rule(&endpoint, json!([{ "allow": ["any"], "tools": ["w*"] }]));
    assert_eq!(get(&id), get("another"));
}

/// A6: the rules of a service token are its own.
#[test]
fn each_caller_has_their_own_rule() {
    let endpoint = things("rw");
    rule(
        &endpoint,
        json!([{ "allow": ["token:cron"], "tools": ["r_look"] }, { "allow": ["id:2"], "tools": ["w_*"] }]),
    );
    let listed = |caller: Principal| {
        let answer = endpoint.start_as(caller, modern::plain("tools/list", json!({}))).answer();
        answer.json()["result"]["tools"].as_array().unwrap().len()
    };
    let cron = Subject::Token(TokenName::parse("cron").unwrap());
    assert_eq!(listed(Principal { subject: cron, ..principal(3) }), 1);
    assert_eq!((listed(principal(2)), listed(principal(1))), (3, 0));
}
