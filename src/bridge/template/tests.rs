use super::*;
use crate::base::fake::principal;

fn environment() -> Variables {
    let pairs = [("KEY", "k1"), ("MCP_OAUTH_KEY", "canary"), ("GITHUB_CLIENT_SECRET", "canary")];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn fill(text: &str, token: Option<&str>) -> Result<String, &'static str> {
    let template = Template::parse(text, &environment()).unwrap();
    let github_token = || token.map(|token| Secret::new(token.to_owned()));
    let person = Principal { login: "octocat".into(), ..principal(7) };
    template.fill(&person, &github_token).map(|value| value.expose().clone())
}

#[test]
fn placeholders_are_filled_with_the_persons_values() {
    let check =
        |text, expected: &str| assert_eq!(fill(text, Some("gho_x")), Ok(expected.to_owned()), "{text}");
    check("", "");
    check("plain $HOME $$ {}", "plain $HOME $$ {}");
    check("${user.id}", "7");
    check("a${user.login}b${env.KEY}c", "aoctocatbk1c");
    check("Bearer ${github.token}", "Bearer gho_x");
    check("$${user.id} ${user.id}", "${user.id} 7");
}

#[test]
fn a_missing_github_token_is_an_error_not_an_empty_value() {
    assert_eq!(fill("Bearer ${github.token}", None), Err(NO_GITHUB_TOKEN));
    assert_eq!(fill("${user.id}", None), Ok("7".to_owned()));
}

/// M5: the secrets of this server cannot be referenced.
#[test]
fn an_invalid_placeholder_is_refused_with_an_explanation() {
    let check = |text: &str, expected: &str| {
        let error = Template::parse(text, &environment()).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("canary"), "{error}");
    };
    check("${user.id", "has no }");
    check("${user.email}", "no placeholder ${user.email}");
    check("${HOME}", "write ${env.HOME}");
    check("${env:HOME}", "write ${env.HOME}");
    check("${input:key}", "set a variable and write ${env.NAME}");
    check("${env.ABSENT}", "ABSENT is not set");
    check("${env.MCP_OAUTH_KEY}", "MCP_OAUTH_KEY configures this server");
    check("${env.GITHUB_CLIENT_SECRET}", "GITHUB_CLIENT_SECRET configures this server");
    check("${env.}", "no placeholder ${env.}");
    check("${}", "no placeholder ${}");
    check("a\0b", "NUL");
}

#[test]
fn a_template_reports_whether_it_uses_the_github_token() {
    let check = |text: &str, expected: bool| {
        assert_eq!(Template::parse(text, &environment()).unwrap().names_github_token(), expected, "{text}");
    };
    check("a ${env.KEY} ${user.id}", false);
    check("${user.login} ${github.token}", true);
    check("$${github.token}", false);
}

/// L1: values may be secrets.
#[test]
fn a_template_prints_as_stars() {
    assert_eq!(format!("{:?}", Template::parse("hunter2", &environment()).unwrap()), "***");
}
