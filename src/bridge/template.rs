//! Values of variables with placeholders, for the person for whom a program is started.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::identity::Subject;
use crate::base::secret::Secret;

/// The variables of this process, from which `${env.NAME}` is filled.
pub(crate) type Variables = BTreeMap<String, String>;

/// The caller for whom a program is started.
pub(crate) struct ServedPerson<'a> {
    pub(crate) subject: Subject,
    pub(crate) login: &'a str,
    /// Opens the person's token at GitHub, if one is kept.
    pub(crate) github_token: &'a dyn Fn() -> Option<Secret<String>>,
}

impl FillError {
    /// What the caller is told of the server.
    pub(crate) fn words(self) -> &'static str {
        match self {
            FillError::NoGitHubToken => {
                "it needs the person's token at GitHub, and there is no good one: log in again"
            }
            FillError::NoUser => "it needs to know which GitHub user calls, and a service token is none",
        }
    }
}

/// A value with placeholders. Its text may be a secret and is not printed.
pub(crate) struct Template(Vec<Piece>);

enum Piece {
    Text(Secret<String>),
    UserId,
    UserLogin,
    GitHubToken,
}

/// Why a placeholder has no value for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FillError {
    /// The person's token at GitHub is not kept.
    NoGitHubToken,
    /// The caller is a service token, not a user at GitHub.
    NoUser,
}

/// Why a text is not a template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// `${` without `}`.
    Unclosed,
    /// A NUL character, which no variable can hold.
    Nul,
    /// `${input:…}`, which asks the user of an editor.
    Input,
    /// A variable in the form of MCP clients: `${NAME}` or `${env:NAME}`.
    ClientForm(String),
    /// A placeholder that does not exist.
    Unknown(String),
    /// `${env.NAME}` of a variable that is not set.
    Unset(String),
    /// `${env.NAME}` of a variable that configures this server.
    Ours(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KNOWN: &str = "placeholders are ${user.id}, ${user.login}, ${github.token} and ${env.NAME}; write $${ for a literal ${";
        match self {
            TemplateError::Unclosed => write!(f, "${{ has no }}; {KNOWN}"),
            TemplateError::Nul => f.write_str("contains a NUL character"),
            TemplateError::Input => {
                f.write_str("${input:…} asks the user of an editor, which a server has not; set a variable and write ${env.NAME}")
            }
            TemplateError::ClientForm(name) => write!(f, "write ${{env.{name}}} for a variable of this server; {KNOWN}"),
            TemplateError::Unknown(name) => write!(f, "there is no placeholder ${{{name}}}; {KNOWN}"),
            TemplateError::Unset(name) => {
                write!(f, "the variable {name} is not set in the environment of this server")
            }
            TemplateError::Ours(name) => {
                write!(f, "the variable {name} configures this server and is not passed on; use one of another name")
            }
        }
    }
}

impl Template {
    /// Reads a text. `${env.NAME}` is replaced here.
    pub(crate) fn parse(text: &str, environment: &Variables) -> Result<Template, TemplateError> {
        if text.contains('\0') {
            return Err(TemplateError::Nul);
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                rest = after;
                continue;
            }
            literal.push_str(before);
            let (name, after) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            let piece = match name {
                "user.id" => Piece::UserId,
                "user.login" => Piece::UserLogin,
                "github.token" => Piece::GitHubToken,
                _ => {
                    literal.push_str(variable(name, environment)?);
                    rest = after;
                    continue;
                }
            };
            pieces.push(Piece::Text(Secret::new(std::mem::take(&mut literal))));
            pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        pieces.push(Piece::Text(Secret::new(literal)));
        Ok(Template(pieces))
    }

    /// Whether the value depends on the person.
    pub(crate) fn names_person(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::UserId | Piece::UserLogin))
    }

    /// Whether the value contains the person's token at GitHub.
    pub(crate) fn names_github_token(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::GitHubToken))
    }

    /// The value for `person`.
    pub(crate) fn fill(&self, person: &ServedPerson<'_>) -> Result<Secret<String>, FillError> {
        let user = person.subject.user().ok_or(FillError::NoUser);
        let mut value = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => value.push_str(text.expose()),
                Piece::UserId => value.push_str(&user?.0.to_string()),
                Piece::UserLogin => {
                    user?;
                    value.push_str(person.login);
                }
                Piece::GitHubToken => {
                    user?;
                    value.push_str((person.github_token)().ok_or(FillError::NoGitHubToken)?.expose());
                }
            }
        }
        Ok(Secret::new(value))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// M5: whether a variable configures this server. What unlocks it does not reach the programs behind it.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("MCP_") || name == "GITHUB_CLIENT_SECRET"
}

/// The value of `${env.NAME}`.
fn variable<'a>(name: &str, environment: &'a Variables) -> Result<&'a str, TemplateError> {
    if name.starts_with("input:") {
        return Err(TemplateError::Input);
    }
    let is_variable =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if let Some(name) = Some(name.strip_prefix("env:").unwrap_or(name)).filter(|name| is_variable(name)) {
        return Err(TemplateError::ClientForm(name.to_owned()));
    }
    let unknown = || TemplateError::Unknown(name.to_owned());
    let name = name.strip_prefix("env.").filter(|name| is_variable(name)).ok_or_else(unknown)?;
    if is_ours(name) {
        return Err(TemplateError::Ours(name.to_owned()));
    }
    environment.get(name).map(String::as_str).ok_or_else(|| TemplateError::Unset(name.to_owned()))
}

#[cfg(test)]
mod tests;
