//! `application/x-www-form-urlencoded`, in queries and bodies, read strictly (O8).

use percent_encoding::percent_decode;

use crate::base::limits;

/// A `%` that two hexadecimal digits do not follow, bytes that are not UTF-8, or more parameters than any form has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadForm;

/// The parameters of a form, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// [`BadForm`] for anything that a browser would not have sent.
    pub fn parse(bytes: &[u8]) -> Result<Form, BadForm> {
        let pairs = bytes.split(|&b| b == b'&').filter(|pair| !pair.is_empty());
        // Bounds what looking for repeated names costs, before anything is known about the sender.
        if pairs.clone().take(limits::FORM_PARAMETERS.saturating_add(1)).count() > limits::FORM_PARAMETERS {
            return Err(BadForm);
        }
        pairs
            .map(|pair| {
                let mut halves = pair.splitn(2, |&b| b == b'=');
                let mut half = || decode(halves.next().unwrap_or_default());
                Ok((half()?, half()?))
            })
            .collect::<Result<_, _>>()
            .map(Form)
    }

    /// The value of `name`; an empty value counts as absent (RFC 6749 section 3.1). The first one if it is repeated:
    /// [`Form::repeated`] is asked first.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Whether `name` is there at all, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Every value of `name` that is not empty.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// A name that stands more than once, apart from those in `allowed`. RFC 6749 section 3.1: parameters must not be
    /// included more than once.
    pub fn repeated(&self, allowed: &[&str]) -> Option<&str> {
        self.0.iter().enumerate().find_map(|(index, (name, _))| {
            let earlier = self.0.iter().take(index).any(|(other, _)| other == name);
            (earlier && !allowed.contains(&name.as_str())).then_some(name.as_str())
        })
    }
}

/// Decodes one name or value: `+` is a space, `%XX` a byte, the result UTF-8.
pub(crate) fn decode(bytes: &[u8]) -> Result<String, BadForm> {
    // `percent_decode` keeps a `%` without two digits as it is.
    let is_escape = |rest: &[u8]| rest.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if !bytes.split(|&b| b == b'%').skip(1).all(is_escape) {
        return Err(BadForm);
    }
    let spaced: Vec<u8> = bytes.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).map_err(|_| BadForm)
}

#[cfg(test)]
mod tests;
