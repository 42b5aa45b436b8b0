//! Access to a server behind the login.

use serde_json::{Value, json};

use super::rig::{Rig, legacy, modern, rig};
use super::*;
use crate::base::AccessRules;

/// Tools on two pages, the second of which claims a further page.
fn pages(message: &Value) -> Vec<String> {
    let tool = |name: &str, hint: bool| json!({ "name": name, "n": 18_446_744_073_709_551_615_u64, "annotations": { "readOnlyHint": hint } });
    let result = match (message["method"].as_str(), message["params"]["cursor"].as_str()) {
        (Some("tools/list"), None) => {
            json!({ "tools": [tool("look", true), tool("change", false)], "nextCursor": "2" })
        }
        (Some("tools/list"), Some("odd")) => json!({ "tools": [{ "name": 7 }, 7, tool("odd", true)] }),
        (Some("tools/list"), Some(_)) => json!({ "tools": [tool("far", true)], "nextCursor": "3" }),
        (Some("tools/call"), _) => json!({ "content": [], "called": message["params"]["name"] }),
        _ => return super::rig::usual(message),
    };
    vec![json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string()]
}

fn rules(rig: &Rig, rules: Value) {
    rig.access.replace(AccessRules::read(&rules).unwrap());
}

fn call(rig: &Rig, session: &str, tool: &str) -> [Value; 2] {
    let params = json!({ "name": tool, "arguments": {} });
    [legacy(session, "tools/call", params.clone()), modern("tools/call", params)]
        .map(|request| rig.send(request).json())
}

/// A7: a page of a list contains the permitted entries only, each unchanged.
#[test]
fn list_pages_are_filtered_by_the_access_rules() {
    let rig = rig(pages);
    let session = rig.session_as(1);
    rules(&rig, json!([{ "allow": ["any"], "tools": ["*"], "exclude": ["ch*"] }]));
    for request in [legacy(&session, "tools/list", json!({})), modern("tools/list", json!({}))] {
        let listed = rig.send(request).last();
        assert!(
            listed.contains("18446744073709551615") && listed.contains(r#""nextCursor":"2""#),
            "{listed}"
        );
        assert!(listed.contains("look") && !listed.contains("change"));
    }
    let odd = rig.send(legacy(&session, "tools/list", json!({ "cursor": "odd" }))).json();
    assert_eq!(odd["result"]["tools"].as_array().unwrap().len(), 1, "what cannot be read is not shown");
}

/// A7: a call that is not permitted does not reach the server, whether the tool exists or not.
#[test]
fn a_closed_call_does_not_reach_the_peer() {
    let rig = rig(pages);
    let session = rig.session_as(1);
    rules(&rig, json!([{ "allow": ["any"], "tools": ["look"] }]));
    assert_eq!(call(&rig, &session, "look")[0]["result"]["called"], "look");
    let [closed, absent] = ["change", "absent"]
        .map(|tool| call(&rig, &session, tool).map(|answer| answer.to_string().replace(tool, "NAME")));
    assert_eq!(closed, absent);
    assert!(closed.iter().all(|answer| answer.contains("Unknown tool: NAME")), "{closed:?}");
    assert!(!rig.peer(0).sent().iter().any(|message| message.contains(r#""name":"change""#)));
}

/// A7: whether a tool is read-only is looked up if no list has shown it, up to the page limit of any server; an unknown tool is not.
#[test]
fn a_tool_that_was_not_listed_is_looked_up() {
    let rig = rig(pages);
    let session = rig.session_as(1);
    rules(&rig, json!([{ "allow": ["any"], "readOnly": true }]));
    assert_eq!(
        call(&rig, &session, "far").map(|answer| answer["result"]["called"].clone()),
        [json!("far"), json!("far")]
    );
    for closed in ["change", "absent"] {
        let answers = call(&rig, &session, closed);
        assert!(answers.iter().all(|answer| answer["error"]["message"] == format!("Unknown tool: {closed}")));
    }
    let asked = rig.peer(0).sent().iter().filter(|message| message.contains("tools/list")).count();
    assert_eq!(asked, 2 + limits::bridge::LIST_PAGES, "once for each of `far` and `absent`");
}
