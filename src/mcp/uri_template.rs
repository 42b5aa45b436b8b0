//! URI templates of RFC 6570 level 1: `{name}` stands for the text of one path segment. Matched in linear time (M18).

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UriTemplate {
    /// What stands before the first variable.
    prefix: String,
    /// Each variable, and what stands between it and the next one or the end.
    variables: Vec<(String, String)>,
}

impl UriTemplate {
    /// Reads a template. `None` if it uses more of RFC 6570, or two variables touch: the end of the first one would be
    /// undefined.
    pub(super) fn parse(template: &str) -> Option<UriTemplate> {
        let mut parts = template.split('{');
        let prefix = parts.next()?.to_owned();
        let mut variables = Vec::new();
        for part in parts {
            let (name, literal) = part.split_once('}')?;
            let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !named || literal.contains('}') {
                return None;
            }
            variables.push((name.to_owned(), literal.to_owned()));
        }
        let touching = variables.iter().rev().skip(1).any(|(_, literal)| literal.is_empty());
        (!prefix.contains('}') && !variables.is_empty() && !touching)
            .then_some(UriTemplate { prefix, variables })
    }

    /// The values of the variables in `uri`, decoded. A value is one path segment, not empty, and ends where the text after
    /// its variable first occurs.
    pub(super) fn matches(&self, uri: &str) -> Option<BTreeMap<String, String>> {
        let mut rest = uri.strip_prefix(&self.prefix)?;
        let mut values = BTreeMap::new();
        let last = self.variables.len().saturating_sub(1);
        for (index, (name, literal)) in self.variables.iter().enumerate() {
            let (value, after) = if index == last {
                (rest.strip_suffix(literal.as_str())?, "")
            } else {
                rest.split_once(literal.as_str())?
            };
            let value = percent_decode_str(value).decode_utf8().ok().filter(|value| is_segment(value))?;
            values.insert(name.clone(), value.into_owned());
            rest = after;
        }
        Some(values)
    }

    /// Whether the template has a variable called `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.variables.iter().any(|(variable, _)| variable == name)
    }
}

/// Whether a decoded value is one path segment (M18): a reader may make a file's name of it, which must not lead elsewhere.
fn is_segment(value: &str) -> bool {
    let leads_elsewhere = |char: char| matches!(char, '/' | '\\') || char.is_control();
    !matches!(value, "" | "." | "..") && !value.contains(leads_elsewhere)
}
