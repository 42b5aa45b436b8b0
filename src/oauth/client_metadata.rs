//! Client metadata (RFC 7591 section 2) and its rules, the same for a registration, a metadata document and the operator's
//! file. Unusable redirect URIs are dropped as long as one is left.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{AuthMethod, Client, ClientOrigin};
use super::redirect::{RedirectUri, Registrant};
use crate::base::{Scopes, json, limits};

#[cfg(test)]
mod tests;

/// The members that are understood. Others are ignored and not kept (RFC 7591 section 2); no URL in them is ever fetched.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ClientMetadata {
    pub(super) redirect_uris: Option<Vec<Option<String>>>,
    pub(super) client_name: Option<String>,
    pub(super) grant_types: Option<Vec<String>>,
    pub(super) response_types: Option<Vec<String>>,
    pub(super) token_endpoint_auth_method: Option<String>,
    pub(super) scope: Option<String>,
}

/// Why metadata is refused: an error code of RFC 7591 section 3.2.2, and words for the client's developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataError {
    InvalidRedirectUri(&'static str),
    InvalidClientMetadata(&'static str),
}

impl MetadataError {
    pub(super) fn code(self) -> &'static str {
        match self {
            MetadataError::InvalidRedirectUri(_) => "invalid_redirect_uri",
            MetadataError::InvalidClientMetadata(_) => "invalid_client_metadata",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            MetadataError::InvalidRedirectUri(text) | MetadataError::InvalidClientMetadata(text) => text,
        }
    }
}

/// Reads metadata from JSON that no two parsers read differently (D1), without members that `is_forbidden` names.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], is_forbidden: fn(&str) -> bool) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    json::check(text, limits::METADATA_VALUES, is_forbidden).and_then(|()| json::read(text)).ok()
}

impl ClientMetadata {
    /// Checks every member but the authentication method, which each source decides by rules of its own.
    ///
    /// # Errors
    /// The first rule that is broken; of redirect URIs, only if none is left.
    pub(super) fn client(
        self,
        origin: ClientOrigin,
        auth: AuthMethod,
        registrant: Registrant<'_>,
    ) -> Result<Client, MetadataError> {
        // RFC 7591 section 2: the server may substitute; clients also list grants that do not exist here.
        let lists = |list: &Option<Vec<String>>, needed: &str| {
            list.as_ref().is_none_or(|list| list.is_empty() || list.iter().any(|x| x == needed))
        };
        if !lists(&self.grant_types, "authorization_code") {
            return Err(MetadataError::InvalidClientMetadata("grant_types must include authorization_code"));
        }
        if !lists(&self.response_types, "code") {
            return Err(MetadataError::InvalidClientMetadata("response_types must include code"));
        }
        let scopes = Scopes::parse(self.scope.as_deref().unwrap_or_default()).ok_or(
            MetadataError::InvalidClientMetadata("scope must be a space-separated list of scope tokens"),
        )?;
        let redirect_uris = usable(self.redirect_uris.unwrap_or_default(), registrant)
            .map_err(MetadataError::InvalidRedirectUri)?;
        let name = self.client_name.as_deref().and_then(presentable);
        Ok(Client { redirect_uris, name, auth, scopes, server: None, issued: None, origin, secret: None })
    }
}

/// D2: each usable redirect URI once, in the order in which they came.
fn usable(texts: Vec<Option<String>>, registrant: Registrant<'_>) -> Result<Vec<RedirectUri>, &'static str> {
    let mut kept: Vec<RedirectUri> = Vec::new();
    let mut refused = None;
    for text in texts.iter().flatten() {
        match RedirectUri::parse(text, registrant) {
            Ok(uri) if kept.contains(&uri) => {}
            Ok(uri) => kept.push(uri),
            Err(rule) => refused = refused.or(Some(rule)),
        }
    }
    if kept.is_empty() { Err(refused.unwrap_or(NO_REDIRECT_URI)) } else { Ok(kept) }
}

const NO_REDIRECT_URI: &str = "redirect_uris must have at least one URI";

/// C7: a name without characters that reorder or hide the text around them on the consent page, with single spaces as white
/// space, cut at [`limits::CLIENT_NAME_CHARS`]. `None` if nothing is left.
fn presentable(name: &str) -> Option<String> {
    let visible: String = name.chars().filter(|c| c.is_whitespace() || is_visible(*c)).collect();
    let spaced = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = spaced.chars().take(limits::CLIENT_NAME_CHARS).collect();
    let cut = cut.trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// Whether a character is visible. The categories Cc, Cf, Co and Cn (control, format, private use, unassigned) are
/// taken from the standard library's Unicode tables: `str::escape_debug` writes exactly them as `\u{…}` (and a combining mark only
/// at the start, hence the `a` before it). What Unicode calls Default_Ignorable_Code_Point (DerivedCoreProperties.txt) beyond these
/// categories are the letters and marks below: they have not changed since Unicode 6.0, new ones come from unassigned blocks.
pub fn is_visible(c: char) -> bool {
    let is_ignorable = matches!(c,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}');
    !is_ignorable && !c.is_control() && format!("a{c}").escape_debug().nth(2) != Some('u')
}
