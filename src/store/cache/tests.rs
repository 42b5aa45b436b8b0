use super::super::conformance::grant;
use super::*;

fn read(cache: &mut Cache, grant: &Arc<Grant>) {
    let start = cache.start_read();
    cache.fill(grant, start);
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let mut cache = Cache::new(8);
    let used = Arc::new(grant(0));
    read(&mut cache, &used);
    for number in 1..100 {
        read(&mut cache, &Arc::new(grant(number)));
        assert!(cache.young.len() + cache.old.len() <= 8);
        assert!(cache.look_up(used.id).is_some(), "{number}");
    }
    assert!(cache.look_up(grant(1).id).is_none());
}

#[test]
fn a_read_that_a_write_overtook_is_not_kept() {
    let mut cache = Cache::new(8);
    let before = Arc::new(grant(1));
    let start = cache.start_read();
    cache.forget(before.id);
    cache.fill(&before, start);
    assert!(cache.look_up(before.id).is_none());
}

#[test]
fn a_written_grant_is_forgotten_in_both_halves() {
    let mut cache = Cache::new(2);
    let (first, second) = (Arc::new(grant(1)), Arc::new(grant(2)));
    read(&mut cache, &first);
    read(&mut cache, &second);
    cache.forget(first.id);
    cache.forget(second.id);
    assert!(cache.look_up(first.id).is_none() && cache.look_up(second.id).is_none());
}
