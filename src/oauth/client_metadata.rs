//! Client metadata (RFC 7591 section 2) and its rules, for a registration, a metadata document and the operator's file alike.
//! What is usable is kept; one odd member does not refuse the whole.

use std::fmt;

use serde::Deserialize;

use super::redirect::{RedirectError, RedirectUri, Registrant};
use crate::base::identity::Scopes;
use crate::base::{json, limits};

/// The members that are understood. Others are ignored and not kept (RFC 7591 section 2); nothing that they name is ever
/// fetched.
#[derive(Debug, Deserialize)]
pub(super) struct ClientMetadata {
    redirect_uris: Option<Vec<Option<String>>>,
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
    /// What the client calls itself, if it does: presentable.
    pub(super) name: Option<String>,
    /// The scopes that it named, known or not.
    asked: Scopes,
}

/// Why metadata is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataError {
    NotJson,
    NoRedirectUri,
    Redirect(RedirectError),
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
            MetadataError::Redirect(error) => return error.fmt(f),
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
            redirect_uris: Some(redirect_uris.into_iter().map(Some).collect()),
            client_name,
            grant_types: None,
            response_types: None,
            token_endpoint_auth_method: None,
            scope: None,
        }
    }

    /// Checks everything but the authentication method. What is not usable of names and redirect URIs is left out.
    ///
    /// # Errors
    /// [`MetadataError`], the first rule that is broken; of redirect URIs, if none is left.
    pub(super) fn describe(self, registrant: Registrant<'_>) -> Result<Description, MetadataError> {
        // RFC 7591 section 2: the server may substitute; clients also list grants that we do not have.
        let lists = |list: &Option<Vec<String>>, needed: &str| {
            list.as_ref().is_none_or(|list| list.is_empty() || list.iter().any(|x| x == needed))
        };
        if !lists(&self.grant_types, "authorization_code") {
            return Err(MetadataError::NoCodeGrant);
        }
        if !lists(&self.response_types, "code") {
            return Err(MetadataError::NoCodeResponse);
        }
        let asked =
            Scopes::parse(self.scope.as_deref().unwrap_or_default()).ok_or(MetadataError::BadScope)?;
        let redirect_uris = usable(self.redirect_uris.unwrap_or_default(), registrant)?;
        let name = self.client_name.as_deref().and_then(presentable);
        Ok(Description { redirect_uris, name, asked })
    }
}

impl Description {
    /// What of `supported` the client may ask for: what it named, or everything if it named nothing that exists.
    pub(super) fn scopes(&self, supported: &Scopes) -> Scopes {
        let known = self.asked.intersection(supported);
        if known.is_empty() { supported.clone() } else { known }
    }
}

/// D2: each usable redirect URI once, in the order in which they came.
fn usable(texts: Vec<Option<String>>, registrant: Registrant<'_>) -> Result<Vec<RedirectUri>, MetadataError> {
    let mut kept: Vec<RedirectUri> = Vec::new();
    let mut refused = MetadataError::NoRedirectUri;
    for text in texts.iter().flatten() {
        match RedirectUri::parse(text, registrant) {
            Ok(uri) if kept.contains(&uri) => {}
            Ok(uri) => kept.push(uri),
            Err(error) if refused == MetadataError::NoRedirectUri => refused = MetadataError::Redirect(error),
            Err(_) => {}
        }
    }
    if kept.is_empty() { Err(refused) } else { Ok(kept) }
}

