use super::*;

/// G7: what counts as a request to slow down.
#[test]
fn a_rate_limit_is_told_from_a_plain_no() {
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
