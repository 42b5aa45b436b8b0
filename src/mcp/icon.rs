//! Icons: pictures that clients may show beside what they list.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A picture that clients may show. They refuse all but `https:` and `data:` URIs, and should any that is not of the
/// server's own site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Icon {
    src: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sizes: Vec<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    theme: Option<Theme>,
}

/// Which background an icon is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// A light one.
    Light,
    /// A dark one.
    Dark,
}

impl Icon {
    /// The picture at a URI.
    pub fn new(src: impl Into<Cow<'static, str>>) -> Icon {
        Icon { src: src.into(), mime_type: None, sizes: Vec::new(), theme: None }
    }

    /// The same with its media type.
    pub fn mime_type(mut self, mime_type: impl Into<Cow<'static, str>>) -> Icon {
        self.mime_type = Some(mime_type.into());
        self
    }

    /// The same with one more size that it has, as in `48x48`, or `any`.
    pub fn size(mut self, size: impl Into<Cow<'static, str>>) -> Icon {
        self.sizes.push(size.into());
        self
    }

    /// The same for one background.
    pub fn theme(mut self, theme: Theme) -> Icon {
        self.theme = Some(theme);
        self
    }
}
