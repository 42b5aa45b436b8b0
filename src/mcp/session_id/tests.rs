use super::*;

#[test]
fn ended_sessions_are_remembered_up_to_a_limit() {
    let ended = EndedSessions::default();
    let id = |number: u64| format!("mcp_session_{number}");
    let most = u64::try_from(limits::SESSIONS_ENDED).unwrap();
    (0..=most).for_each(|number| ended.insert(&id(number), Duration::from_secs(number)));
    assert!(!ended.contains(&id(0)));
    assert!(ended.contains(&id(1)) && ended.contains(&id(most)));
    assert_eq!(ended.digests.lock().len(), limits::SESSIONS_ENDED);
}
