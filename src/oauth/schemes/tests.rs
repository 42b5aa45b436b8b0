//! Which schemes the operator may add.

use super::*;

#[test]
fn known_schemes_and_reverse_domain_names_are_admitted() {
    let none = RedirectSchemes::default();
    for scheme in KNOWN.iter().chain(&["com.example.app", "ai.perplexity.comet"]) {
        assert!(none.admit(scheme) && is_well_formed(scheme) && !is_forbidden(scheme), "{scheme}");
    }
    assert!(!none.admit("myapp"));
    assert!(KNOWN.is_sorted() && FORBIDDEN.split(' ').is_sorted());
}

#[test]
fn the_operator_adds_schemes_but_none_that_a_browser_runs() {
    let added = RedirectSchemes::parse("myapp, their-app://,web+mcp").unwrap();
    assert!(["myapp", "their-app", "web+mcp", "cursor"].iter().all(|scheme| added.admit(scheme)));
    assert!(!added.admit("other"));
    for scheme in FORBIDDEN.split(' ') {
        assert!(RedirectSchemes::parse(&format!("myapp,{scheme}")).unwrap_err().contains("cannot be added"));
    }
    for text in ["", ",", "MyApp", "my app", "1app", "myapp:/x", "javascript:", "*"] {
        assert!(RedirectSchemes::parse(text).unwrap_err().contains("lower case"), "{text:?}");
    }
}
