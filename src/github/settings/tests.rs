use super::*;

/// G7: fixed https base URLs; http is for loopback hosts only.
#[test]
fn a_base_url_is_https_or_loopback_and_keeps_its_path() {
    let check = |text: &str, expected: Option<&str>| {
        let parsed = BaseUrl::parse(text).ok().map(|url| url.join("/user"));
        assert_eq!(parsed.as_deref(), expected, "{text}");
    };
    check("https://api.github.com", Some("https://api.github.com/user"));
    check("https://api.github.com/", Some("https://api.github.com/user"));
    check("https://ghes.example/api/v3", Some("https://ghes.example/api/v3/user"));
    check("https://ghes.example:8443/api/v3/", Some("https://ghes.example:8443/api/v3/user"));
    check("http://127.0.0.1:3002/api/v3", Some("http://127.0.0.1:3002/api/v3/user"));
    check("http://[::1]:3002", Some("http://[::1]:3002/user"));
    check("http://ghes.example", None);
    check("http://127.0.0.1.evil.example", None);
    check("https://user@ghes.example", None);
    check("https://ghes.example//api", None);
    check("https://ghes.example/../api", None);
    check("https://ghes.example/api?x=1", None);
    check("https://ghes.example/%61pi", None);
    check("https://ghes.example#x", None);
    check("ghes.example/api", None);
    check("", None);
}

/// G9: no client secret is ever printed.
#[test]
fn settings_print_no_secret() {
    let settings = GitHubSettings {
        client_id: "Iv1".to_owned(),
        client_secret: Secret::new("hidden-secret".to_owned()),
        other_secret: Some(Secret::new("hidden-other".to_owned())),
        url: BaseUrl::parse(URL).unwrap(),
        api_url: BaseUrl::parse(API_URL).unwrap(),
        trust: Trust::load(None).unwrap(),
    };
    assert!(!format!("{settings:?}").contains("hidden"));
}
