//! Several servers, each with its own paths, behind one application; and one below a path.

use super::*;

/// The servers `files` and `notes` at `https://mcp.example.com/BASE`.
fn two(fixture: &Fixture, base: &str) -> Arc<App> {
    let url = format!("https://mcp.example.com{base}");
    let mut of_oauth = fixture.parts();
    fake::move_to(&mut of_oauth, &url, &[Some("files"), Some("notes")]);
    let endpoint = mcp(fixture, ToolServer::builder("test", "1").build().unwrap());
    let servers = of_oauth.resources.iter().map(|resource| {
        let settings = mcp_settings(fixture, ToolServer::builder("test", "1").build().unwrap());
        let mcp = endpoint.beside(mcp::Settings { resource: Arc::clone(&resource.uri), ..settings });
        McpServer { resource: Arc::clone(resource), mcp }
    });
    let servers = servers.collect();
    let oauth = Arc::new(AuthorizationServer::new(of_oauth));
    Arc::new(App::new(AppParts { oauth, servers, serves_http_sse: true, ..parts(&url, fixture) }))
}

/// T20, M3: each form of each document leads a client from the challenge to the endpoints of its own server.
#[test]
fn metadata_documents_lead_to_the_endpoints_of_their_server() {
    let fixture = fake::fixture();
    for base in ["", "/base"] {
        let app = two(&fixture, base);
        let document = |path: &str| {
            let response = answer(&app, to("GET", path).with("Origin", "https://anywhere.example"));
            assert_eq!(response.header_value("access-control-allow-origin"), Some("*"), "{path}");
            assert_eq!(response.status(), 200, "{path}");
            fake::body(&response)
        };
        for server in ["files", "notes"] {
            let at = format!("{base}/{server}");
            let issuer = format!("https://mcp.example.com{at}");
            let challenged = answer(&app, to("POST", &format!("{at}/mcp")));
            let challenge = challenged.header_value("www-authenticate").unwrap();
            let inserted = format!("/.well-known/oauth-protected-resource{at}/mcp");
            assert!(challenge.contains(&format!("\"https://mcp.example.com{inserted}\"")), "{challenge}");
            let appended = format!("{at}/.well-known/oauth-protected-resource");
            for path in [&inserted, &appended, &format!("{appended}/mcp")] {
                assert_eq!(document(path)["resource"], format!("{issuer}/mcp"));
                assert_eq!(document(path)["authorization_servers"][0], issuer);
            }
            for name in ["oauth-authorization-server", "openid-configuration"] {
                for path in [format!("/.well-known/{name}{at}"), format!("{at}/.well-known/{name}")] {
                    assert_eq!(document(&path)["issuer"], issuer);
                    assert_eq!(document(&path)["token_endpoint"], format!("{issuer}/token"));
                }
            }
            let home = fake::text(&answer(&app, to("GET", &at)));
            assert!(home.contains(&format!("<code>{issuer}/mcp</code>")), "{home}");
            assert!(home.contains(&format!("href=\"{base}/account\"")), "{home}");
        }
    }
}

/// There is no issuer at the root, and no document there names a server.
#[test]
fn the_root_names_no_server() {
    let fixture = fake::fixture();
    let app = two(&fixture, "");
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/account", 200),
        ("GET", "/mcp", 404),
        ("GET", "/authorize", 404),
        ("POST", "/token", 404),
        ("POST", "/register", 404),
        ("GET", "/.well-known/oauth-authorization-server", 404),
        ("GET", "/.well-known/oauth-protected-resource", 404),
        ("GET", "/.well-known/oauth-protected-resource/mcp", 404),
        ("GET", "/files/account", 404),
        ("GET", "/other/mcp", 404),
        ("DELETE", "/files/token", 405),
    ] {
        let response = answer(&app, to(method, path));
        assert_eq!(response.status(), status, "{method} {path}");
        let text = fake::text(&response);
        assert!(!text.contains("files") && !text.contains("notes"), "{path}: {text}");
    }
}

/// M4, M6, T17: a token and a session are valid at their own server only, and end with their grant.
#[test]
fn tokens_and_sessions_are_for_their_own_server() {
    let mut fixture = fake::fixture();
    fixture.restart(|parts| fake::move_to(parts, "https://mcp.example.com", &[Some("files")]));
    let app = two(&fixture, "");
    let tokens = Browser::new(&fixture).tokens();
    let at = |server: &str| {
        let mut request = initialize(&tokens.access);
        request.head.path = format!("/{server}/mcp").into();
        answer(&app, request)
    };
    assert_eq!(at("files").status(), 200);
    let refused = at("notes");
    assert_eq!(refused.status(), 401);
    assert!(refused.header_value("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    let sse = to("GET", "/files/sse").with("Authorization", &format!("Bearer {}", tokens.access));
    assert_eq!(answer(&app, sse.with("Accept", "text/event-stream")).status(), 200);
    assert_eq!(app.servers()[0].mcp.counts().sessions, 2);
    fixture.clock.advance(limits::GRANT_LIFETIME);
    app.sweep();
    assert_eq!(app.servers()[1].mcp.counts().sessions, 0);
}

/// Below a path: other paths of the host belong to another program, and another name of loopback keeps the path.
#[test]
fn nothing_is_outside_of_the_path_of_the_public_url() {
    let fixture = fake::fixture();
    let app = app_at("https://mcp.example.com/base", &fixture);
    let status = |path: &str| answer(&app, to("GET", path)).status();
    let inside = ["/base", "/base/", "/base/account", "/base/healthz", "/healthz"];
    assert!(inside.iter().all(|path| status(path) == 200));
    assert!(
        ["/", "/account", "/mcp", "/basement/account", "/auth/callback"]
            .iter()
            .all(|path| status(path) == 404)
    );
    let local = app_at("http://127.0.0.1:3001/base", &fixture);
    let elsewhere = request("GET", "/base/account?x").with("Host", "localhost:3001");
    let response = answer(&local, elsewhere);
    assert_eq!(response.header_value("location"), Some("http://127.0.0.1:3001/base/account?x"));
}
