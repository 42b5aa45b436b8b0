//! URI templates (RFC 6570, level 1: `{name}` stands for one path segment's worth of text), matched in linear time (M18).

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
    /// Reads a template. `None` if it uses more of RFC 6570, or two variables touch, so that nobody could say where the
    /// first one ends.
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

    /// The values of the variables in `uri`, decoded. A value is not empty, is one segment of a path for whoever takes it for
    /// one, and ends where the text after its variable first occurs.
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

/// M18: decoded, a value leads nowhere else than it seems to: a reader may make a file's name of it.
fn is_segment(value: &str) -> bool {
    let leads_elsewhere = |char: char| matches!(char, '/' | '\\') || char.is_control();
    !matches!(value, "" | "." | "..") && !value.contains(leads_elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, uri: &str, expected: Option<&[(&str, &str)]>) {
        let found = UriTemplate::parse(template).unwrap().matches(uri);
        let expected = expected.map(|pairs| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        });
        assert_eq!(found, expected, "{template} {uri}");
    }

    /// M18: no expression is compiled: what a variable may be is one segment, found in one pass.
    #[test]
    fn a_variable_is_one_segments_worth_of_text() {
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

    /// M18: what is encoded is one segment as well.
    #[test]
    fn an_encoded_value_leads_nowhere_else() {
        for bad in
            ["..", ".", "%2e%2E", "..%2F..%2fetc", "a%2Fb", "a%5Cb", "a\\b", "a%00", "%0a", "%7F", "%C2%85"]
        {
            check("file://docs/{name}", &format!("file://docs/{bad}"), None);
        }
        for (fine, name) in [("..a", "..a"), ("a%2eb", "a.b"), ("...", "..."), ("%252e%252e", "%2e%2e")] {
            check("file://docs/{name}", &format!("file://docs/{fine}"), Some(&[("name", name)]));
        }
    }

    /// M18: matching takes one pass, whatever a client sends.
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
}
