//! Client ID Metadata Documents: clients whose id is the URL of a document that describes them
//! (draft-ietf-oauth-client-id-metadata-document; sections here and in `documents` are those of revision 01). What
//! such a document must say; `documents` fetches it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::client_metadata::{ClientMetadata, Description, json_rules};
use super::client_url::ClientUrl;
use super::redirect::Registrant;
use super::schemes::RedirectSchemes;
use crate::base::json;

/// A document that keeps every rule.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientDocument {
    pub(super) description: Description,
}

/// Whoever finds the document of a client: `documents`, or a test.
pub trait ClientDocuments: Send + Sync {
    /// The document at `url`, perhaps remembered from a moment ago. May take as long as
    /// [`crate::base::limits::DOCUMENT_FETCH`]; `peer` is who made us ask.
    ///
    /// `None` says nothing about why: whoever names a URL must not learn what is behind it (I5).
    fn find(&self, url: &ClientUrl, peer: Option<IpAddr>) -> Option<Arc<ClientDocument>>;
}

/// The members that a registration does not have.
#[derive(Deserialize)]
struct DocumentMembers {
    client_id: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl ClientDocument {
    /// Reads the document that was found at `url`; `None` unless it is one (I4). Anybody may use these `schemes`.
    pub fn parse(url: &ClientUrl, body: &[u8], schemes: &RedirectSchemes) -> Option<ClientDocument> {
        let text = std::str::from_utf8(body).ok()?;
        // Section 4.1 of the draft: nobody shares a secret with a document that everybody can read.
        json::check_object(text, json_rules(|name| name.starts_with("client_secret"))).ok()?;
        let members: DocumentMembers = serde_json::from_str(text).ok()?;
        let metadata: ClientMetadata = serde_json::from_str(text).ok()?;
        // Compared as strings: no slash, port or case is forgiven.
        if members.client_id != url.as_str() || !members.admits_none(&metadata) {
            return None;
        }
        let description = metadata.describe(Registrant::Anybody(schemes)).ok()?;
        // MCP authorization, Client ID Metadata Documents: client_id, client_name and redirect_uris are required.
        description.name.is_some().then_some(ClientDocument { description })
    }
}

impl DocumentMembers {
    /// Whether the client can do without authentication, the only way that is open to it here. ChatGPT prefers
    /// `private_key_jwt` and lists `none` as well.
    fn admits_none(&self, metadata: &ClientMetadata) -> bool {
        let listed = self.token_endpoint_auth_methods_supported.as_ref();
        let lists_none = listed.is_some_and(|methods| methods.iter().any(|method| method == "none"));
        match metadata.token_endpoint_auth_method.as_deref() {
            Some("none") => true,
            Some(_) => lists_none,
            None => lists_none || listed.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const URL: &str = "https://a.example/client.json";

    fn check(document: &Value, accepted: bool) {
        let url = ClientUrl::parse(URL).unwrap();
        let found = ClientDocument::parse(&url, document.to_string().as_bytes(), &RedirectSchemes::default());
        assert_eq!(found.is_some(), accepted, "{document}");
    }

    /// A good document; the members of `changes` replace its own, null removes them.
    fn document(changes: &Value) -> Value {
        let mut document = json!({
            "client_id": URL, "client_name": "Example", "redirect_uris": ["https://a.example/cb"],
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        document
    }

    /// I4: the id in the document is the URL, to the letter.
    #[test]
    fn a_document_names_its_own_url() {
        check(&document(&json!({})), true);
        for other in [
            "https://a.example/client.json/",
            "https://a.example:443/client.json",
            "https://A.example/client.json",
            "https://b.example/client.json",
            "",
        ] {
            check(&document(&json!({ "client_id": other })), false);
        }
        check(&document(&json!({ "client_id": null })), false);
        check(&document(&json!({ "client_id": [URL] })), false);
    }

    /// I4: `none` must be among what the client can do, and no secret in sight.
    #[test]
    fn a_document_admits_a_public_client() {
        let check = |changes: Value, accepted| check(&document(&changes), accepted);
        check(json!({ "token_endpoint_auth_method": "none" }), true);
        check(json!({ "token_endpoint_auth_method": "private_key_jwt" }), false);
        check(json!({ "token_endpoint_auth_method": "client_secret_post" }), false);
        check(json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt"] }), false);
        check(json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"] }), true);
        check(json!({ "client_secret": "x" }), false);
        check(json!({ "client_secret_expires_at": 0 }), false);
    }

    /// The document that ChatGPT published in September 2026, but for its address.
    #[test]
    fn a_document_like_that_of_chatgpt_is_accepted() {
        let changes = json!({
            "client_uri": "https://a.example/",
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "logo_uri": "https://cdn.example/logo.png",
            "token_endpoint_auth_signing_alg": "RS256",
            "jwks_uri": "https://a.example/oauth/jwks.json",
        });
        check(&document(&changes), true);
    }

    /// I4, O5: redirect URIs and name keep the rules of registration; of the usable ones all are kept.
    #[test]
    fn a_document_keeps_the_rules_of_registration() {
        let check = |changes: Value, accepted| check(&document(&changes), accepted);
        check(json!({ "redirect_uris": ["http://127.0.0.1/cb", "http://localhost/cb"] }), true);
        check(json!({ "redirect_uris": [] }), false);
        check(json!({ "redirect_uris": ["http://a.example/cb"] }), false);
        check(json!({ "redirect_uris": ["https://a.example/cb", "javascript:alert(1)"] }), true);
        check(json!({ "grant_types": ["client_credentials"] }), false);
        check(json!({ "response_types": ["token"] }), false);
        let url = ClientUrl::parse(URL).unwrap();
        let uris: Vec<String> = (0..30).map(|number| format!("https://a.example/{number}")).collect();
        let many = document(&json!({ "redirect_uris": uris, "client_name": "a\u{202e}b" })).to_string();
        let found = ClientDocument::parse(&url, many.as_bytes(), &RedirectSchemes::default()).unwrap();
        assert_eq!(found.description.redirect_uris.len(), 30);
        assert_eq!(found.description.name.as_deref(), Some("ab"));
    }

    /// I4: MCP requires three members. A name of which nothing is left is none.
    #[test]
    fn a_document_has_the_required_members() {
        for missing in ["client_id", "client_name", "redirect_uris"] {
            check(&document(&json!({ missing: null })), false);
        }
        check(&document(&json!({ "client_name": "\u{200b}\n" })), false);
        check(&document(&json!({ "client_name": 7 })), false);
    }

    /// I4: what two parsers could read differently is no document.
    #[test]
    fn a_document_is_one_plain_json_object() {
        let url = ClientUrl::parse(URL).unwrap();
        let good = document(&json!({})).to_string();
        let twice = good.replacen('{', r#"{"client_id":"https://b.example/c","#, 1);
        let deep = good.replacen('{', &format!(r#"{{"x":{}{},"#, "[".repeat(8), "]".repeat(8)), 1);
        let with_mark = format!("\u{feff}{good}");
        for bad in [&twice, &deep, &with_mark, &format!("{good}{good}"), &format!("[{good}]"), "<html>", ""] {
            assert_eq!(
                ClientDocument::parse(&url, bad.as_bytes(), &RedirectSchemes::default()),
                None,
                "{bad}"
            );
        }
        assert_eq!(ClientDocument::parse(&url, b"\xff", &RedirectSchemes::default()), None);
    }
}
