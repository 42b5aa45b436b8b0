//! A parser of server-sent events after HTML section 9.2.6 finds exactly the event that was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::http::Event;

#[derive(Debug, Default, PartialEq)]
struct Received {
    id: Option<String>,
    retry: Option<u64>,
    data: Vec<String>,
}

/// Every event of a stream that ends at the end of an event.
fn receive(stream: &str) -> Vec<Received> {
    let lines = stream.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let mut event = Received::default();
    for line in lines.strip_suffix('\n').unwrap_or(&lines).split('\n') {
        if line.is_empty() {
            events.push(std::mem::take(&mut event));
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry = value.parse().ok(),
            "data" => event.data.push(value.to_owned()),
            other => panic!("a field {other:?} from nowhere"),
        }
    }
    assert_eq!(event, Received::default(), "the stream ends within an event");
    events
}

fuzz_target!(|input: (&str, Option<u64>, bool)| {
    let (data, retry, named) = input;
    let id = named.then_some("a-1_Z9");
    let bytes = Event { id, retry, data: Some(data), ..Event::default() }.encode();
    let bytes = [bytes.clone(), bytes].concat();
    let lines: Vec<String> = data.split(['\r', '\n']).map(str::to_owned).collect();
    let expected = || Received { id: id.map(str::to_owned), retry, data: lines.clone() };
    assert_eq!(receive(std::str::from_utf8(&bytes).unwrap()), [expected(), expected()]);
});
