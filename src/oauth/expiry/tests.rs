use super::*;

#[test]
fn a_time_is_settled_when_it_has_been_past_for_an_hour() {
    const HOUR: u64 = 3600;
    let readings = Readings::default();
    let check = |monotonic: u64, now: u64, expected: u64| {
        let settled = readings.settled(Duration::from_secs(monotonic), Timestamp(now));
        assert_eq!(settled, Timestamp(expected), "{monotonic} {now}");
    };
    check(0, 1000, 0);
    check(HOUR - 1, 1000 + HOUR, 0);
    check(HOUR, 1001 + HOUR, 1000);
    // A jump of months for some seconds settles nothing.
    check(HOUR + 10, 9_000_000, 1000);
    check(HOUR + 15, 1016 + HOUR, 1000);
    check(2 * HOUR - 1, 1000 + 2 * HOUR, 1000 + HOUR);
    check(2 * HOUR + 12, 1013 + 2 * HOUR, 1016 + HOUR);
    // A jump that stays counts after an hour.
    check(2 * HOUR + 20, 9_000_000, 1016 + HOUR);
    check(3 * HOUR + 20, 9_000_000 + HOUR, 9_000_000);
    // A clock that was set back takes back what was settled.
    check(3 * HOUR + 30, 5000, 5000);
}

#[test]
fn old_clock_readings_are_forgotten() {
    let readings = Readings::default();
    (0..10_000).for_each(|second| {
        readings.settled(Duration::from_secs(2 * second), Timestamp(2 * second));
    });
    assert!(readings.floors.lock().len() <= 1802);
}
