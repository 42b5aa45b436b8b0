//! Every parameter of a form equals the result of a slow parser.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::http::Form;
use oracle::slow_form_decode;

fn slowly(data: &[u8]) -> Option<Vec<(String, String)>> {
    let pairs = data.split(|&b| b == b'&').filter(|pair| !pair.is_empty());
    if pairs.clone().count() > 64 {
        return None;
    }
    let halves = pairs.map(|pair| match pair.iter().position(|&b| b == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &b""[..]),
    });
    halves.map(|(name, value)| Some((slow_form_decode(name)?, slow_form_decode(value)?))).collect()
}

fuzz_target!(|data: &[u8]| {
    let (form, expected) = (Form::parse(data).ok(), slowly(data));
    assert_eq!(form.is_some(), expected.is_some());
    let (Some(form), Some(pairs)) = (form, expected) else { return };
    for (name, _) in &pairs {
        let values: Vec<&str> = pairs
            .iter()
            .filter(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
            .collect();
        assert!(form.contains(name));
        assert_eq!(form.value(name), values.first().copied());
        assert_eq!(form.values(name).collect::<Vec<_>>(), values);
    }
    let mut names: Vec<&String> = pairs.iter().map(|(name, _)| name).collect();
    names.sort();
    let repeated = names.windows(2).any(|two| two[0] == two[1]);
    assert_eq!(form.repeated(&[]).is_some(), repeated);
});
