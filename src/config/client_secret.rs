//! Secrets of OAuth clients: that of our own app at GitHub, and those of the operator's clients.

use std::fmt::Display;
use std::fs::File;
use std::path::PathBuf;

use crate::base::{Secret, StartupError, capped, limits};

/// Advice for a secret of the GitHub app that is not set.
pub(super) const NOT_SET: &str =
    "copy the OAuth app's client secret there, or into a file that GITHUB_CLIENT_SECRET_FILE names";

/// Where a client secret is.
#[derive(Debug, Default)]
pub enum ClientSecret {
    #[default]
    Unset,
    /// In the environment.
    Given(Secret<String>),
    /// Alone in this file.
    File(PathBuf),
}

impl ClientSecret {
    /// Its file.
    pub fn file(&self) -> Option<&PathBuf> {
        if let ClientSecret::File(path) = self { Some(path) } else { None }
    }

    /// The one secret of an operator's client. White space around it in a file is dropped.
    pub fn read(&self) -> Result<Secret<String>, StartupError> {
        self.read_lines("client_secret_file in MCP_CLIENTS", 1).map(|(secret, _)| secret)
    }

    /// The secret of the app, and from the second line of a file another one, while the operator replaces it (G9).
    pub fn read_two(&self) -> Result<(Secret<String>, Option<Secret<String>>), StartupError> {
        self.read_lines("GITHUB_CLIENT_SECRET_FILE", 2)
    }

    fn read_lines(
        &self,
        option: &str,
        most: usize,
    ) -> Result<(Secret<String>, Option<Secret<String>>), StartupError> {
        let path = match self {
            ClientSecret::Unset => return Err(StartupError::missing("GITHUB_CLIENT_SECRET", NOT_SET)),
            ClientSecret::Given(secret) => return Ok((secret.clone(), None)),
            ClientSecret::File(path) => path,
        };
        let failed = |why: &dyn Display| StartupError::in_file(option, path, why);
        // It is read once, so it may be a pipe from a password manager.
        let bytes = File::open(path).and_then(|file| capped::read_from(file, limits::FILE_BYTES));
        let bytes = bytes.map_err(|error| failed(&error))?;
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(failed(&"it is UTF-16: save it as plain text (ASCII or UTF-8)"));
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut secrets =
            lines.map(parse).collect::<Result<Vec<_>, _>>().map_err(|why| failed(&why))?.into_iter();
        match (secrets.next(), secrets.next(), secrets.len()) {
            (None, ..) => Err(failed(&"it is empty")),
            (Some(secret), other, 0) if other.is_none() || most > 1 => Ok((secret, other)),
            (Some(_), ..) => Err(failed(&format!("it has more than {most} lines"))),
        }
    }
}

/// A secret that is not printable ASCII was copied with invisible characters, and GitHub would refuse it as a wrong secret.
pub(super) fn parse(text: &str) -> Result<Secret<String>, &'static str> {
    if text.starts_with('\u{feff}') {
        return Err("it begins with a byte order mark: save it as plain text without one");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("it has a character that is not printable ASCII, or a space in it: copy it once more");
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests;
