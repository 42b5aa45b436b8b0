use super::*;
use crate::http::fake::request;

/// The route at the only server of `https://HOST`.
fn route(method: &str, path: &str) -> Result<Route, NoRoute> {
    let only = |name: Option<&str>| name.is_none().then_some(());
    Route::of(&request(method, path).head, "", only).map(|(route, _)| route)
}

/// H9, A1: all paths that strangers reach, none of which is the operator's.
#[test]
fn every_path_has_its_methods() {
    for (path, expected) in PATHS.into_iter().filter(|(path, _)| !path.is_empty()) {
        let allow = expected.methods();
        for method in allow.split(", ") {
            assert_eq!(route(method, path), Ok(expected), "{method} {path}");
        }
        for method in ["PUT", "TRACE", "CONNECT", "PATCH", "get"] {
            assert_eq!(route(method, path), Err(NoRoute::MethodNotAllowed(allow)), "{method} {path}");
        }
    }
}

/// H8: paths match byte for byte.
#[test]
fn similar_paths_are_not_found() {
    for path in [
        "/mcp//",
        "//mcp",
        "/MCP",
        "/./mcp",
        "/%6dcp",
        "/mcp%2F",
        "/mcp;a=b",
        "/x/../mcp",
        "/token/",
        "",
        "*",
        "/consent/",
    ] {
        assert_eq!(route("POST", path), Err(NoRoute::NotFound), "{path}");
    }
}

/// H8: the server's URL may be written with a slash at its end.
#[test]
fn the_mcp_endpoint_may_end_in_a_slash() {
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        assert_eq!(route(method, "/mcp/"), Ok(Route::Mcp), "{method}");
    }
    let metadata = "/.well-known/oauth-protected-resource/mcp/";
    assert_eq!(route("GET", metadata), Ok(Route::ResourceMetadata));
}

const METADATA: [&str; 2] = ["oauth-authorization-server", "openid-configuration"];

fn found(base: &str, servers: &[&str], path: &str) -> Result<(Route, Option<String>), NoRoute> {
    let named =
        |name: Option<&str>| servers.iter().find(|known| name == Some(*known)).map(|name| (*name).to_owned());
    Route::of(&request("GET", path).head, base, named)
}

/// Each of several servers has its paths below its name; RFC 8414 and RFC 9728 put the document's name before it.
#[test]
fn each_of_several_servers_has_its_own_paths() {
    for base in ["", "/base", "/base/two"] {
        let check = |path: &str, expected: Result<(Route, Option<&str>), NoRoute>| {
            let expected = expected.map(|(route, server)| (route, server.map(str::to_owned)));
            assert_eq!(found(base, &["files", "n-1"], path), expected, "{path}");
        };
        for server in ["files", "n-1"] {
            let at = |rest: &str| format!("{base}/{server}{rest}");
            check(&at("/authorize"), Ok((Route::Authorize, Some(server))));
            check(&at("/mcp"), Ok((Route::Mcp, Some(server))));
            check(&at("/mcp/"), Ok((Route::Mcp, Some(server))));
            check(&at("/sse"), Ok((Route::Sse, Some(server))));
            check(&at("/token"), Err(NoRoute::MethodNotAllowed("POST, OPTIONS")));
            check(&at(""), Ok((Route::Home, Some(server))));
            check(&at("/"), Ok((Route::Home, Some(server))));
            for document in METADATA {
                check(
                    &format!("/.well-known/{document}{}", at("")),
                    Ok((Route::ServerMetadata, Some(server))),
                );
                check(&at(&format!("/.well-known/{document}")), Ok((Route::ServerMetadata, Some(server))));
            }
            for (resource, route) in [
                ("", Route::ResourceMetadata),
                ("/mcp", Route::ResourceMetadata),
                ("/mcp/", Route::ResourceMetadata),
                ("/sse", Route::SseMetadata),
            ] {
                let document = "/.well-known/oauth-protected-resource";
                check(&format!("{document}{}", at(resource)), Ok((route, Some(server))));
                check(&at(&format!("{document}{resource}")), Ok((route, Some(server))));
            }
            for of_all in ["/account", "/auth/callback", "/healthz", "/readyz", "/files/mcp", "/nothing"] {
                check(&at(of_all), Err(NoRoute::NotFound));
            }
        }
        check(&format!("{base}/account"), Ok((Route::Account, None)));
        check(&format!("{base}/auth/callback"), Ok((Route::Callback, None)));
        check(&format!("{base}/"), Ok((Route::Home, None)));
        check(&format!("{base}/healthz"), Ok((Route::Health, None)));
        check("/readyz", Ok((Route::Ready, None)));
    }
}

/// With several servers there is none at the root, and only the probes are outside of the public URL's path.
#[test]
fn several_servers_have_no_root_issuer() {
    for (path, route) in PATHS {
        if !route.is_shared() && route != Route::Home {
            for path in
                [path, &format!("/other{path}"), &format!("/FILES{path}"), &format!("/files/files{path}")]
            {
                assert_eq!(found("", &["files"], path), Err(NoRoute::NotFound), "{path}");
            }
        }
        let is_probe = route.kind() == RouteKind::Probe;
        for path in [path, &format!("/files{path}"), &format!("/basement/files{path}")] {
            let outside = found("/base", &["files"], path);
            assert_eq!(outside.is_ok(), is_probe && !path.contains("files"), "{path}");
        }
    }
    for document in METADATA {
        let root = format!("/.well-known/{document}");
        assert_eq!(found("/base", &["files"], &root), Err(NoRoute::NotFound));
        assert_eq!(found("/base", &["files"], &format!("{root}/base")), Err(NoRoute::NotFound));
        assert_eq!(found("", &["files"], &format!("{root}/files/mcp")), Err(NoRoute::NotFound));
    }
}

/// The only server below a path has its documents before the path, and below it.
#[test]
fn the_only_server_may_be_below_a_path() {
    let only = |path: &str| {
        let only = |name: Option<&str>| name.is_none().then_some(());
        Route::of(&request("GET", path).head, "/base", only).map(|(route, _)| route)
    };
    for (path, route) in PATHS.into_iter().filter(|(_, route)| route.methods().contains("GET")) {
        assert_eq!(only(&format!("/base{path}")), Ok(route), "{path}");
        assert_eq!(only(path).is_ok(), route.kind() == RouteKind::Probe, "{path}");
    }
    assert_eq!(only("/.well-known/oauth-authorization-server/base"), Ok(Route::ServerMetadata));
    assert_eq!(only("/.well-known/oauth-protected-resource/base/mcp"), Ok(Route::ResourceMetadata));
    assert_eq!(only("/.well-known/oauth-protected-resource/basement"), Err(NoRoute::NotFound));
}

/// No server's name hides a path of ours.
#[test]
fn names_of_built_in_paths_are_reserved() {
    for name in ["mcp", "auth", "account", "token", ".well-known", "healthz", "sse", "message"] {
        assert!(is_reserved(name), "{name}");
    }
    assert!(!is_reserved("files") && !is_reserved("callback") && !is_reserved("mc"));
}

/// O14: the authorization endpoint supports GET only.
#[test]
fn authorize_takes_get_only() {
    for method in ["HEAD", "POST", "OPTIONS"] {
        assert_eq!(route(method, "/authorize"), Err(NoRoute::MethodNotAllowed("GET")), "{method}");
    }
}
