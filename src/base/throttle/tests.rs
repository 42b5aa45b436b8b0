use super::*;

/// L2: an event that unauthenticated clients cause is logged at a limited rate, and the next line has the number of omitted ones.
#[test]
fn suppressed_lines_are_counted_in_the_next_line() {
    let throttle = Throttle::new(2);
    let at = |millis| Duration::from_millis(millis);
    let told = [0, 10, 20, 499, 500, 501, 999, 1000].map(|millis| throttle.pass("host", at(millis)));
    let some = |count| Some(count);
    assert_eq!(told, [some(0), some(0), None, None, some(2), None, None, some(2)]);
    assert_eq!(throttle.pass("origin", at(1002)), some(0));
    assert_eq!(throttle.pass("host", at(1003)), None);
    assert_eq!(throttle.pass("host", at(9000)), some(1));
}
