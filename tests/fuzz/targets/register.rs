//! Whatever is sent to the registration endpoint, the answer is one of two, nothing is stored, and a client that was
//! accepted is known again.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::oauth::AuthorizationServer;
use mcp_oauth_server::store::{Grants, MemoryGrants};
use oracle::{authorize_query, register, request, server};

static SERVER: LazyLock<(AuthorizationServer, Arc<MemoryGrants>)> = LazyLock::new(server);

fuzz_target!(|data: &[u8]| {
    let (server, table) = &*SERVER;
    if let Some(client) = register(server, data) {
        let sent: serde_json::Value = serde_json::from_slice(data).expect("only JSON is accepted");
        assert_eq!(client["redirect_uris"], sent["redirect_uris"]);
        let id = client["client_id"].as_str().unwrap();
        assert!(id.starts_with("mcp_ci_"));
        let methods = ["none", "client_secret_basic", "client_secret_post"];
        assert!(methods.contains(&client["token_endpoint_auth_method"].as_str().unwrap()));
        assert_eq!(client.get("client_secret").is_some(), client["token_endpoint_auth_method"] != "none");
        assert_eq!(client["scope"], "mcp");
        let uris = client["redirect_uris"].as_array().unwrap();
        assert!((1..=10).contains(&uris.len()));
        let query = authorize_query(id, uris[0].as_str().unwrap());
        let page = server.authorize(&request("GET", Some(&query), &[], b"").head);
        assert_eq!(page.status(), 200);
        if let Some(name) = client["client_name"].as_str() {
            let html = std::str::from_utf8(oracle::bytes(&page)).unwrap();
            assert!(name.chars().count() <= 100 && !name.chars().any(char::is_control));
            assert!(!name.contains('<') || !html.contains(name), "the name is not escaped");
        }
    }
    assert!(table.list().unwrap().is_empty());
});
