//! Reasons not to start. The text of each names the setting or the file at fault and says what to do about it.

use std::fmt::{self, Display};

/// One reason why the program does not start.
#[derive(Debug, PartialEq, Eq)]
pub struct StartupError {
    /// The setting or the file at fault; empty if it is neither.
    pub subject: String,
    text: String,
}

impl StartupError {
    /// `text` is whole sentences.
    pub fn new(text: impl Into<String>) -> StartupError {
        StartupError { subject: String::new(), text: text.into() }
    }

    /// A setting or a file that cannot be used, and why.
    pub fn unusable(subject: impl Display, why: impl Display) -> StartupError {
        StartupError { subject: subject.to_string(), text: format!("{subject}: {why}") }
    }

    /// A setting without a default that was not given, and what to write.
    pub fn missing(setting: &str, what: &str) -> StartupError {
        StartupError { subject: setting.to_owned(), text: format!("{setting} is not set: {what}") }
    }
}

impl Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StartupError {}

/// For functions that report every error that they find, and call others that stop at the first.
impl From<StartupError> for Vec<StartupError> {
    fn from(error: StartupError) -> Vec<StartupError> {
        vec![error]
    }
}
