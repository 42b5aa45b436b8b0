use super::*;

#[test]
fn tripping_wakes_waiting_threads() {
    let token = CancelToken::new();
    let other = token.clone();
    let waiter = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
    token.trip();
    assert!(waiter.join().unwrap());
    assert!(token.is_tripped());
}

#[test]
fn registered_actions_run_once() {
    let (token, (sender, ran)) = (CancelToken::new(), std::sync::mpsc::channel());
    let other = sender.clone();
    token.on_trip(move || other.send("before").unwrap());
    assert!(ran.try_recv().is_err());
    token.trip();
    token.trip();
    token.on_trip(move || sender.send("after").unwrap());
    assert_eq!(ran.iter().collect::<Vec<_>>(), ["before", "after"]);
}

#[test]
fn a_panic_in_one_action_does_not_stop_the_others() {
    let (token, (sender, ran)) = (CancelToken::new(), std::sync::mpsc::channel());
    token.on_trip(|| panic!("on purpose"));
    let other = sender.clone();
    token.on_trip(move || other.send("second").unwrap());
    token.trip();
    token.on_trip(|| panic!("on purpose"));
    drop(sender);
    assert_eq!(ran.iter().collect::<Vec<_>>(), ["second"]);
}

#[test]
fn a_disarmed_token_trips_and_runs_nothing() {
    let (token, (sender, ran)) = (CancelToken::new(), std::sync::mpsc::channel());
    let other = sender.clone();
    token.on_trip(move || other.send("before").unwrap());
    assert_eq!(token.disarm().len(), 1);
    token.on_trip(move || sender.send("after").unwrap());
    token.trip();
    assert!(token.is_tripped());
    assert_eq!(ran.iter().count(), 0, "what was registered is dropped");
}

#[test]
fn a_wait_ends_at_its_timeout() {
    assert!(!CancelToken::new().wait(Duration::from_millis(1)));
}
