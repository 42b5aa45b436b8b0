use super::*;

#[test]
fn timestamps_print_as_rfc_3339() {
    let check = |seconds, expected: &str| assert_eq!(Timestamp(seconds).rfc3339(), expected);
    check(0, "1970-01-01T00:00:00Z");
    check(951_782_399, "2000-02-28T23:59:59Z");
    check(951_782_400, "2000-02-29T00:00:00Z");
    check(4_107_542_400, "2100-03-01T00:00:00Z");
    check(1_795_405_444, "2026-11-23T03:44:04Z");
}

#[test]
fn a_clock_that_went_back_gives_no_negative_time() {
    assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    assert_eq!(Timestamp(u64::MAX).plus(Duration::from_secs(9)), Timestamp(u64::MAX));
}