/// C7: what is left of a name that shows what it is: no characters that reorder or hide the text around them on the consent
/// page, white space as single spaces, [`limits::CLIENT_NAME_CHARS`] at most. `None` if nothing is left.
fn presentable(name: &str) -> Option<String> {
    let visible: String = name.chars().filter(|c| c.is_whitespace() || is_visible(*c)).collect();
    let spaced = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = spaced.chars().take(limits::CLIENT_NAME_CHARS).collect();
    let cut = cut.trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// Whether a character has a shape of its own. The categories Cc, Cf, Co and Cn (control, format, private use, unassigned) are
/// read from the standard library's own Unicode tables: `str::escape_debug` writes just them as `\u{…}`, behind another
/// character also no combining mark. What Unicode calls Default_Ignorable_Code_Point (DerivedCoreProperties.txt) beyond these
/// categories are the letters and marks below: they have not changed since Unicode 6.0, new ones come from unassigned blocks.
fn is_visible(c: char) -> bool {
    let is_ignorable = matches!(c,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}');
    !is_ignorable && !c.is_control() && format!("a{c}").escape_debug().nth(2) != Some('u')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        assert_eq!(presentable(name).as_deref().unwrap_or_default(), expected, "{name:?}");
    }

    /// C7: a name that shows what it is stays as it is.
    #[test]
    fn a_visible_name_is_kept() {
        for fine in [
            "Claude",
            "Курсор",
            "日本語 クライアント",
            "a'<b>&amp;\"\\",
            "Ünïcödé ✓",
            "e\u{301}",
            "नमस्ते",
            "🤖",
        ] {
            check(fine, fine);
        }
        let longest = "ü".repeat(limits::CLIENT_NAME_CHARS);
        check(&longest, &longest);
    }

    /// C7: what could disguise the consent page is taken out, and a name that is too long is cut.
    #[test]
    fn a_name_is_cleaned_and_cut() {
        check("Claude\n", "Claude");
        check(" a \t\r\n b\u{2028}c\u{3000}d\u{a0}", "a b c d");
        check("Soft\u{ad}Hyphen", "SoftHyphen");
        check("👩\u{200d}💻 App", "👩💻 App");
        check("❤\u{fe0f}", "❤");
        check("a\u{202e}b\u{2066}c\0d\u{7f}", "abcd");
        check("a\u{e000}\u{fffe}\u{10ffff}\u{feff}\u{e0041}\u{e0100}b", "ab");
        check(&"ü".repeat(limits::CLIENT_NAME_CHARS + 1), &"ü".repeat(limits::CLIENT_NAME_CHARS));
        check(
            &format!("{} tail", "a".repeat(limits::CLIENT_NAME_CHARS - 1)),
            &"a".repeat(limits::CLIENT_NAME_CHARS - 1),
        );
        for nothing in ["", " ", "\u{200b}", " \u{ad}\n", "\u{34f}\u{17b4}"] {
            check(nothing, "");
        }
    }

    /// C7: the whole of Default_Ignorable_Code_Point (Unicode 17.0), and what no version assigns.
    #[test]
    fn ignorable_and_unassigned_characters_are_not_visible() {
        let ignorable = [
            0xad..=0xad,
            0x34f..=0x34f,
            0x61c..=0x61c,
            0x115f..=0x1160,
            0x17b4..=0x17b5,
            0x180b..=0x180f,
            0x200b..=0x200f,
            0x202a..=0x202e,
            0x2060..=0x206f,
            0x3164..=0x3164,
            0xfe00..=0xfe0f,
            0xfeff..=0xfeff,
            0xffa0..=0xffa0,
            0xfff0..=0xfff8,
            0x1bca0..=0x1bca3,
            0x1d173..=0x1d17a,
            0xe0000..=0xe0fff,
        ];
        // Unassigned in Unicode 17.0: gaps in Greek, Armenian, Hebrew and Tamil, the ends of blocks, planes 4 to 13; then
        // noncharacters and private use.
        let unassigned = [
            0x378..=0x379,
            0x380..=0x383,
            0x38b..=0x38b,
            0x530..=0x530,
            0x5c8..=0x5cf,
            0xb84..=0xb84,
            0x2fe0..=0x2fef,
            0x40000..=0x40100,
            0xdff00..=0xdffff,
            0xfdd0..=0xfdef,
            0x1fffe..=0x1ffff,
            0xe000..=0xf8ff,
            0xf0000..=0xf0100,
        ];
        for code in ignorable.into_iter().chain(unassigned).flatten() {
            assert!(!is_visible(char::from_u32(code).unwrap()), "U+{code:04X}");
        }
    }

    /// D2: one URI that cannot be used does not cost the others; the first reason is told if none is left.
    #[test]
    fn usable_redirect_uris_are_kept() {
        let schemes = Default::default();
        let check = |texts: &[&str], expected: Result<&[&str], MetadataError>| {
            let texts = texts.iter().map(|text| Some((*text).to_owned())).chain([None]).collect();
            let kept = usable(texts, Registrant::Anybody(&schemes));
            let kept = kept.as_ref().map(|uris| uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>());
            assert_eq!(kept.map_err(|error| *error), expected.map(<[&str]>::to_vec));
        };
        check(&["myapp://cb", "https://a.example/cb", "javascript:x"], Ok(&["https://a.example/cb"]));
        check(
            &["https://b.example/", "https://a.example/", "https://b.example/"],
            Ok(&["https://b.example/", "https://a.example/"]),
        );
        check(&["http://a.example/", "myapp://cb"], Err(MetadataError::Redirect(RedirectError::PlainHttp)));
        check(&[], Err(MetadataError::NoRedirectUri));
    }
}
