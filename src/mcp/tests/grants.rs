//! The consequences of a grant's end.

use super::*;
use crate::base::limits;

fn in_session(request: Request, session: &str) -> Request {
    request.with("Mcp-Session-Id", session)
}

#[test]
fn a_grants_end_ends_its_sessions_streams_and_calls() {
    let endpoint = conformance();
    let (mine, other) = (endpoint.session_as(1, "2025-06-18"), endpoint.session_as(2, "2025-06-18"));
    let stream = endpoint.send(in_session(get(), &mine)).events();
    let others = endpoint.send_as(2, in_session(get(), &other)).events();
    let waiting =
        endpoint.start(1, in_session(post(&call(1, "test_elicitation", json!({ "message": "?" }))), &mine));
    let asking = waiting.head().events();
    asking.json();
    let listening = endpoint.send(modern::listen(1, json!({ "toolsListChanged": true }))).events();
    listening.json();

    endpoint.mcp.end_grant(principal(1).grant, None);
    assert_eq!(asking.json()["error"]["message"], "The login or service token has ended");
    assert_eq!((stream.next(), asking.next(), listening.next()), (None, None, None));
    waiting.worker.join().unwrap();
    assert!(others.is_silent());
    assert_eq!(endpoint.mcp.counts(), Counts { sessions: 1, listeners: 0, calls: 0, tasks: 0 });
    // The next grant of the same client has no access to it either.
    let next = Principal { grant: crate::base::GrantId([9; 16]), ..principal(1) };
    let ping = in_session(post(&request(1, "ping", json!({}))), &mine);
    assert_eq!(endpoint.start_as(next, ping).answer().status, 404);
}

/// T17: a stream that belongs to no call ends when the token that opened it expires, not before. A running call goes on, and a client
/// that reconnects with a fresh token has missed nothing.
#[test]
fn a_stream_ends_with_the_token_that_opened_it() {
    let endpoint = conformance();
    let session = endpoint.session();
    let read = |principal| endpoint.start_as(principal, in_session(get(), &session)).answer().events();
    let (uri, listen) = ("test://watched-resource", modern::listen(1, json!({ "toolsListChanged": true })));
    let subscribed = request(1, "resources/subscribe", json!({ "uri": uri }));
    assert_eq!(endpoint.send(in_session(post(&subscribed), &session)).status, 200);
    let stream = read(short_lived(1));
    let listening = endpoint.start_as(short_lived(1), listen).answer().events();
    listening.json();
    let elicit = in_session(post(&call(2, "test_elicitation", json!({ "message": "?" }))), &session);
    let waiting = endpoint.start_as(short_lived(1), elicit);
    let asking = waiting.head().events();
    asking.json();

    endpoint.clock.advance(TOKEN - Duration::from_secs(1));
    endpoint.mcp.sweep();
    assert!(stream.is_silent() && listening.is_silent());
    endpoint.clock.advance(Duration::from_secs(1));
    endpoint.mcp.sweep();
    assert!(stream.has_ended());
    assert_eq!(
        (listening.json()["result"]["resultType"].as_str(), listening.next()),
        (Some("complete"), None)
    );
    assert!(asking.is_silent());
    assert_eq!(endpoint.mcp.counts(), Counts { sessions: 1, listeners: 0, calls: 1, tasks: 0 });
    endpoint.mcp.0.publisher().resource_updated(uri);
    assert_eq!(read(principal(1)).json()["params"]["uri"], uri);
    endpoint.mcp.end_grant(principal(1).grant, None);
    waiting.worker.join().unwrap();
}

/// M17: a user's calls are bounded; one more is refused with the reason.
#[test]
fn a_user_with_too_many_calls_is_told_so() {
    let endpoint = conformance();
    let session = endpoint.session();
    let ask = |id: usize| {
        let body = call(id, "test_elicitation", json!({ "message": "?" }));
        endpoint.send(in_session(post(&body), &session)).events()
    };
    let asking: Vec<_> = (0..limits::CALLS_PER_USER).map(ask).collect();
    asking.iter().for_each(|events| drop(events.json()));
    let simple = || endpoint.send(in_session(post(&call("s", "test_simple_text", json!({}))), &session));
    let busy = simple();
    assert_eq!((busy.status, busy.error_code()), (200, 429));
    let modern = endpoint.send(modern::call("m", "test_simple_text", json!({})));
    assert_eq!((modern.status, modern.error_code()), (429, 429));
    // Lists have places of their own.
    let list = endpoint.send(in_session(post(&request("l", "tools/list", json!({}))), &session));
    assert!(list.json()["result"]["tools"].is_array());
    endpoint.mcp.end_grant(principal(1).grant, None);
    asking.iter().for_each(|events| assert_eq!(events.rest().len(), 1));
}

/// H12: a handler that panics fails its own call and nothing else.
#[test]
fn a_panicking_handler_still_answers() {
    let bad = Tool::new("bad", "", json!({ "type": "object" }))
        .handler(|_, _: NoArguments| -> Result<String, CallError> { panic!("on purpose") });
    let good = Tool::new("good", "", json!({ "type": "object" })).handler(|_, _: NoArguments| Ok("fine"));
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(bad).tool(good).build().unwrap());
    let session = endpoint.session();
    let waiting = endpoint.start(1, in_session(post(&call(1, "bad", json!({}))), &session));
    assert_eq!(waiting.head().error_code(), -32603);
    assert!(waiting.worker.join().is_err());
    assert_eq!(endpoint.send(in_session(post(&call(1, "good", json!({}))), &session)).text(), "fine");
    assert_eq!(endpoint.mcp.counts().calls, 0);
}

