use super::*;

const NOW: Duration = Duration::from_secs(100);

fn user(number: usize) -> Caller {
    Caller::user(&Secret::new(number.to_string()))
}

/// G7: one caller's pause is nobody else's.
#[test]
fn a_pause_is_for_one_caller_and_ends() {
    let breaker = Breaker::default();
    breaker.open(user(1), NOW, Duration::from_secs(30));
    let check = |caller, seconds, expected| {
        assert_eq!(breaker.is_open(caller, NOW + Duration::from_secs(seconds)), expected);
    };
    check(user(1), 29, true);
    check(user(2), 29, false);
    check(Caller::App, 29, false);
    check(user(1), 30, false);
}

#[test]
fn a_pause_is_never_for_ever() {
    let breaker = Breaker::default();
    breaker.open(Caller::App, NOW, Duration::from_secs(u64::MAX));
    assert!(breaker.is_open(Caller::App, NOW));
    assert!(!breaker.is_open(Caller::App, NOW + limits::GITHUB_PAUSE_MAX));
}

#[test]
fn the_number_of_pauses_is_bounded() {
    let breaker = Breaker::default();
    for number in 0..limits::GITHUB_PAUSES + 10 {
        breaker.open(user(number), NOW, Duration::from_secs(100 + number as u64));
    }
    assert_eq!(breaker.paused.lock().len(), limits::GITHUB_PAUSES);
    assert!(!breaker.is_open(user(9), NOW) && breaker.is_open(user(10), NOW));
}
