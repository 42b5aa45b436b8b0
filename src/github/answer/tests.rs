use super::super::tests::fixture;
use super::*;

/// Compares the token, or the reason why there is none.
fn check_token(body: &[u8], expected: Result<&str, &str>) {
    let token = token(body);
    let text = token.as_ref().map(|token| token.access.expose().as_str()).map_err(|refusal| refusal.reason);
    assert_eq!(text, expected, "{}", String::from_utf8_lossy(body));
}

#[test]
fn a_token_answer_gives_the_token() {
    check_token(&fixture("token"), Ok("gho_16C7e42F292c6912E7710c838347Ae178B4a"));
    check_token(&fixture("token_expiring"), Ok("ghu_7Jx0bQ2mEXAMPLEnotARealTokenAtAll00000"));
    let longest = "a".repeat(limits::GITHUB_TOKEN_BYTES);
    let body = format!(r#"{{"access_token":"{longest}","token_type":"Bearer"}}"#);
    check_token(body.as_bytes(), Ok(&longest));
}

/// G3: GitHub reports errors with status 200.
#[test]
fn a_token_error_is_told_from_a_token() {
    check_token(&fixture("error_bad_verification_code"), Err("bad_verification_code"));
    check_token(&fixture("error_unverified_user_email"), Err("unverified_user_email"));
    check_token(&fixture("error_incorrect_client_credentials"), Err("incorrect_client_credentials"));
    check_token(&fixture("error_redirect_uri_mismatch"), Err("redirect_uri_mismatch"));
    check_token(&fixture("error_application_suspended"), Err("application_suspended"));
    check_token(&fixture("error_unknown_client"), Err("incorrect_client_credentials"));
    check_token(br#"{"error":"slow_down"}"#, Err("unknown_error"));
    let both = br#"{"error":"slow_down","access_token":"gho_a","token_type":"bearer"}"#;
    check_token(both, Err("unknown_error"));
}

/// G3: type, length and characters of a token are checked.
#[test]
fn a_malformed_token_answer_is_refused() {
    let too_long = "a".repeat(limits::GITHUB_TOKEN_BYTES + 1);
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "access_token=gho_a&token_type=bearer",
        r#"{"access_token":"gho_a"}"#,
        r#"["gho_a","bearer",null]"#,
        r#"{"access_token":"gho_a","token_type":"mac"}"#,
        r#"{"access_token":"","token_type":"bearer"}"#,
        r#"{"access_token":"gho_a\r\nX: y","token_type":"bearer"}"#,
        r#"{"access_token":"gho a","token_type":"bearer"}"#,
        r#"{"access_token":"gho_é","token_type":"bearer"}"#,
        r#"{"access_token":7,"token_type":"bearer"}"#,
        r#"{"access_token":"gho_a","access_token":"gho_b","token_type":"bearer"}"#,
        &format!(r#"{{"access_token":"{too_long}","token_type":"bearer"}}"#),
    ] {
        check_token(body.as_bytes(), Err("malformed"));
    }
    let skipped = b"{\"access_token\":\"gho_a\",\"token_type\":\"bearer\",\"scope\":\"\xff\"}";
    check_token(skipped, Err("malformed"));
}

#[test]
fn a_profile_has_id_login_name_and_scopes() {
    let octocat = profile(&fixture("user"), "read:org, user:email").unwrap();
    assert_eq!((octocat.id, octocat.login.as_str()), (UserId(583_231), "octocat"));
    assert_eq!(octocat.name.as_deref(), Some("The Octocat"));
    assert_eq!(octocat.scopes, ["read:org", "user:email"]);
    let unnamed = profile(&fixture("user_minimal"), "").unwrap();
    assert_eq!((unnamed.name, unnamed.scopes), (None, vec![]));
}

/// G4: an answer without the account's number is no identity.
#[test]
fn an_answer_without_a_numeric_id_is_no_user() {
    for body in [
        r#"{"login":"octocat"}"#,
        r#"{"id":0,"login":"octocat"}"#,
        r#"{"id":-1,"login":"octocat"}"#,
        r#"{"id":1.5,"login":"octocat"}"#,
        r#"{"id":"583231","login":"octocat"}"#,
        r#"{"id":null,"login":"octocat"}"#,
        r#"{"id":18446744073709551616,"login":"octocat"}"#,
        r#"{"id":1,"id":2,"login":"octocat"}"#,
        r#"{"id":1}"#,
        r#"{"id":1,"login":""}"#,
        r#"{"id":1,"login":".."}"#,
        r#"{"id":1,"login":"a/b"}"#,
        r#"[{"id":1,"login":"octocat"}]"#,
        r#"[1,"octocat",null]"#,
    ] {
        assert_eq!(profile(body.as_bytes(), ""), None, "{body}");
    }
    assert_eq!(profile(&fixture("bad_credentials"), ""), None);
    assert_eq!(profile(&fixture("rate_limit"), ""), None);
}

/// G5: an invitation does not count as a membership.
#[test]
fn only_an_active_membership_counts() {
    let check = |body: &[u8], expected| assert_eq!(is_active(body), expected);
    check(&fixture("membership_active"), Ok(true));
    check(&fixture("membership_pending"), Err(ProviderError::Blocked(Obstacle::InvitationPending)));
    check(&fixture("team_membership_active"), Ok(true));
    check(&fixture("not_found"), Err(ProviderError::Nonsense));
    check(br#"{"state":"Active"}"#, Ok(false));
    check(br#"{"state":true}"#, Err(ProviderError::Nonsense));
    check(br#"["active"]"#, Err(ProviderError::Nonsense));
}

/// G5: only the text of GitHub's answer has the reason why it does not answer about a person or an organisation.
#[test]
fn the_obstacle_is_derived_from_githubs_message() {
    let check = |body: &[u8], expected| assert_eq!(obstacle(body), expected);
    check(&fixture("saml_enforced"), Some(Obstacle::SingleSignOn));
    check(&fixture("app_not_approved"), Some(Obstacle::AppNotApproved));
    check(&fixture("ip_not_allowed"), Some(Obstacle::AddressNotAllowed));
    check(&fixture("account_suspended"), Some(Obstacle::Suspended));
    check(
        br#"{"message":"Your account is suspended. Please check with your installation administrator."}"#,
        Some(Obstacle::Suspended),
    );
    check(br#"{"message":"Resource not accessible by integration"}"#, Some(Obstacle::NotPermitted));
    check(&fixture("not_found"), None);
    check(br#"{"documentation_url":"https://docs.github.com/saml"}"#, None);
    check(br#"["saml"]"#, None);
}