/// A call that its backend drops without completion is still answered.
#[test]
fn a_lost_call_is_an_internal_error() {
    struct Loses(Consent);
    impl Backend for Loses {
        fn consent(&self) -> &Consent {
            &self.0
        }

        fn description(&self, _: &Principal) -> Result<Arc<Description>, Error> {
            let capabilities = serde_json::Map::from_iter([("tools".to_owned(), json!({}))]);
            Ok(Arc::new(Description { capabilities, ..Description::default() }))
        }

        fn call(&self, _: Context) {}

        fn tool_rules(&self, _: &Principal, _: &str) -> Option<Arc<ToolRules>> {
            None
        }
    }
    let endpoint = endpoint(Loses(Consent::default()));
    let session = endpoint.session();
    let answer = endpoint.send(in_session(post(&call(1, "any", json!({}))), &session));
    assert_eq!((answer.status, answer.error_code()), (200, -32603));
    let modern = endpoint.send(modern::call(1, "any", json!({})));
    assert_eq!((modern.status, modern.error_code()), (200, -32603));
}

/// T17: its panics do not keep the server's own sessions and streams of an ended grant.
#[test]
fn a_backend_that_panics_at_the_end_of_a_grant_keeps_nothing_alive() {
    struct Panics(ToolServer);
    impl Backend for Panics {
        fn consent(&self) -> &Consent {
            self.0.consent()
        }

        fn description(&self, caller: &Principal) -> Result<Arc<Description>, Error> {
            self.0.description(caller)
        }

        fn call(&self, context: Context) {
            self.0.call(context);
        }

        fn tool_rules(&self, caller: &Principal, tool: &str) -> Option<Arc<ToolRules>> {
            self.0.tool_rules(caller, tool)
        }

        fn grants(&self) -> Vec<crate::base::GrantId> {
            panic!("no grants");
        }

        fn end_grant(&self, _: crate::base::GrantId) {
            panic!("no end");
        }
    }
    let endpoint = endpoint(Panics(ToolServer::builder("n", "1").build().unwrap()));
    let session = endpoint.session();
    let stream = endpoint.send(in_session(get(), &session)).events();
    assert_eq!(endpoint.mcp.grants(), [principal(1).grant].into());
    endpoint.mcp.end_grant(principal(1).grant, None);
    assert_eq!((stream.next(), endpoint.mcp.counts().sessions), (None, 0));
}

/// A tool may need scopes beyond that of all tokens: the challenge names all of them together.
#[test]
fn a_call_without_the_tools_scopes_is_answered_with_a_challenge() {
    let tool =
        |name| Tool::new(name, "t", json!({ "type": "object" })).handler(|_, _: NoArguments| Ok("ran"));
    let server = ToolServer::builder("n", "1").tool(tool("free")).tool(tool("costly").scopes("a b"));
    let endpoint = endpoint(server.build().unwrap());
    let session = endpoint.session();
    let check = |tool: &str, status: u16, needed: Option<&str>| {
        for request in
            [in_session(post(&call(1, tool, json!({}))), &session), modern::call(1, tool, json!({}))]
        {
            let answer = endpoint.send(request);
            assert_eq!((answer.status, answer.needed.as_deref()), (status, needed), "{tool}");
        }
    };
    check("free", 200, None);
    check("costly", 403, Some("a b mcp"));
}

#[test]
fn scopes_of_all_tools_are_collected_when_the_server_is_built() {
    let tool = |scopes| {
        Tool::new(scopes, "t", json!({ "type": "object" })).scopes(scopes).handler(|_, _: NoArguments| Ok(""))
    };
    let server =
        ToolServer::builder("n", "1").tool(tool("a")).tool(tool("b")).keep_github_tokens().build().unwrap();
    assert_eq!(server.consent().scopes.to_string(), "a b");
    assert!(server.consent().keeps_github_tokens);
    let bad =
        Tool::new("bad", "t", json!({ "type": "object" })).scopes("a\"b").handler(|_, _: NoArguments| Ok(""));
    let refused = ToolServer::builder("n", "1").tool(bad).build();
    assert_eq!(
        refused.err().unwrap().to_string(),
        r#"tool "bad": its scopes are not separated by spaces, or have odd characters"#
    );
}

/// Only scopes that a tool needs, and `mcp`, can have a description, once each.
#[test]
fn scope_descriptions_are_for_known_scopes_and_given_once() {
    let build = |words: &[(&str, &str)]| {
        let tool = Tool::new("t", "", json!({ "type": "object" }))
            .scopes("repo")
            .handler(|_, NoArguments {}| Ok(""));
        let builder = ToolServer::builder("n", "1").tool(tool);
        words.iter().fold(builder, |builder, (name, words)| builder.scope(*name, *words)).build()
    };
    let server = build(&[("repo", "Read your repositories"), ("mcp", "Say hello")]).ok().unwrap();
    let words = &server.consent().scope_words;
    assert_eq!(words[0], ("repo".to_owned(), "Read your repositories".to_owned()));
    assert_eq!(words.len(), 2);
    let refused = |words: &[(&str, &str)]| build(words).err().unwrap().to_string();
    assert_eq!(refused(&[("rep", "a")]), r#"scope "rep": it has words, and no tool needs it"#);
    assert_eq!(refused(&[("mcp", "a"), ("mcp", "b")]), r#"scope "mcp": it has words twice"#);
}
