//! URIs that match a template.

use crate::mcp::resource::UriTemplate;

fn check(template: &str, uri: &str, expected: Option<&[(&str, &str)]>) {
    let found = UriTemplate::parse(template).unwrap().matches(uri);
    let expected = expected
        .map(|pairs| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
    assert_eq!(found, expected, "{template} {uri}");
}

/// M18: no regular expression is compiled: a variable matches one segment, found in one pass.
#[test]
fn a_variable_matches_one_path_segment() {
    let template = "test://template/{id}/data";
    check(template, "test://template/1/data", Some(&[("id", "1")]));
    check(template, "test://template/a%20b/data", Some(&[("id", "a b")]));
    check(template, "test://template//data", None);
    check(template, "test://template/1/2/data", None);
    check(template, "test://template/1/data/", None);
    check(template, "other://template/1/data", None);
    check("a:{x}-{y}", "a:1-2-3", Some(&[("x", "1"), ("y", "2-3")]));
    check("a:{x}", "a:%ff", None);
}

/// M18: a decoded value is one segment as well.
#[test]
fn dot_segments_and_encoded_slashes_match_no_variable() {
    for bad in
        ["..", ".", "%2e%2E", "..%2F..%2fetc", "a%2Fb", "a%5Cb", "a\\b", "a%00", "%0a", "%7F", "%C2%85"]
    {
        check("file://docs/{name}", &format!("file://docs/{bad}"), None);
    }
    for (fine, name) in [("..a", "..a"), ("a%2eb", "a.b"), ("...", "..."), ("%252e%252e", "%2e%2e")] {
        check("file://docs/{name}", &format!("file://docs/{fine}"), Some(&[("name", name)]));
    }
}

/// M18: matching takes one pass for any text.
#[test]
fn a_hostile_uri_is_matched_in_one_pass() {
    let uri = format!("a:{}!", "-a".repeat(1_000_000));
    check("a:{x}-a{y}-a{z}!", &uri, None);
    check("a:{x}-b{y}", &uri, None);
}

#[test]
fn only_level_1_templates_are_accepted() {
    for bad in ["a:b", "a:{", "a:{}", "a:{+x}", "a:{x}{y}", "a:{x}}", "a:}{x}", "a:{x,y}"] {
        assert_eq!(UriTemplate::parse(bad), None, "{bad}");
    }
}
