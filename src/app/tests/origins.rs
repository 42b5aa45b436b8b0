//! The hosts that the server answers under, and the pages that may read its answers.

use super::*;

/// A2: probes use an address with any port or none, or name no host; other requests may not.
#[test]
fn a_probe_may_name_any_host_or_none() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    for host in
        [None, Some("10.42.0.17:3001"), Some("[fd00::1]"), Some("localhost"), Some("evil.example"), Some("")]
    {
        let ask = |method: &str, path: &str| {
            let request = request(method, path).with("Origin", "https://evil.example");
            let request = host.iter().fold(request, |request, host| request.with("Host", host));
            body_limit(&app, request.head).expect_err("it is answered by its head alone")
        };
        let probes = ["/healthz", "/readyz"].map(|path| [ask("GET", path), ask("HEAD", path)]);
        assert_eq!(probes, [[200; 2]; 2], "{host:?}");
        for path in
            ["/", "/mcp", "/account", "/.well-known/oauth-authorization-server", "/healthz/", "/metrics"]
        {
            assert_eq!(ask("GET", path), 421, "{host:?} {path}");
        }
        assert_eq!(ask("POST", "/healthz"), 421, "{host:?}");
    }
}

/// O15: under another name of loopback the API answers as the resource of that name, and a page is redirected to the
/// configured one, where its cookie and forms are valid.
#[test]
fn other_names_of_loopback_reach_the_same_server() {
    let fixture = fake::fixture();
    let app = app_at("http://127.0.0.1:3001", &fixture);
    let at =
        |host: &str, method: &str, target: &str| answer(&app, request(method, target).with("Host", host));
    for host in ["localhost:3001", "LocalHost:3001", "[::1]:3001", "127.0.0.2:3001"] {
        let named = format!("http://{}", host.to_lowercase());
        let challenge = at(host, "POST", "/mcp");
        let metadata = format!("{named}/.well-known/oauth-protected-resource/mcp");
        assert!(
            challenge.header_value("www-authenticate").unwrap().contains(&format!("\"{metadata}\"")),
            "{host}"
        );
        let document: serde_json::Value =
            fake::body(&at(host, "GET", "/.well-known/oauth-protected-resource/mcp"));
        assert_eq!(document["resource"], format!("{named}/mcp"));
        assert_eq!(document["authorization_servers"][0], "http://127.0.0.1:3001");
        let server: serde_json::Value =
            fake::body(&at(host, "GET", "/.well-known/oauth-authorization-server"));
        assert_eq!(server["issuer"], "http://127.0.0.1:3001");
        for target in
            ["/", "/account", "/authorize?client_id=a&state=%22//x", "/auth/callback?code=c&state=s"]
        {
            let moved = at(host, "GET", target);
            assert_eq!(moved.status(), 303, "{host} {target}");
            assert_eq!(moved.header_value("location"), Some(&*format!("http://127.0.0.1:3001{target}")));
        }
        assert_eq!(at(host, "POST", "/consent").status(), 403);
    }
    for host in ["127.0.0.1:3001", "127.0.0.1:03001"] {
        assert_eq!(at(host, "GET", "/").status(), 200, "{host}");
    }
    for host in ["localhost:3002", "localhost", "evil.example:3001", "localhost.evil.example:3001"] {
        assert_eq!(at(host, "GET", "/").status(), 421, "{host}");
        assert_eq!(at(host, "POST", "/mcp").status(), 421, "{host}");
    }
}

/// M19: pages of configured origins may call the API, no others, and never with cookies.
#[test]
fn cors_is_for_configured_origins() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let preflight = |target| {
        let asked = "authorization, mcp-param-region, x-evil, mcp-param-a\u{7f}";
        let request = to("OPTIONS", target).with("Origin", ORIGIN);
        answer(&app, request.with("Access-Control-Request-Headers", asked))
    };
    for target in ["/mcp", "/token", "/register", "/revoke"] {
        let response = preflight(target);
        assert_eq!(response.status(), 204, "{target}");
        assert_eq!(response.header_value("access-control-allow-origin"), Some(ORIGIN), "{target}");
        assert!(response.header_value("access-control-allow-credentials").is_none(), "{target}");
        let headers = response.header_value("access-control-allow-headers").unwrap();
        assert!(headers.contains("Mcp-Session-Id") && headers.ends_with(", mcp-param-region"), "{headers}");
    }
    let refused = answer(&app, to("POST", "/mcp").with("Origin", ORIGIN));
    assert_eq!(refused.status(), 401);
    assert!(refused.header_value("access-control-expose-headers").unwrap().contains("WWW-Authenticate"));
    for page in ["/authorize", "/consent", "/auth/callback", "/account"] {
        assert_eq!(preflight(page).status(), 405, "{page}");
        assert!(preflight(page).header_value("access-control-allow-origin").is_none(), "{page}");
    }
}

/// M19: an allowed origin need not be that of a web page. `null`, which many pages have, gets no page of a login.
#[test]
fn apps_and_opaque_origins_can_be_allowed() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    for origin in ["null", "app://obsidian.md"] {
        let called = answer(&app, to("POST", "/mcp").with("Origin", origin));
        assert_eq!(called.status(), 401, "{origin}");
        assert_eq!(called.header_value("access-control-allow-origin"), Some(origin));
        for (method, page) in
            [("GET", "/authorize"), ("GET", "/account"), ("POST", "/account"), ("POST", "/consent")]
        {
            let form = to(method, page)
                .with("Origin", origin)
                .with("Content-Type", "application/x-www-form-urlencoded");
            let response = answer(&app, form);
            assert!(response.header_value("access-control-allow-origin").is_none(), "{origin} {page}");
            assert!(method == "GET" || response.status() == 403, "{origin} {page} {}", response.status());
        }
    }
    assert_eq!(answer(&app, to("POST", "/mcp").with("Origin", "app://obsidian.md.evil")).status(), 403);
}

/// M19: metadata is for pages of every origin, without cookies.
#[test]
fn metadata_is_public() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    for (path, status) in [
        ("/.well-known/oauth-protected-resource/mcp", 200),
        ("/.well-known/oauth-protected-resource", 200),
        ("/.well-known/oauth-authorization-server", 200),
        ("/.well-known/openid-configuration", 200),
        ("/.well-known/oauth-authorization-server/mcp", 404),
    ] {
        for origin in [None, Some("https://evil.example"), Some("null"), Some(ORIGIN)] {
            let ask = |method: &str| {
                let request =
                    origin.iter().fold(to(method, path), |request, origin| request.with("Origin", origin));
                answer(&app, request.with("Access-Control-Request-Headers", "mcp-protocol-version"))
            };
            for (response, status) in [(ask("GET"), status), (ask("OPTIONS"), 204)] {
                assert_eq!(response.status(), status, "{path} {origin:?}");
                let allowed: Vec<_> =
                    response.headers().filter(|(name, _)| *name == "Access-Control-Allow-Origin").collect();
                assert_eq!(allowed, [("Access-Control-Allow-Origin", "*")], "{path} {origin:?}");
                assert!(response.header_value("access-control-allow-credentials").is_none());
            }
            assert!(
                ask("OPTIONS")
                    .header_value("access-control-allow-headers")
                    .unwrap()
                    .contains("Mcp-Protocol-Version")
            );
        }
    }
    assert_eq!(
        answer(&app, request("GET", "/.well-known/oauth-authorization-server").with("Host", "evil.example"))
            .status(),
        421
    );
}
