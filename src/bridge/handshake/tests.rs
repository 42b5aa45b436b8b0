use serde_json::json;

use super::*;
use crate::base::Mutex;
use crate::bridge::fake::{FakeTransport, Nobody, receive};
use crate::bridge::transport::Transport;

/// Performs the handshake with a peer that gives these answers, and returns the sent messages and the outcome.
fn shake(answers: &[&str]) -> (Vec<String>, Option<Result<Greeting, Unavailable>>) {
    shake_from(Era::Legacy, answers)
}

fn shake_from(first: Era, answers: &[&str]) -> (Vec<String>, Option<Result<Greeting, Unavailable>>) {
    let (peer, transport) = (Peer::new(), Arc::new(FakeTransport::default()));
    peer.connect(Arc::clone(&transport) as Arc<dyn Transport>);
    let outcome = Arc::new(Mutex::new(None));
    let told = Arc::clone(&outcome);
    start(
        &peer,
        ClientInfo { name: "us", version: "1" },
        (first, Arc::new(move |greeting| *told.lock() = Some(greeting))),
    );
    let mut sent = transport.take();
    for (index, answer) in answers.iter().enumerate() {
        match *answer {
            "end" => peer.ended("it ended with exit status 1", &Nobody),
            answer => assert!(receive(&peer, &format!(r#"{{"jsonrpc":"2.0","id":{},{answer}}}"#, index + 1))),
        }
        sent.extend(transport.take());
    }
    let outcome = outcome.lock().take();
    (sent, outcome)
}

fn check_error(answers: &[&str], expected: Unavailable) {
    match shake(answers).1 {
        Some(Err(error)) => assert_eq!(error, expected, "{answers:?}"),
        other => panic!("{answers:?}: {other:?}"),
    }
}

#[test]
fn every_version_with_initialize_is_spoken() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let answer = format!(
            r#""result":{{"protocolVersion":"{version}","capabilities":{{"tools":{{"listChanged":true}},"prompts":{{}},"x":1}},"serverInfo":{{"name":"s","version":"2","x":1.0}},"instructions":"read"}}"#
        );
        let (sent, outcome) = shake(&[&answer]);
        let greeting = outcome.unwrap().unwrap();
        let description = &greeting.description;
        assert_eq!(
            (greeting.era, description.instructions.as_deref()),
            (Era::Legacy, Some("read")),
            "{version}"
        );
        assert_eq!(
            json!(description.capabilities),
            json!({ "tools": { "listChanged": true }, "prompts": {} })
        );
        assert_eq!(json!(description.info), json!({ "name": "s", "version": "2", "x": 1.0 }));
        assert_eq!(
            sent,
            [
                r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{},"sampling":{}},"clientInfo":{"name":"us","version":"1"}}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            ]
        );
    }
}

#[test]
fn a_peer_that_refuses_initialize_is_sent_server_discover() {
    let refusal = r#""error":{"code":-32601,"message":"Method not found"}"#;
    let answer = r#""result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"2"}}}"#;
    let (sent, outcome) = shake(&[refusal, answer]);
    let greeting = outcome.unwrap().unwrap();
    assert_eq!(greeting.era, Era::Modern);
    assert_eq!(json!(greeting.description.capabilities), json!({ "tools": {} }));
    assert_eq!(json!(greeting.description.info), json!({ "name": "s", "version": "2" }));
    assert_eq!(
        sent[1..],
        [
            r#"{"jsonrpc":"2.0","id":2,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"us","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#
        ]
    );
    check_error(
        &[refusal, r#""error":{"code":-1,"message":"go away"}"#],
        Unavailable::Refused("go away".to_owned()),
    );
    check_error(
        &[refusal, r#""result":{"supportedVersions":["2099-01-01"]}"#],
        Unavailable::Version("2099-01-01".to_owned()),
    );
    check_error(&[refusal, "end"], Unavailable::Died("it ended with exit status 1".to_owned()));
}

/// For clients of 2026-07-28, if the peer may support both eras.
#[test]
fn a_peer_that_refuses_2026_is_initialized() {
    let refusal = r#""error":{"code":-32601,"message":"Method not found"}"#;
    let answer = r#""result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}"#;
    let (sent, outcome) = shake_from(Era::Modern, &[refusal, answer]);
    assert_eq!(outcome.unwrap().unwrap().era, Era::Legacy);
    assert!(sent[0].contains("server/discover") && sent[0].contains("2026-07-28"), "{sent:?}");
    assert!(sent[1].contains(r#""method":"initialize""#) && !sent[1].contains("_meta"), "{sent:?}");
    let refused = r#""error":{"code":-1,"message":"go away"}"#;
    match shake_from(Era::Modern, &[refusal, refused]).1 {
        Some(Err(error)) => assert_eq!(error, Unavailable::Refused("go away".to_owned())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalid_initialize_result_is_an_error() {
    check_error(&["end"], Unavailable::Died("it ended with exit status 1".to_owned()));
    check_error(&[r#""result":{}"#], Unavailable::Unreadable);
    check_error(&[r#""result":null"#], Unavailable::Unreadable);
    check_error(
        &[r#""result":{"protocolVersion":"2023-01-01"}"#],
        Unavailable::Version("2023-01-01".to_owned()),
    );
    assert!(shake(&[]).1.is_none(), "there is no answer yet");
}

/// Capabilities that are not passed on are not declared, and the kept description is bounded.
#[test]
fn only_forwarded_capabilities_are_offered() {
    let result = |text: &str| initialized(&RawValue::from_string(text.to_owned()).unwrap());
    let capabilities = r#"{"tools":{},"resources":{"subscribe":true,"listChanged":true},"tasks":{"list":{}},"logging":{},"experimental":{},"completions":null,"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{}}}"#;
    let greeting =
        result(&format!(r#"{{"protocolVersion":"2025-11-25","capabilities":{capabilities}}}"#)).unwrap();
    let expected = json!({ "tools": {}, "resources": { "subscribe": true, "listChanged": true }, "logging": {}, "extensions": { "x/y": {} } });
    assert_eq!(json!(greeting.description.capabilities), expected);
    assert_eq!(json!(greeting.description.info), json!({ "name": "unnamed", "version": "0" }));
    let sized = |length: usize| {
        result(&format!(r#"{{"protocolVersion":"2025-11-25","instructions":"{}"}}"#, "x".repeat(length)))
    };
    assert!(sized(limits::bridge::GREETING_BYTES - 54).is_ok());
    assert_eq!(sized(limits::bridge::GREETING_BYTES).err(), Some(Unavailable::Unreadable));
    let icons = |count: usize| {
        let icons = vec!["{}"; count].join(",");
        result(&format!(
            r#"{{"protocolVersion":"2025-11-25","serverInfo":{{"name":"n","icons":[{icons}]}}}}"#
        ))
    };
    assert!(icons(limits::bridge::GREETING_VALUES - 5).is_ok());
    assert_eq!(icons(limits::bridge::GREETING_VALUES - 4).err(), Some(Unavailable::Unreadable));
}

/// It is shown to clients, and kept for the operator.
#[test]
fn a_long_refusal_is_truncated() {
    let long = "x".repeat(100_000);
    let error = format!(r#""error":{{"code":1,"message":"{long}"}}"#);
    check_error(&[&error, &error], Unavailable::Refused("x".repeat(100)));
    let version = format!(r#""result":{{"protocolVersion":"{}","capabilities":{{}}}}"#, "9".repeat(1000));
    check_error(&[&version], Unavailable::Version("9".repeat(100)));
}
