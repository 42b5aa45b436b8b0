use super::*;
use crate::base::fake::subject;

/// M17: limit and limit plus one, for one user; another user has an allowance of their own, which is renewed over time.
#[test]
fn openings_are_rate_limited_per_user() {
    let openings = openings();
    let start = Duration::from_secs(1000);
    let spend = |user, now| openings.spend_as(subject(user), now).is_ok();
    assert!((0..limits::OPENINGS).all(|_| spend(1, start)));
    assert!(!spend(1, start));
    assert!(spend(2, start));
    assert!(spend(1, start + Duration::from_secs(1)));
}
