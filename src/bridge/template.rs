//! Values with placeholders, filled in for the person for whom a program is started.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::{Principal, Secret};

const KNOWN: &str =
    "placeholders are ${user.id}, ${user.login}, ${github.token} and ${env.NAME}; write $${ for a literal ${";
const NO_GITHUB_TOKEN: &str = "it needs the person's token at GitHub, and there is no good one: log in again";
const NO_USER: &str = "it needs to know which GitHub user calls, and a service token is none";

/// The variables of this process, for `${env.NAME}`.
pub(crate) type Variables = BTreeMap<String, String>;

/// Opens a person's GitHub token, if one is kept.
pub(crate) type OpenToken<'a> = &'a dyn Fn() -> Option<Secret<String>>;

/// A value with placeholders. Its text may be a secret and is not printed.
pub(crate) struct Template(Vec<Piece>);

enum Piece {
    Text(Secret<String>),
    UserId,
    UserLogin,
    GitHubToken,
}

impl Template {
    /// Parses a text. `${env.NAME}` is replaced here.
    ///
    /// # Errors
    /// A sentence that describes the mistake, without the value.
    pub(crate) fn parse(text: &str, environment: &Variables) -> Result<Template, String> {
        if text.contains('\0') {
            return Err("contains a NUL character".to_owned());
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
            let (name, after) = after.split_once('}').ok_or_else(|| format!("${{ has no }}; {KNOWN}"))?;
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

    /// Whether the value contains the person's GitHub token.
    pub(crate) fn names_github_token(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::GitHubToken))
    }

    /// The value for `person`.
    ///
    /// # Errors
    /// A text about the server, for the caller.
    pub(crate) fn fill(
        &self,
        person: &Principal,
        github_token: OpenToken<'_>,
    ) -> Result<Secret<String>, &'static str> {
        let user = person.subject.user().ok_or(NO_USER);
        let mut value = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => value.push_str(text.expose()),
                Piece::UserId => value.push_str(&user?.0.to_string()),
                Piece::UserLogin => {
                    user?;
                    value.push_str(&person.login);
                }
                Piece::GitHubToken => {
                    user?;
                    value.push_str(github_token().ok_or(NO_GITHUB_TOKEN)?.expose());
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

/// M5: whether a variable configures this server. Its credentials must not reach the programs behind it.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("MCP_") || name == "GITHUB_CLIENT_SECRET"
}

/// The value of `${env.NAME}`.
fn variable<'a>(name: &str, environment: &'a Variables) -> Result<&'a str, String> {
    if name.starts_with("input:") {
        let why = "${input:...} asks the user of an editor, which a server has not; set a variable and write ${env.NAME}";
        return Err(why.to_owned());
    }
    let is_variable =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    // The forms of MCP clients: `${NAME}` and `${env:NAME}`.
    if let Some(name) = Some(name.strip_prefix("env:").unwrap_or(name)).filter(|name| is_variable(name)) {
        return Err(format!("write ${{env.{name}}} for a variable of this server; {KNOWN}"));
    }
    let unknown = || format!("there is no placeholder ${{{name}}}; {KNOWN}");
    let name = name.strip_prefix("env.").filter(|name| is_variable(name)).ok_or_else(unknown)?;
    if is_ours(name) {
        return Err(format!(
            "the variable {name} configures this server and is not passed on; use one of another name"
        ));
    }
    let unset = || format!("the variable {name} is not set in the environment of this server");
    environment.get(name).map(String::as_str).ok_or_else(unset)
}

#[cfg(test)]
mod tests;
