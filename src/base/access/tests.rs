use std::time::Duration;

use serde_json::json;

use super::*;
use crate::base::identity::fake::subject;

fn glob(text: &str) -> Glob {
    Glob(text.to_owned())
}

fn rules(list: Value) -> AccessRules {
    AccessRules::read(&list).unwrap()
}

fn only(rule: Value) -> Arc<AccessRule> {
    Arc::clone(&rules(json!([rule])).list().unwrap()[0])
}

fn mistakes(list: Value) -> Vec<String> {
    AccessRules::read(&list).unwrap_err()
}

/// Alice, number 1, with these memberships.
fn rule_for(rules: &AccessRules, memberships: &[(&str, bool)]) -> Result<Option<Arc<AccessRule>>, Group> {
    let mut known = Memberships::default();
    for (org, is_member) in memberships {
        known.note(&Group::Org((*org).to_owned()), *is_member);
    }
    rules.rule_for(Who { subject: subject(1), login: "Alice", memberships: &known })
}

/// A3: only `*` is special, and the whole text is matched, in its case.
#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, fits) in [
        ("read", "read", true),
        ("read", "read_file", false),
        ("read", "Read", false),
        ("read_*", "read_", true),
        ("read_*", "read_file", true),
        ("read_*", "unread_file", false),
        ("*_file", "read_file", true),
        ("*_file", "read_file_2", false),
        ("*", "", true),
        ("**", "anything", true),
        ("a*b*c", "a-b-c", true),
        ("a*b*c", "acb", false),
        ("a*a", "a", false),
        ("a*b*b", "ab", false),
        ("a*b*b", "abb", true),
        ("*ab*ab*", "aab", false),
        ("a?", "ab", false),
        ("a?", "a?", true),
        ("[ab]", "a", false),
        ("ä*", "äö", true),
        ("", "", true),
        ("", "a", false),
    ] {
        assert_eq!(glob(pattern).matches(text), fits, "{pattern:?} {text:?}");
    }
}

