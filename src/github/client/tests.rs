use super::*;

/// G7: answers that are a request to slow down.
#[test]
fn a_rate_limit_is_distinguished_from_a_plain_refusal() {
    let check = |status, fields: &[(&'static str, &str)], expected: Option<u64>| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        assert_eq!(pause(status, &headers), expected.map(Duration::from_secs), "{status} {fields:?}");
    };
    check(200, &[("x-ratelimit-remaining", "0")], None);
    check(403, &[], None);
    check(403, &[("x-ratelimit-remaining", "4999")], None);
    check(403, &[("x-ratelimit-remaining", "0")], Some(60));
    check(403, &[("retry-after", "7")], Some(7));
    check(429, &[], Some(60));
    check(429, &[("retry-after", "120")], Some(120));
    check(429, &[("retry-after", "Fri, 31 Dec 2027 23:59:59 GMT")], Some(60));
    check(404, &[("retry-after", "7")], None);
}

fn client() -> Client {
    Client::new(&super::super::tests::settings("http://127.0.0.1:1"), limits::GITHUB_CALL)
}

const NOW: Duration = Duration::from_secs(100);

fn user(number: usize) -> Caller {
    Caller::user(&Secret::new(number.to_string()))
}

/// G7: the pause of one caller does not affect others.
#[test]
fn a_pause_is_for_one_caller_and_ends() {
    let client = client();
    client.make_wait(user(1), NOW, Duration::from_secs(30));
    let check = |caller, seconds, expected| {
        assert_eq!(client.must_wait(caller, NOW + Duration::from_secs(seconds)), expected);
    };
    check(user(1), 29, true);
    check(user(2), 29, false);
    check(Caller::App, 29, false);
    check(user(1), 30, false);
}

#[test]
fn a_pause_is_never_for_ever() {
    let client = client();
    client.make_wait(Caller::App, NOW, Duration::from_secs(u64::MAX));
    assert!(client.must_wait(Caller::App, NOW));
    assert!(!client.must_wait(Caller::App, NOW + limits::GITHUB_PAUSE_MAX));
}

#[test]
fn the_number_of_pauses_is_bounded() {
    let client = client();
    for number in 0..limits::GITHUB_PAUSES + 10 {
        client.make_wait(user(number), NOW, Duration::from_secs(100 + number as u64));
    }
    assert_eq!(client.paused.lock().len(), limits::GITHUB_PAUSES);
    assert!(!client.must_wait(user(9), NOW) && client.must_wait(user(10), NOW));
}
