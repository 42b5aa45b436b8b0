//! The definitions that clients get from a server, and a handler's view of a request.

use super::*;

#[derive(serde::Deserialize)]
struct Topic {
    topic: String,
}

fn topic_schema(name: &str) -> Value {
    json!({ "type": "object", "properties": { name: { "type": "string" } } })
}

/// Titles and icons, in every object that has them.
#[test]
fn titles_and_icons_are_listed() {
    let shown = json!([{
        "src": "https://a.example/i.png", "mimeType": "image/png", "sizes": ["48x48"], "theme": "dark" }]);
    let icons = || shown.clone();
    let contents = || ResourceContents::text("a:b", "c");
    let tool = Tool::new("t", "d", json!({ "type": "object" })).handler(|_, _: NoArguments| Ok(""));
    let prompt = Prompt::new("p", "d").handler(|_, _: NoArguments| Ok(String::new()));
    let resource = Resource::new("a:b", "r").reader(move |_, _| Ok(contents()));
    let template = Resource::template("a:{x}", "t").reader(move |_, _| Ok(contents()));
    let server = ToolServer::builder("n", "1")
        .with("icons", icons())
        .tool(tool.with("title", "T").with("icons", icons()))
        .prompt(prompt.with("title", "T").with("icons", icons()))
        .resource(resource.with("title", "T").with("icons", icons()))
        .resource(template.with("title", "T").with("icons", icons()));
    let endpoint = endpoint(server.build().unwrap());
    let lists = [
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ];
    for (method, member) in lists {
        let answer = endpoint.send(modern::plain(method, json!({})));
        let listed = &answer.json()["result"][member][0];
        assert_eq!((&listed["title"], &listed["icons"]), (&json!("T"), &shown), "{method}");
        let info = &answer.json()["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(info["icons"], shown);
    }
}

/// The server serves what it lists: an overridden member applies to both.
#[test]
fn overridden_members_apply_to_listing_and_serving() {
    let template = Resource::template("a://x/{id}", "r").text("template").with("uriTemplate", "a://y/{id}");
    let resource = Resource::new("a:b", "r").text("resource").with("uri", "a:c");
    let topic = json!([{ "name": "topic", "required": true }]);
    let prompt = Prompt::new("p", "d").with("arguments", topic).handler(|_, Topic { topic }| Ok(topic));
    let tool = Tool::new("t", "d", json!({ "type": "object" })).handler(|_, _: NoArguments| Ok("tool"));
    let server = ToolServer::builder("n", "1")
        .with("name", "m")
        .tool(tool.with("name", "u"))
        .prompt(prompt.with("name", "q"))
        .resource(resource)
        .resource(template)
        .build()
        .unwrap();
    assert_eq!(server.consent().name, "m");
    let endpoint = endpoint(server);
    let send = |method: &str, params: Value| endpoint.send(modern::plain(method, params));
    let read = |uri: &str| send("resources/read", json!({ "uri": uri })).json().clone();
    assert_eq!(read("a:c")["result"]["contents"][0]["text"], "resource");
    assert_eq!(read("a://y/1")["result"]["contents"][0]["text"], "template");
    assert_eq!(
        (&read("a:b")["error"]["code"], &read("a://x/1")["error"]["code"]),
        (&json!(-32602), &json!(-32602))
    );
    assert_eq!(endpoint.send(modern::call(1, "u", json!({}))).text(), "tool");
    assert_eq!(
        send("prompts/get", json!({ "name": "q" })).json()["error"]["message"],
        "Missing argument: topic"
    );
}

/// The trace context of a request reaches its handler, in both eras; a value other than a string is ignored.
#[test]
fn a_handler_sees_the_meta_of_its_request() {
    let tool = Tool::new("trace", "t", json!({ "type": "object" })).handler(|context, _: NoArguments| {
        Ok(context.meta::<String>("traceparent").unwrap_or_else(|| "none".to_owned()))
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let session = endpoint.session();
    let check = |traceparent: Value, expected: &str| {
        let mut params = json!({ "name": "trace", "_meta": { "traceparent": traceparent } });
        let legacy = post(&request(1, "tools/call", params.clone())).with("Mcp-Session-Id", &session);
        assert_eq!(endpoint.send(legacy).text(), expected);
        params["_meta"] = modern::meta();
        params["_meta"]["traceparent"] = traceparent;
        assert_eq!(endpoint.send(modern::plain("tools/call", params)).text(), expected);
    };
    check(
        json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    check(json!(7), "none");
    check(Value::Null, "none");
}

/// Members that a reader does not set are those of the resource.
#[test]
fn contents_inherit_uri_and_mime_type_of_their_resource() {
    let template = |reader: fn() -> ResourceContents| {
        Resource::template("a:{x}", "t").with("mimeType", "text/csv").reader(move |_, _| Ok(reader()))
    };
    let check = |reader: fn() -> ResourceContents, expected: Value| {
        let resource =
            Resource::new("b:1", "r").with("mimeType", "text/csv").reader(move |_, _| Ok(reader()));
        let server = ToolServer::builder("n", "1").resource(template(reader)).resource(resource);
        let endpoint = endpoint(server.build().unwrap());
        for uri in ["a:1", "b:1"] {
            let read = endpoint.send(modern::plain("resources/read", json!({ "uri": uri })));
            let mut expected = expected.clone();
            expected["uri"] = expected.get("uri").cloned().unwrap_or_else(|| json!(uri));
            assert_eq!(read.json()["result"]["contents"], json!([expected]));
        }
    };
    check(|| "x,y".into(), json!({ "mimeType": "text/csv", "text": "x,y" }));
    let own = || ResourceContents::text("c:2", "z").with("mimeType", "text/plain");
    check(own, json!({ "uri": "c:2", "mimeType": "text/plain", "text": "z" }));
}

/// The answer to a form, a refusal and a form without fields, each in a repeated call of 2026-07-28.
#[test]
fn a_handler_gets_the_answer_to_its_elicitation() {
    let tool = Tool::new("ask", "t", json!({ "type": "object" })).handler(|context, _: NoArguments| {
        let answer = context.elicit("what", "?", &topic_schema("topic"))?;
        Ok(answer.map_or_else(|| "declined".to_owned(), |Topic { topic }| topic))
    });
    let sure = Tool::new("sure", "t", json!({ "type": "object" })).handler(|context, _: NoArguments| {
        let answer: Option<NoArguments> = context.elicit("what", "?", &json!({ "type": "object" }))?;
        Ok(if answer.is_some() { "sure" } else { "declined" })
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).tool(sure).build().unwrap());
    let answer = |tool: &str, answer: Value| {
        endpoint
            .send(modern::plain("tools/call", json!({ "name": tool, "inputResponses": { "what": answer } })))
    };
    let accepted = json!({ "action": "accept", "content": { "topic": "law" } });
    assert_eq!(answer("ask", accepted).text(), "law");
    assert_eq!(answer("ask", json!({ "action": "decline" })).text(), "declined");
    assert_eq!(answer("ask", json!({ "action": "accept" })).error_code(), -32602);
    assert_eq!(answer("sure", json!({ "action": "accept" })).text(), "sure");
    assert_eq!(answer("sure", json!({ "action": "cancel" })).text(), "declined");
}

/// The error for wrong arguments has the place and the expected type.
#[test]
fn wrong_arguments_are_explained() {
    let tool = Tool::new("t", "t", topic_schema("topic")).handler(|_, Topic { topic }| Ok(topic));
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let check = |arguments: Value, expected: &str| {
        let answer = endpoint.send(modern::call(1, "t", arguments));
        assert_eq!(answer.json()["result"]["isError"], true);
        assert_eq!(answer.text(), expected);
    };
    check(json!({}), "Invalid arguments: missing field `topic`");
    check(json!({ "topic": 7 }), "Invalid arguments: topic: invalid type: integer `7`, expected a string");
    // serde alone would read the array by the order of the fields.
    assert_eq!(endpoint.send(modern::call(1, "t", json!(["law"]))).error_code(), -32602);
}

/// A name that schema and handler spell differently is found when the server is built.
#[test]
fn a_declared_argument_must_be_read() {
    let tool = |schema| Tool::new("t", "t", schema).handler(|_, Topic { topic }| Ok(topic));
    let prompt =
        |name| Prompt::new("p", "d").optional_argument(name, "d").handler(|_, Topic { topic }| Ok(topic));
    let unread =
        |what: &str| Some(format!(r#"{what}: its handler does not read the declared argument "topics""#));
    let build = |builder: Builder| builder.build().err().map(|error| error.to_string());
    let builder = || ToolServer::builder("n", "1");
    assert_eq!(build(builder().tool(tool(topic_schema("topics")))), unread(r#"tool "t""#));
    assert_eq!(build(builder().prompt(prompt("topics"))), unread(r#"prompt "p""#));
    assert_eq!(build(builder().tool(tool(topic_schema("topic"))).prompt(prompt("topic"))), None);
    let any = |_: &Context, _: Value| Ok("");
    let ignored = |_: &Context, _: NoArguments| Ok("");
    assert_eq!(build(builder().tool(Tool::new("t", "t", topic_schema("x")).handler(any))), None);
    assert_eq!(build(builder().tool(Tool::new("t", "t", topic_schema("x")).handler(ignored))), None);
}

/// A definition that no client could use is found when the server is built.
#[test]
fn a_definition_that_cannot_be_served_is_refused() {
    let check = |builder: Builder, expected: &str| {
        let error = builder.build().err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.ends_with(expected)), "{expected}: {error:?}");
    };
    let builder = || ToolServer::builder("n", "1");
    let tool = |name: &str, schema| Tool::new(name, "t", schema).handler(|_, _: NoArguments| Ok(""));
    let object = || json!({ "type": "object" });
    check(builder().tool(tool("two words", object())), "a name is 1 to 64 letters, digits, `_`, `-`, `.`");
    check(builder().tool(tool("t", json!({}))), "the input schema has no `type: object`");
    let mirrored =
        json!({ "type": "object", "properties": { "a": { "type": "array", "x-mcp-header": "A" } } });
    check(builder().tool(tool("t", mirrored)), "it has an x-mcp-header that clients must refuse");
    check(builder().tool(Tool::new("t", "t", object())), "it has no handler");
    let twice = builder().tool(tool("t", object())).tool(tool("t", object()));
    check(twice, "there are two of this name or URI");
    check(builder().prompt(Prompt::new("p", "d")), "it has no handler");
    let template = |uri| Resource::template(uri, "r").text("x");
    check(builder().resource(template("a:{+path}")), "its URI is no template of RFC 6570 level 1");
    let completed = template("a:{x}").complete("y", |_, _| Vec::new());
    check(builder().resource(completed), "it completes a variable that its URI does not have");
    check(builder().resource(Resource::new("a:b", "r")), "it has no reader");
    check(builder().resource(Resource::new("readme", "r").text("x")), "its URI has no scheme");
    check(builder().resource(template("{x}")), "its URI has no scheme");
}

/// A prompt has no results that are errors, and only some calls of 2026-07-28 may end with questions.
#[test]
fn a_prompt_that_fails_is_a_json_rpc_error() {
    let prompt = |name: &str, error: fn() -> CallError| {
        Prompt::new(name, "d").handler(move |_, _: NoArguments| -> Result<String, CallError> { Err(error()) })
    };
    let server = ToolServer::builder("n", "1")
        .prompt(prompt("told", || "no such law".into()))
        .prompt(prompt("asks", || CallError::InputRequired(Vec::new())));
    let endpoint = endpoint(server.build().unwrap());
    let session = endpoint.session();
    let check = |name: &str, expected: &str| {
        let get = post(&request(1, "prompts/get", json!({ "name": name }))).with("Mcp-Session-Id", &session);
        let error = endpoint.send(get).json()["error"].clone();
        assert_eq!((&error["code"], &error["message"]), (&json!(-32603), &json!(expected)));
    };
    check("told", "no such law");
    check("asks", &Error::internal().message);
    let asks = endpoint.send(modern::plain("prompts/get", json!({ "name": "asks" })));
    assert_eq!(asks.error_code(), -32603, "a result must ask or have a state");
}

/// A method of a capability that the server has not announced does not exist.
#[test]
fn methods_of_other_capabilities_are_unknown_in_a_session() {
    let tool = Tool::new("t", "t", json!({ "type": "object" })).handler(|_, _: NoArguments| Ok(""));
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let session = endpoint.session();
    for method in ["prompts/list", "resources/list", "resources/subscribe", "resources/unsubscribe"] {
        let request = post(&request(1, method, json!({ "uri": "a:b" }))).with("Mcp-Session-Id", &session);
        assert_eq!(endpoint.send(request).error_code(), -32601, "{method}");
    }
}

/// Official clients refuse a whole list for one entry that is not of the specification's form.
#[test]
fn definitions_that_clients_refuse_are_not_built() {
    let tool = || Tool::new("t", "d", json!({ "type": "object" })).handler(|_, _: NoArguments| Ok(""));
    let check = |member: &'static str, value: Value, expected: Option<&str>| {
        let built = ToolServer::builder("n", "1").tool(tool().with(member, value.clone())).build();
        let why = built.err().map(|error| error.to_string());
        assert_eq!(why.is_some(), expected.is_some(), "{value}: {why:?}");
        assert!(why.unwrap_or_default().contains(expected.unwrap_or_default()), "{value}");
    };
    let no_object = Some("tool \"t\": the output schema has no `type: object`");
    check("outputSchema", json!({ "type": "object" }), None);
    check("outputSchema", json!({ "type": "array" }), no_object);
    check("outputSchema", json!({ "properties": {} }), no_object);
    check("outputSchema", Value::Null, no_object);
    let misfit = Some("tool \"t\": its `annotations` need a string");
    check(
        "annotations",
        json!({ "title": "T", "readOnlyHint": true, "idempotentHint": false, "my": 7 }),
        None,
    );
    check("annotations", json!([]), misfit);
    check("annotations", json!({ "title": 7 }), misfit);
    for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
        check("annotations", json!({ hint: "true" }), misfit);
        check("annotations", json!({ hint: null }), misfit);
    }
}

#[test]
fn only_arguments_of_a_prompt_are_completed() {
    let build = |argument: &str| {
        let prompt =
            Prompt::new("p", "d").required_argument("topic", "t").complete(argument, |_, _| Vec::new());
        let prompt = prompt.handler(|_, Topic { topic }| Ok(topic));
        ToolServer::builder("n", "1").prompt(prompt).build().map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(build("topic"), Ok(()));
    let why = "prompt \"p\": it completes an argument that it does not have";
    assert_eq!(build("topics"), Err(why.to_owned()));
}

/// A closure gets the publisher once, when the endpoint is made, and notifies clients from a thread of its own.
#[test]
fn a_server_publishes_changes_outside_of_calls() {
    let (out, started) = std::sync::mpsc::channel();
    let resource = Resource::new("a:b", "r").text("c");
    let server = ToolServer::builder("n", "1").resource(resource).on_start(move |publisher| {
        out.send(publisher).unwrap();
    });
    let server = server.build().unwrap();
    assert!(started.try_recv().is_err());
    let endpoint = endpoint(server);
    let publisher = started.try_recv().unwrap();
    assert!(started.recv().is_err(), "the closure is dropped after its call");
    let listening = endpoint.send(modern::listen(1, json!({ "resourceSubscriptions": ["a:b"] }))).events();
    listening.json();
    std::thread::spawn(move || publisher.resource_updated("a:b")).join().unwrap();
    assert_eq!(listening.json()["method"], "notifications/resources/updated");
}
