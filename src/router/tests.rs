use super::*;
use crate::http::fake::request;

fn route(method: &str, path: &str) -> Result<Route, NoRoute> {
    Route::of(&request(method, path).head)
}

/// H9, A1: these are all the paths that strangers reach, and none of them is the operator's.
#[test]
fn every_path_has_its_methods() {
    for (path, expected) in PATHS {
        let allow = expected.methods();
        for method in allow.split(", ") {
            assert_eq!(route(method, path), Ok(expected), "{method} {path}");
        }
        for method in ["PUT", "TRACE", "CONNECT", "PATCH", "get"] {
            assert_eq!(route(method, path), Err(NoRoute::MethodNotAllowed(allow)), "{method} {path}");
        }
    }
}

/// H8: a path is what it is, byte for byte.
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

/// H8: people write the server's URL with a slash at its end, too.
#[test]
fn the_mcp_endpoint_may_end_in_a_slash() {
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        assert_eq!(route(method, "/mcp/"), Ok(Route::Mcp), "{method}");
    }
    let metadata = "/.well-known/oauth-protected-resource/mcp/";
    assert_eq!(route("GET", metadata), Ok(Route::ResourceMetadata));
}

/// O14: the authorization endpoint is GET and nothing else.
#[test]
fn authorize_takes_get_only() {
    for method in ["HEAD", "POST", "OPTIONS"] {
        assert_eq!(route(method, "/authorize"), Err(NoRoute::MethodNotAllowed("GET")), "{method}");
    }
}
