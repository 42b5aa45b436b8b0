//! For any request to the registration endpoint, the answer is one of two, nothing is stored, and an accepted client
//! is recognised later.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::oauth::AuthorizationServer;
use mcp_oauth_server::internals::{Grants, MemoryGrants};
use oracle::{authorize_query, judge_name, judge_redirect, register, request, server};
use serde_json::Value;

static SERVER: LazyLock<(AuthorizationServer, Arc<MemoryGrants>)> = LazyLock::new(server);

fuzz_target!(|data: &[u8]| {
    let (server, table) = &*SERVER;
    if let Some(client) = register(server, data) {
        let sent: Value = serde_json::from_slice(data).expect("only JSON is accepted");
        judge_kept(&sent["redirect_uris"], &client["redirect_uris"]);
        judge_name(sent["client_name"].as_str().unwrap_or_default(), client["client_name"].as_str());
        let id = client["client_id"].as_str().unwrap();
        assert!(id.starts_with("mcp_ci_"));
        let methods = ["none", "client_secret_basic", "client_secret_post"];
        assert!(methods.contains(&client["token_endpoint_auth_method"].as_str().unwrap()));
        assert_eq!(client.get("client_secret").is_some(), client["token_endpoint_auth_method"] != "none");
        assert_eq!(client["scope"], "mcp");
        let uris = client["redirect_uris"].as_array().unwrap();
        let query = authorize_query(id, uris[0].as_str().unwrap());
        let page = server.authorize(&request("GET", Some(&query), &[], b"").head);
        assert_eq!(page.status(), 200);
        if let Some(name) = client["client_name"].as_str() {
            let html = std::str::from_utf8(oracle::bytes(&page)).unwrap();
            assert!(!name.contains('<') || !html.contains(name), "the name is not escaped");
        }
    }
    assert!(table.list().unwrap().is_empty());
});

/// D2, independently: kept URIs are from the request, in this order, each once; a plainly valid one within the limit is kept.
fn judge_kept(sent: &Value, kept: &Value) {
    let strings = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (sent, kept) = (strings(sent), strings(kept));
    let places: Vec<usize> =
        kept.iter().map(|uri| sent.iter().position(|other| other == uri).unwrap()).collect();
    assert!((1..=10).contains(&kept.len()) && places.windows(2).all(|pair| pair[0] < pair[1]), "{kept:?}");
    kept.iter().for_each(|uri| judge_redirect(uri));
    assert!(kept.iter().map(String::len).sum::<usize>() <= 3072);
    let is_plain = |uri: &&String| {
        uri.strip_prefix("https://a.example/")
            .is_some_and(|path| path.bytes().all(|b| b.is_ascii_lowercase()))
    };
    if sent.len() <= 10 && sent.iter().map(String::len).sum::<usize>() <= 3072 {
        assert!(sent.iter().filter(is_plain).all(|uri| kept.contains(uri)), "{kept:?}");
    }
}
