//! Reasons not to start. The text of each names the setting or the file at fault and a remedy.

use std::fmt::{self, Display};
use std::path::Path;

/// One reason why the program does not start.
#[derive(Debug, PartialEq, Eq)]
pub struct StartupError {
    /// The setting or the file at fault; empty if it is neither.
    pub subject: String,
    pub text: String,
    /// A sentence; empty if `text` says it all.
    pub advice: String,
    pub cause: Cause,
}

/// Causes that callers handle specially.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another process uses the state directory.
    InUse,
    /// The file belongs to another user, or permissions deny access.
    Denied,
    /// The state that a command needs does not exist.
    Missing,
    Other,
}

impl StartupError {
    /// `text` is whole sentences.
    pub fn new(text: impl Into<String>) -> StartupError {
        StartupError { subject: String::new(), text: text.into(), advice: String::new(), cause: Cause::Other }
    }

    /// A setting or a file that cannot be used, and why.
    pub fn unusable(subject: impl Display, why: impl Display) -> StartupError {
        StartupError { subject: subject.to_string(), ..StartupError::new(format!("{subject}: {why}")) }
    }

    /// A file that cannot be used, with the option that names it, and why.
    pub fn in_file(option: &str, path: &Path, why: impl Display) -> StartupError {
        StartupError::unusable(format_args!("{option} ({})", path.display()), why)
    }

    /// A required setting that is missing, and advice on its value.
    pub fn missing(setting: &str, what: &str) -> StartupError {
        StartupError {
            subject: setting.to_owned(),
            ..StartupError::new(format!("{setting} is not set: {what}"))
        }
    }
}

impl Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, ". {}", self.advice) }
    }
}

impl std::error::Error for StartupError {}

/// For functions that report every error that they find, and call others that stop at the first.
impl From<StartupError> for Vec<StartupError> {
    fn from(error: StartupError) -> Vec<StartupError> {
        vec![error]
    }
}
