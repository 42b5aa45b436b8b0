use super::*;

const NOW: Duration = Duration::from_secs(100);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_entry_that_ends_soonest_makes_room() {
    let mut map = BoundedMap::new(3);
    for (key, ends) in [('a', 103), ('b', 101), ('c', 102)] {
        map.insert(key, (), (), (NOW, seconds(ends)));
    }
    map.insert('a', (), (), (NOW, seconds(104)));
    assert_eq!(map.len(), 3, "an entry that is replaced takes no room");
    map.insert('d', (), (), (NOW, seconds(105)));
    let kept = ['a', 'b', 'c', 'd'].map(|key| map.get(&key, NOW).is_some());
    assert_eq!(kept, [true, false, true, true]);
}

#[test]
fn an_expired_entry_is_not_returned_and_makes_room_first() {
    let mut map = BoundedMap::new(2);
    map.insert('a', 1, (), (NOW, seconds(101)));
    map.insert('b', 2, (), (NOW, seconds(102)));
    assert_eq!(map.get(&'a', seconds(100)), Some(&1));
    assert_eq!(map.get(&'a', seconds(101)), None);
    map.insert('c', 3, (), (seconds(102), seconds(103)));
    assert_eq!(map.len(), 1, "and makes room first");
}

#[test]
fn an_owner_over_the_limit_loses_its_own_entries() {
    let mut map = BoundedMap::per_owner((3, 5));
    let mut insert = |key, owner, ends| map.insert(key, (), owner, (NOW, seconds(ends)));
    // One more than an owner may have.
    (1..=4).for_each(|number| insert(number, "first", 200 + number));
    // One more than the map may hold: of those with one entry and with three, the latter.
    insert(11, "second", 101);
    insert(21, "third", 102);
    insert(31, "fourth", 103);
    let kept = [1, 2, 3, 4, 11, 21, 31].map(|key| map.get(&key, NOW).is_some());
    assert_eq!(kept, [false, false, true, true, true, true, true]);
    assert_eq!((map.count_of(&"first"), map.len()), (2, 5));
}
