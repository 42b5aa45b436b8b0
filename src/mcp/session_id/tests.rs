use super::*;

#[test]
fn ended_sessions_are_remembered_up_to_a_limit() {
    let ended = EndedSessions::default();
    let id = |number: usize| format!("mcp_session_{number}");
    (0..=limits::SESSIONS_ENDED).for_each(|number| ended.insert(&id(number)));
    assert!(!ended.contains(&id(0)));
    assert!(ended.contains(&id(1)) && ended.contains(&id(limits::SESSIONS_ENDED)));
    assert_eq!(ended.digests.lock().len(), limits::SESSIONS_ENDED);
}
