use serde_json::json;

use super::*;
use crate::base::UserId;

/// A person with this grant.
fn person(number: u64, grant: GrantId) -> (Subject, GrantId) {
    (Subject::User(UserId(number)), grant)
}

/// A page with one tool, whose schema has this number of mirrored arguments.
fn page(tool: &str, mirrored: usize) -> Reply {
    let properties = (0..mirrored).map(|number| {
        let name = format!("argument-{number}");
        (name.clone(), json!({ "type": "string", "x-mcp-header": name }))
    });
    let schema = json!({ "properties": properties.collect::<serde_json::Map<_, _>>() });
    serde_json::from_value(json!({ "tools": [{ "name": tool, "inputSchema": schema }] })).unwrap()
}

/// A program may list any number of entries, page by page.
#[test]
fn remembered_names_are_bounded_per_grant() {
    let listed = Listed::default();
    let [first, second] = [1, 2].map(|grant| GrantId([grant; 16]));
    let knows = |grant, tool: &str| listed.has(grant, Operation::CallTool, tool);
    let note = |grant, tool: &str, mirrored| {
        listed.note(person(1, grant), Operation::List(List::Tools), &page(tool, mirrored))
    };
    for _ in 0..1000 {
        note(first, "again", 100);
    }
    note(first, "other", 0);
    assert!(knows(first, "again") && knows(first, "other"), "what is listed again takes nothing");
    note(first, "huge", 100_000);
    assert!(listed.rules(first, "huge").is_none());
    for number in 0..100 {
        note(first, &number.to_string(), 100);
    }
    assert!(!knows(first, "99"));
    note(second, "99", 100);
    assert_eq!(listed.rules(second, "99").unwrap().mirrored.len(), 100);
    listed.end_grant(first);
    assert!(!knows(first, "again"));
}

/// A7: a server whose tools change their names for days does not fill the memory for them.
#[test]
fn names_from_before_a_change_make_room() {
    let (listed, grant) = (Listed::default(), GrantId([1; 16]));
    let tools = |day: usize, count: usize| {
        let tool = |number: usize| json!({ "name": format!("{day}-{number}"), "annotations": { "readOnlyHint": true } });
        let page = json!({ "tools": (0..count).map(tool).collect::<Vec<_>>() });
        listed.note(person(1, grant), Operation::List(List::Tools), &serde_json::from_value(page).unwrap());
    };
    for day in 0..10 {
        tools(day, 1000);
        assert_eq!(listed.is_read_only(grant, &format!("{day}-999")), Some(true), "{day}");
        listed.tools_changed(None, Some(grant));
    }
    tools(10, 10_000);
    let names = || listed.by_grant.lock()[&grant].names.len();
    let most = names();
    assert!(
        most > 1000 && listed.is_read_only(grant, "10-9999").is_none(),
        "a long list keeps its beginning"
    );
    tools(10, 10_000);
    assert_eq!((names(), listed.is_read_only(grant, "10-0")), (most, Some(true)));
}

/// A7: a tool's annotations are looked up again after the server has notified a change of its tools.
#[test]
fn read_only_hints_are_forgotten_when_the_tool_list_changes() {
    let listed = Listed::default();
    let [first, second] = [1, 2].map(|grant| GrantId([grant; 16]));
    let page = json!({ "tools": [7, { "name": "look", "annotations": { "readOnlyHint": true } }] });
    let page: Reply = serde_json::from_value(page).unwrap();
    let note = |grant| listed.note(person(1, grant), Operation::List(List::Tools), &page);
    let known = || [first, second].map(|grant| listed.is_read_only(grant, "look"));
    [first, second].into_iter().for_each(note);
    assert_eq!(known(), [Some(true); 2], "an entry that cannot be read hides no other");
    listed.tools_changed(Some(person(1, first).0), Some(first));
    assert_eq!(known(), [None, Some(true)]);
    note(first);
    assert_eq!(known(), [Some(true); 2]);
    listed.tools_changed(None, None);
    assert_eq!(known(), [None; 2]);
    listed.looked_up(person(1, first), listed.changes(first));
    assert_eq!(known(), [Some(false), None], "the whole list did not have it");
    note(first);
    assert_eq!(known(), [Some(true), None], "a client has read that it is there now");
}

/// P3: an entry, its annotations and its schema stay text as far as they are not read, and a list has a limit: as values they
/// would take many times the memory of their text.
#[test]
fn no_part_of_a_list_is_read_into_much_more_memory() {
    let grant = GrantId([1; 16]);
    let read = |tools: &str| {
        let listed = Listed::default();
        let page: Reply = serde_json::from_str(&format!(r#"{{"tools":[{tools}]}}"#)).unwrap();
        listed.note(person(1, grant), Operation::List(List::Tools), &page);
        listed
    };
    let tool = |more: &str| format!(r#"{{"name":"look",{more}}}"#);
    let entries = |count: usize| read(&format!("{}{}", tool(r#""a":1"#), ",1".repeat(count - 1)));
    assert!(entries(limits::JSON_VALUES).has(grant, Operation::CallTool, "look"));
    assert!(!entries(limits::JSON_VALUES + 1).has(grant, Operation::CallTool, "look"));
    let hints = |others: usize| {
        let others: String = (0..others).map(|number| format!(r#""{number}":0,"#)).collect();
        let listed = read(&tool(&format!(r#""annotations":{{{others}"readOnlyHint":true}}"#)));
        listed.is_read_only(grant, "look")
    };
    assert_eq!(hints(limits::MEMBERS - 1), Some(true));
    assert_eq!(hints(limits::MEMBERS), Some(false));
    let schema = |bytes: usize| {
        let argument = r#""a":{"type":"string","x-mcp-header":"A"}"#;
        let schema = format!(r#"{{"title":"{}","properties":{{{argument}}}}}"#, "x".repeat(bytes));
        read(&tool(&format!(r#""inputSchema":{schema}"#))).rules(grant, "look")
    };
    assert!(schema(0).is_some() && schema(limits::bridge::LISTED_BYTES).is_none());
}

/// A sweep looks at a bounded number of grants, and in the end at each.
#[test]
fn recorded_grants_are_swept_in_turn() {
    let listed = Listed::default();
    let page: Reply = serde_json::from_value(json!({ "tools": [{ "name": "look" }] })).unwrap();
    let all: Vec<_> = (0..=limits::SWEEP_BATCH).map(|n| GrantId((n as u128).to_be_bytes())).collect();
    all.iter().for_each(|grant| listed.note(person(1, *grant), Operation::List(List::Tools), &page));
    let turns = [(); 4].map(|()| listed.some_grants());
    assert_eq!(turns.each_ref().map(Vec::len), [limits::SWEEP_BATCH, 1, 0, limits::SWEEP_BATCH]);
    assert_eq!(turns[..2].concat(), all);
}

/// A7: with one program per person, a change that it notifies concerns none of another person's tools.
#[test]
fn a_change_of_one_persons_tools_is_not_anothers() {
    let listed = Listed::default();
    let [first, second, third] = [1, 2, 3].map(|grant| GrantId([grant; 16]));
    let page = json!({ "tools": [{ "name": "look", "annotations": { "readOnlyHint": true } }] });
    let page: Reply = serde_json::from_value(page).unwrap();
    let readers = [person(1, first), person(1, second), person(2, third)];
    readers.iter().for_each(|reader| listed.note(*reader, Operation::List(List::Tools), &page));
    listed.tools_changed(Some(person(1, first).0), None);
    let known = readers.map(|(_, grant)| listed.is_read_only(grant, "look"));
    assert_eq!(known, [None, None, Some(true)]);
}
