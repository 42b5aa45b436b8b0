//! The records, and what the file survives.

mod durability;

use super::*;

/// T2, L3: the records that docs/storage.md shows are what is stored: every field of them, and no other.
#[test]
fn the_documented_records_are_the_stored_ones() {
    let text = include_str!("../../docs/storage.md");
    let examples: Vec<&str> =
        text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let grant: Grant = serde_json::from_str(example).unwrap();
        let shown: serde_json::Value = serde_json::from_str(example).unwrap();
        assert_eq!(serde_json::to_value(&grant).unwrap(), shown);
    }
}

/// A record of another schema is an error, not a guess.
#[test]
fn an_unknown_field_is_refused() {
    let mut value = serde_json::to_value(conformance::grant(1)).unwrap();
    value["admin"] = true.into();
    assert!(serde_json::from_value::<Grant>(value).is_err());
}

#[test]
fn a_grant_ends_when_idle_or_when_its_time_is_over() {
    let grant = conformance::grant(1);
    let check = |stage, expires: u64, expected: u64| {
        let grant = Grant { stage, expires: Timestamp(expires), ..grant.clone() };
        assert_eq!(grant.end(), Timestamp(expected));
        assert!(grant.is_over(Timestamp(expected)) && !grant.is_over(Timestamp(expected - 1)));
    };
    let idle = limits::REFRESH_IDLE.as_secs();
    let live = |rotated_at| Stage::Live { generation: 3, rotated_at: Timestamp(rotated_at) };
    check(Stage::CodeIssued, 60, 60);
    check(live(1000), 1000 + 2 * idle, 1000 + idle);
    check(live(1000), 1000 + idle / 2, 1000 + idle / 2);
}
