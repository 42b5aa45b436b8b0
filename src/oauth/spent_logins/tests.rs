use super::*;

const NOW: Duration = Duration::from_secs(100);

/// S5: however many logins end, what is kept of them is bounded, and a person's own stays.
#[test]
fn spent_logins_of_a_flood_do_not_evict_those_of_others() {
    let (of_sender, of_all) = limits::SPENT_LOGINS;
    let strangers: [&dyn Fn(usize) -> String; 3] =
        [&|_| "192.0.2.1".to_owned(), &|number| format!("192.0.2.{}", 1 + number % 100), &|number| {
            format!("2001:db8:1:{number:x}::1")
        }];
    for address in strangers {
        let spent = SpentLogins::default();
        let person = "a person's";
        assert!(spent.end(person, Some(IpAddr::from([198, 51, 100, 1])), NOW).is_ok());
        for number in 0..4120 {
            let peer = address(number).parse().unwrap();
            let later = NOW + Duration::from_millis(u64::try_from(number).unwrap());
            assert!(spent.end(&number.to_string(), Some(peer), later).is_ok());
            assert!(spent.spent.lock().len() <= of_all);
        }
        assert!(spent.has_ended(person));
        assert!(spent.end(person, None, NOW).is_err());
        let kept = (0..4120).filter(|number| spent.has_ended(&number.to_string())).count();
        assert!((of_sender..of_all).contains(&kept), "{kept}");
        assert!(spent.has_ended("4119"));
    }
}

/// C10: a login is remembered as long as its sealed values open.
#[test]
fn a_spent_login_is_remembered_for_the_login_lifetime() {
    let spent = SpentLogins::default();
    let login = |number: usize| number.to_string();
    assert!(spent.end(&login(1), None, NOW).is_ok());
    let end = NOW + limits::LOGIN_LIFETIME;
    let peer = Some(IpAddr::from([192, 0, 2, 1]));
    let others = |now| (2..514).filter(|number| spent.end(&login(*number), peer, now).is_ok()).count();
    assert_eq!(others(end - Duration::from_nanos(1)), 512);
    assert!(spent.has_ended(&login(1)));
    assert!(spent.end(&login(600), peer, end).is_ok() && !spent.has_ended(&login(1)));
}