/// A3: matching takes linear time for any pattern and text.
#[test]
fn a_pattern_is_matched_in_one_pass() {
    let started = crate::base::clock::instant();
    let text = "a".repeat(1 << 20);
    assert!(!glob(&"a*".repeat(1000)).matches(&(text.clone() + "b").replace('a', "b")));
    assert!(!glob(&("a*".repeat(1000) + "b")).matches(&text));
    assert!(!glob(&("*a".repeat(1000) + "*b*")).matches(&text));
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// A3: a URI that a reader could resolve to another resource matches no pattern.
#[test]
fn a_uri_with_dot_segments_matches_no_pattern() {
    let rule = only(json!({ "allow": ["any"], "resources": ["file:///srv/*", "plain"] }));
    for open in [
        "file:///srv/a",
        "file:///srv/a.b/..c",
        "file:///srv/a%20b",
        "file:///srv/100%",
        "file:///srv/https://example.com/a",
        "file:///srv/a?b=..c",
        "plain",
    ] {
        assert!(rule.opens_resource(open), "{open}");
    }
    for closed in [
        "file:///etc/passwd",
        "file:///srv/../etc/passwd",
        "file:///srv/..",
        "file:///srv/./a",
        "file:///srv/%2e%2E/etc",
        "file:///srv/.%2e/etc",
        "file:///srv/..%2fetc",
        "file:///srv/..%5cetc",
        "file:///srv/..\\etc",
        "file:///srv/%252e%252e/etc",
        "file:///srv/%25252e%25252e/etc",
        "file:///srv/..?x",
        "file:///srv/..;/etc",
        "file:///srv/.\t./etc",
        "file:///srv/%c0%ae%c0%ae/etc",
        "file:///srv/.. ",
        "file:///srv/a?b=../etc",
        "file:///srv/a?b=c&d=..",
        "file:///srv/a,../etc",
        "file:///srv//etc/passwd",
        "file:///srv/%2Fetc/passwd",
        "file:///srv/%252fetc/passwd",
        "file:///srv/\\etc/passwd",
        "file:///srv/x:///etc/passwd",
        "file:///srv/x%3A///etc/passwd",
        "PLAIN",
    ] {
        assert!(!rule.opens_resource(closed), "{closed}");
    }
    let all = only(json!({ "allow": ["any"] }));
    assert!(all.opens_resource("file:///srv/../etc"), "where nothing is closed, no pattern is asked");
}

/// A3: an excluded tool is closed under every spelling that a server may treat as its name.
#[test]
fn an_excluded_tool_has_no_other_spelling() {
    let rule = only(json!({ "allow": ["any"], "exclude": ["delete_*", "dropAll"] }));
    for closed in
        ["delete_a", "Delete_A", " delete_a", "delete_a\n", "dropall", "DROPALL ", "dropAll\0", "dropAll\0x"]
    {
        assert!(!rule.opens_tool(closed), "{closed:?}");
    }
    for open in ["undelete_a", "drop", "read"] {
        assert!(rule.opens_tool(open), "{open:?}");
    }
    let rule = only(json!({ "allow": ["any"], "exclude": ["rm *", "ΑΣ*"] }));
    assert!(
        !rule.opens_tool("rm ") && !rule.opens_tool("ΑΣΠ"),
        "folding loses no match of the pattern itself"
    );
}

/// A3: a rule that opens only some tools opens only those prompts and resources that it names.
#[test]
fn a_rule_with_a_tool_list_closes_unlisted_prompts_and_resources() {
    let opens = |rule: Value| {
        let rule = only(rule);
        (rule.opens_tool("read_file"), rule.opens_prompt("p"), rule.opens_resource("r:1"))
    };
    assert_eq!(opens(json!({ "allow": ["any"] })), (true, true, true));
    assert_eq!(opens(json!({ "allow": ["any"], "tools": ["read_*"] })), (true, false, false));
    assert_eq!(opens(json!({ "allow": ["any"], "tools": [] })), (false, false, false));
    assert_eq!(opens(json!({ "allow": ["any"], "exclude": ["write_*"] })), (true, false, false));
    assert_eq!(opens(json!({ "allow": ["any"], "exclude": ["read_*"] })), (false, false, false));
    assert_eq!(
        opens(json!({ "allow": ["any"], "tools": ["*"], "exclude": ["read_*"] })),
        (false, false, false)
    );
    assert_eq!(opens(json!({ "allow": ["any"], "readOnly": true })), (true, false, false));
    assert_eq!(opens(json!({ "allow": ["any"], "readOnly": false })), (true, true, true));
    assert_eq!(
        opens(json!({ "allow": ["any"], "tools": ["x"], "prompts": ["*"], "resources": ["r:*"] })),
        (false, true, true)
    );
    assert_eq!(opens(json!({ "allow": ["any"], "prompts": [] })), (true, false, true));
    let closed = AccessRule::closed();
    assert!(!closed.opens_tool("t") && !closed.opens_prompt("p") && !closed.opens_resource("r:1"));
}

/// A4: the first rule that names the caller applies, also if it is narrower than a later one.
#[test]
fn the_first_rule_holds() {
    let rules = rules(json!([
        { "allow": ["user:bob", "user:alice"], "tools": ["a"] },
        { "allow": ["id:1"], "tools": ["b"] },
        { "allow": ["any"] },
    ]));
    let Ok(Some(rule)) = rule_for(&rules, &[]) else { panic!("nobody") };
    assert!(rule.opens_tool("a") && !rule.opens_tool("b"));
    let bob = Who { subject: subject(2), login: "carol", memberships: &Memberships::default() };
    assert!(rules.rule_for(bob).unwrap().unwrap().opens_everything());
}

/// A4: a caller whom no rule names has no access; without `access` every caller has.
#[test]
fn an_empty_rule_list_admits_nobody() {
    let hubot = rules(json!([{ "allow": ["user:hubot"] }]));
    assert_eq!(rule_for(&hubot, &[]), Ok(None));
    let Ok(Some(open)) = rule_for(&AccessRules::default(), &[]) else { panic!("closed") };
    assert!(open.opens_everything());
}

/// A5: an unknown membership stops the search for a later rule, unless another condition of the same rule matches.
#[test]
fn an_unknown_membership_decides_nothing() {
    let rules = rules(json!([
        { "allow": ["org:Contractors"], "tools": ["few"] },
        { "allow": ["org:acme", "user:alice"] },
    ]));
    let unknown = Err(Group::Org("Contractors".to_owned()));
    assert_eq!(rule_for(&rules, &[]), unknown);
    assert_eq!(rule_for(&rules, &[("acme", true)]), unknown);
    let Ok(Some(rule)) = rule_for(&rules, &[("contractors", true)]) else { panic!("nobody") };
    assert!(!rule.opens_tool("many"));
    let Ok(Some(rule)) = rule_for(&rules, &[("contractors", false)]) else { panic!("nobody") };
    assert!(rule.opens_everything(), "alice is named, whatever acme says");
}

/// A6: only `token:NAME` names a service token, and it names no user.
#[test]
fn only_a_token_rule_names_a_service_token() {
    let token = |name: &str| Subject::Token(TokenName::parse(name).unwrap());
    let stands = |rules: &AccessRules, subject| {
        let who = Who { subject, login: "token:cron", memberships: &Memberships::default() };
        matches!(rules.rule_for(who), Ok(Some(_)))
    };
    let people = rules(json!([{ "allow": ["any", "org:acme", "id:1"] }]));
    assert!(!stands(&people, token("cron")));
    let cron = rules(json!([{ "allow": ["token:cron"] }]));
    assert!(stands(&cron, token("cron")) && !stands(&cron, token("ci")) && !stands(&cron, subject(1)));
    assert!(stands(&AccessRules::default(), token("cron")));
}

/// A3: a list that could be misread is refused, with all of its mistakes.
#[test]
fn mistakes_in_rules_are_named_with_their_rule() {
    let found = mistakes(json!([
        { "allow": ["octocat"] },
        { "allow": ["any"], "tool": ["x"] },
        { "tools": ["x"] },
        { "allow": [] },
        { "allow": ["any"], "tools": null },
        { "allow": "any" },
        [["any"]],
        { "allow": ["any"], "readOnly": "yes" },
        { "allow": ["token:Cron"] },
    ]));
    for (number, (mistake, words)) in (1..).zip(found.iter().zip([
        "write user:octocat, not octocat",
        "unknown field `tool`, expected one of `allow`, `tools`, `exclude`, `readOnly`",
        "missing field `allow`",
        "name somebody",
        "leave it out",
        "expected a list: [",
        "expected an object with allow",
        "expected a boolean",
        "written as token:NAME, its name with up to 32 lower-case letters",
    ])) {
        assert!(mistake.starts_with(&format!("rule {number}: ")) && mistake.contains(words), "{mistake}");
    }
    assert_eq!(found.len(), 9);
    assert!(mistakes(json!([]))[0].contains("write a list of rules"));
    assert!(mistakes(json!({ "allow": ["any"] }))[0].contains("write a list of rules"));
}
