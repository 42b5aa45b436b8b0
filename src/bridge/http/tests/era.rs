//! The errors by which a handshake recognises the era of an upstream.

use super::*;

/// An overload or a failure says nothing about the upstream's era.
#[test]
fn only_a_lasting_status_refuses_an_era() {
    let upstream = FakeUpstream::start(|seen, stream| {
        let error = json!({ "jsonrpc": "2.0", "id": seen.body["params"]["id"], "error": { "code": -32000 } });
        answer(stream, seen.body["params"]["status"].as_str().unwrap(), &error.to_string());
    });
    let client = Client::of(&upstream);
    for (id, method) in [(1, "server/discover"), (2, "initialize")] {
        for (status, codes) in [("503 X", [-32603; 2]), ("429 X", [-32603; 2]), ("400 X", [-32600, -32000])] {
            let code = |said| {
                client.ask(id, method, json!({ "status": status, "id": said }))["error"]["code"].clone()
            };
            assert_eq!([0, id].map(code), codes, "{method} {status}");
        }
    }
}
