use super::*;
use crate::base::identity::fake::subject;

const LONG: Duration = Duration::from_secs(60);

/// Runs `wait` in threads that are started one after the other, and returns the keys in the order in which they got a place.
fn order(quota: &Arc<Quota<char>>, keys: &str, meanwhile: impl FnOnce(&Mutex<String>)) -> String {
    let order = Mutex::new(String::new());
    std::thread::scope(|scope| {
        for (number, key) in keys.chars().enumerate() {
            let order = &order;
            scope.spawn(move || {
                let held = quota.wait(key, LONG);
                order.lock().push(key);
                drop(held);
            });
            while quota.queue() <= number {
                std::thread::yield_now();
            }
        }
        meanwhile(&order);
    });
    order.lock().clone()
}

#[test]
fn a_key_holds_its_limit_and_dropped_places_are_returned() {
    let quota = Quota::per_key(2);
    let first = [quota.take(1).unwrap(), quota.take(1).unwrap()];
    assert!(quota.take(1).is_none());
    let other = quota.take(2).unwrap();
    drop(first);
    let again = quota.take(1).unwrap();
    drop((other, again));
    assert!(quota.is_unused());
}

/// A single place is given in the order of arrival.
#[test]
fn places_are_given_in_the_order_of_arrival() {
    let quota = Arc::new(Quota::new((1, 1)).waiting((9, 9)));
    let held = quota.take('x');
    assert_eq!(order(&quota, "abcda", |_| drop(held)), "abcda");
    assert!(quota.is_unused() && quota.queue() == 0);
}

/// A key at its limit waits for its own places; others pass it.
#[test]
fn a_key_at_its_limit_delays_no_other_key() {
    let quota = Arc::new(Quota::new((1, 2)).waiting((9, 9)));
    let (mine, other) = (quota.take('a'), quota.take('x'));
    let order = order(&quota, "aabc", |order| {
        drop(other);
        while order.lock().len() < 2 {
            std::thread::yield_now();
        }
        drop(mine);
    });
    assert_eq!(order, "bcaa");
}

/// Limit and limit plus one, of a key and in total; a wait that times out holds nothing.
#[test]
fn waiting_is_bounded_in_number_and_time() {
    let quota = Arc::new(Quota::new((1, 1)).waiting((2, 3)));
    let held = quota.take('x').unwrap();
    assert!(quota.wait('a', Duration::from_millis(1)).is_none());
    let order = order(&quota, "aab", |_| {
        assert!(quota.wait('a', LONG).is_none(), "one more than a key may have waiting");
        assert!(quota.wait('c', LONG).is_none(), "one more than all may");
        drop(held);
    });
    assert_eq!(order, "aab");
    assert!(quota.is_unused());
}

/// M17: at the limit and one above, for one user and in total; dropped guards return their amount. Each user has a guaranteed part.
#[test]
fn a_user_has_a_share_and_all_have_a_budget() {
    let some = limits::FLOOR_BYTES;
    let budget = Quota::bytes((10 * some, 25 * some));
    let hold = |user, bytes| budget.share(subject(user)).hold(bytes);
    let mine = [hold(1, 4 * some).unwrap(), hold(1, 6 * some).unwrap()];
    assert!(hold(1, 1).is_none());
    let other = hold(2, 10 * some).unwrap();
    assert!(hold(3, 5 * some + 1).is_none());
    let third = hold(3, 5 * some).unwrap();
    assert!(hold(4, some + 1).is_none() && hold(3, 1).is_none());
    let little = [hold(4, some - 1).unwrap(), hold(4, 1).unwrap()];
    assert!(hold(4, 1).is_none());
    drop((mine, little));
    assert!(hold(1, 10 * some + 1).is_none());
    drop((hold(1, 10 * some).unwrap(), other, third));
    assert!(budget.is_unused());
}

#[test]
fn a_holding_grows_only_within_the_total_limit() {
    let quota = Quota::in_total(10);
    let (mut one, mut two) = (quota.nothing(()), quota.nothing(()));
    assert!(one.grow(4) && one.grow(6));
    assert!(!two.grow(1) && two.grow(0) && !two.grow(usize::MAX));
    assert_eq!(quota.held(), 10);
    drop(one);
    assert!(two.grow(10));
    drop(two);
    assert!(quota.is_unused());
}
