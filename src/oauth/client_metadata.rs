//! What a client says of itself (RFC 7591 section 2), and the rules that this must keep, whoever brings it: a
//! registration, a metadata document, the operator's file.

use std::fmt;

use serde::Deserialize;

use super::redirect::{RedirectError, RedirectUri};
use crate::base::identity::Scopes;
use crate::base::{json, limits};

/// The members that are understood. Others are ignored and not kept (RFC 7591 section 2); nothing that they name is ever
/// fetched.
#[derive(Debug, Deserialize)]
pub(super) struct ClientMetadata {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    /// How the client wants to authenticate; who may do so how is decided elsewhere.
    pub(super) token_endpoint_auth_method: Option<String>,
    scope: Option<String>,
}

/// What is left of it once every rule was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// Where codes may be sent; one at least.
    pub(super) redirect_uris: Vec<RedirectUri>,
    /// What the client calls itself, if it does.
    pub(super) name: Option<String>,
    /// The scopes that it named, known or not.
    asked: Scopes,
}

/// Why metadata is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataError {
    NotJson,
    NoRedirectUri,
    TooManyRedirectUris,
    RedirectUrisTooLong,
    Redirect(RedirectError),
    BadName,
    NoCodeGrant,
    NoCodeResponse,
    UnknownAuthMethod,
    BadScope,
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MetadataError::NotJson => {
                "the body must be a JSON object of client metadata, sent as application/json"
            }
            MetadataError::NoRedirectUri => "redirect_uris must have at least one URI",
            MetadataError::TooManyRedirectUris => "redirect_uris may have at most 10 URIs",
            MetadataError::RedirectUrisTooLong => "redirect_uris may have at most 3072 bytes together",
            MetadataError::Redirect(error) => return error.fmt(f),
            MetadataError::BadName => "client_name may have at most 100 characters, all of them visible",
            MetadataError::NoCodeGrant => "grant_types must include authorization_code",
            MetadataError::NoCodeResponse => "response_types must include code",
            MetadataError::UnknownAuthMethod => {
                "token_endpoint_auth_method must be none, client_secret_basic or client_secret_post"
            }
            MetadataError::BadScope => "scope must be a space-separated list of scope tokens",
        })
    }
}

/// D1: as much JSON as any client metadata needs.
pub(super) fn json_rules(is_forbidden: fn(&str) -> bool) -> json::Rules {
    json::Rules { depth: limits::METADATA_DEPTH, values: limits::METADATA_VALUES, is_forbidden }
}

impl ClientMetadata {
    /// The metadata of a client that says no more than this.
    pub(super) fn named(client_name: Option<String>, redirect_uris: Vec<String>) -> ClientMetadata {
        ClientMetadata {
            redirect_uris,
            client_name,
            grant_types: None,
            response_types: None,
            token_endpoint_auth_method: None,
            scope: None,
        }
    }

    /// Checks everything but the authentication method.
    ///
    /// # Errors
    /// [`MetadataError`], the first rule that is broken.
    pub(super) fn describe(self) -> Result<Description, MetadataError> {
        // RFC 7591 section 2: the server may substitute; clients also list grants that we do not have.
        let lists = |list: &Option<Vec<String>>, needed: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|x| x == needed))
        };
        if !lists(&self.grant_types, "authorization_code") {
            return Err(MetadataError::NoCodeGrant);
        }
        if !lists(&self.response_types, "code") {
            return Err(MetadataError::NoCodeResponse);
        }
        let name = self.client_name.filter(|name| !name.trim().is_empty());
        if name.as_deref().is_some_and(|name| !is_presentable(name)) {
            return Err(MetadataError::BadName);
        }
        let asked =
            Scopes::parse(self.scope.as_deref().unwrap_or_default()).ok_or(MetadataError::BadScope)?;
        Ok(Description { redirect_uris: redirect_uris(&self.redirect_uris)?, name, asked })
    }
}

impl Description {
    /// What of `supported` the client may ask for: what it named, or everything if it named nothing that exists.
    pub(super) fn scopes(&self, supported: &Scopes) -> Scopes {
        let known = self.asked.intersection(supported);
        if known.is_empty() { supported.clone() } else { known }
    }
}

/// D2: one to ten, together short enough to travel in a client id.
fn redirect_uris(texts: &[String]) -> Result<Vec<RedirectUri>, MetadataError> {
    if texts.is_empty() {
        return Err(MetadataError::NoRedirectUri);
    }
    if texts.len() > limits::REDIRECT_URIS {
        return Err(MetadataError::TooManyRedirectUris);
    }
    if texts.iter().map(String::len).fold(0, usize::saturating_add) > limits::REDIRECT_URIS_BYTES {
        return Err(MetadataError::RedirectUrisTooLong);
    }
    texts.iter().map(|text| RedirectUri::parse(text).map_err(MetadataError::Redirect)).collect()
}

/// C7: a name that shows what it is: no control, format, private-use or unassigned-for-ever characters, which could
/// reorder or hide the text around it on the consent page.
fn is_presentable(name: &str) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(u32::from(c),
                0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2 | 0x115f..=0x1160 | 0x180b..=0x180f
                | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xe000..=0xf8ff | 0xfdd0..=0xfdef
                | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x110bd | 0x110cd | 0x13430..=0x1345f
                | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..)
            || u32::from(c) & 0xfffe == 0xfffe
    };
    name.chars().count() <= limits::CLIENT_NAME_CHARS && !name.chars().any(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C7: names that could disguise the consent page are refused.
    #[test]
    fn a_name_must_show_what_it_is() {
        for fine in ["Claude", "Курсор", "日本語 クライアント", "a'<b>&amp;", "Ünïcödé ✓"]
        {
            assert!(is_presentable(fine), "{fine:?}");
        }
        for hidden in [
            "a\u{202e}b",
            "a\u{200b}b",
            "a\nb",
            "\u{feff}a",
            "a\u{e000}",
            "a\u{2066}b",
            "\u{e0041}",
            "a\u{fffe}",
        ] {
            assert!(!is_presentable(hidden), "{hidden:?}");
        }
        assert!(is_presentable(&"ü".repeat(limits::CLIENT_NAME_CHARS)));
        assert!(!is_presentable(&"a".repeat(limits::CLIENT_NAME_CHARS + 1)));
    }
}
