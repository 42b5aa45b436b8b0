//! Access rules of a server (`access` and `MCP_ACCESS`): the first rule that names the caller applies. `oauth` refuses callers whom no
//! rule names, at the login, at a refresh and at each request; `mcp` applies the rule to lists and calls.

use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use super::identity::{Principal, Subject, TokenName, UserId};
use super::lock::Mutex;
use super::membership::{Group, Memberships};
use super::{encoding::is_plain, json, limits};

/// A condition on the caller, in `MCP_ALLOW` or in a rule of `access`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AllowRule {
    /// Everybody with an account at GitHub.
    Any,
    /// The user with this login, compared without case. A login can pass to another account; [`AllowRule::Id`] cannot.
    User(String),
    /// The user with this number.
    Id(UserId),
    /// Active members of this group.
    Group(Group),
    /// The service token of this name; in `access` only.
    Token(TokenName),
}

impl AllowRule {
    /// Parses the forms that `MCP_ALLOW` and `access` have in common.
    ///
    /// # Errors
    /// The right form.
    pub fn parse(text: &str) -> Result<AllowRule, &'static str> {
        const FORMS: &str = "name user:LOGIN, id:NUMBER, org:ORG or team:ORG/SLUG (write user:octocat, not octocat), in access rules also token:NAME, and any stands alone";
        let (kind, name) = text.split_once(':').ok_or(FORMS)?;
        match kind {
            "user" => Ok(AllowRule::User(checked_login(name)?)),
            "id" => {
                let id = Some(name).filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
                let id = id.and_then(|id| id.parse().ok()).filter(|id| *id > 0);
                id.map(|id| AllowRule::Id(UserId(id)))
                    .ok_or("id: is followed by the account's number, above zero")
            }
            "org" => Ok(AllowRule::Group(Group::Org(checked_login(name)?))),
            "team" => {
                let (org, slug) = name.split_once('/').ok_or("a team is written team:ORG/SLUG")?;
                if !is_plain(slug, "-_", 1..) {
                    return Err("a team's slug has letters, digits, hyphens and underscores, as in its URL");
                }
                Ok(AllowRule::Group(Group::Team { org: checked_login(org)?, slug: slug.to_owned() }))
            }
            _ => Err(FORMS),
        }
    }

    /// Whether it names the caller; `None` if that depends on an unknown membership.
    pub fn names(&self, who: Who<'_>) -> Option<bool> {
        match (self, who.subject) {
            (AllowRule::Token(name), subject) => Some(Subject::Token(*name) == subject),
            (_, Subject::Token(_)) => Some(false),
            (AllowRule::Any, _) => Some(true),
            (AllowRule::User(login), _) => Some(login.eq_ignore_ascii_case(who.login)),
            (AllowRule::Id(id), subject) => Some(Subject::User(*id) == subject),
            (AllowRule::Group(group), _) => who.memberships.of(group),
        }
    }
}

impl TryFrom<String> for AllowRule {
    type Error = &'static str;

    fn try_from(text: String) -> Result<AllowRule, &'static str> {
        match text.split_once(':') {
            None if text == "any" => Ok(AllowRule::Any),
            Some(("token", _)) => TokenName::try_from(text).map(AllowRule::Token),
            _ => AllowRule::parse(&text),
        }
    }
}

/// Checks a login or organisation: letters, digits, hyphens, and the underscore of managed enterprise accounts, so that it is safe
/// as a path segment of a URL.
///
/// # Errors
/// The right form.
pub fn checked_login(text: &str) -> Result<String, &'static str> {
    if !is_plain(text, "-_", 1..=limits::LOGIN_BYTES) {
        return Err("a login or organisation has 1 to 39 letters, digits, hyphens and underscores");
    }
    Ok(text.to_owned())
}

/// The properties of a caller on which rules depend.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// A user at GitHub, or a service token.
    pub subject: Subject,
    /// The user's login.
    pub login: &'a str,
    /// The user's known memberships.
    pub memberships: &'a Memberships,
}

impl<'a> From<&'a Principal> for Who<'a> {
    fn from(caller: &'a Principal) -> Who<'a> {
        Who { subject: caller.subject, login: &caller.login, memberships: &caller.memberships }
    }
}

/// A pattern: `*` matches any text, every other character itself. Matches a whole text, in linear time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    /// Whether the whole text matches. The parts between stars are searched from left to right without backtracking: the first
    /// occurrence of a part leaves the most text for the others.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, others)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let (middle, last) = others.rsplit_once('*').unwrap_or(("", others));
        for part in middle.split('*') {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One rule: conditions on the caller, and the tools, prompts and resources that are open to such callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object with allow")]
pub struct AccessRule {
    /// Conditions on the caller; one that matches is enough.
    pub allow: Vec<AllowRule>,
    /// Tools by name; `None`: all.
    pub tools: Option<Vec<Glob>>,
    /// Exceptions from these tools, by name.
    pub exclude: Option<Vec<Glob>>,
    /// Of these tools, only those that the server declares as read-only (`readOnlyHint`).
    #[serde(default)]
    pub read_only: bool,
    /// Prompts by name.
    pub prompts: Option<Vec<Glob>>,
    /// Resources by URI.
    pub resources: Option<Vec<Glob>>,
}

impl AccessRule {
    /// A rule that opens nothing.
    pub fn closed() -> AccessRule {
        let none = || Some(Vec::new());
        AccessRule { tools: none(), prompts: none(), resources: none(), ..AccessRule::default() }
    }

    /// Whether it opens a tool by its name. With [`AccessRule::read_only`] the tool must be read-only as well.
    pub fn opens_tool(&self, name: &str) -> bool {
        self.tools.as_deref().is_none_or(|tools| any(tools, name)) && !self.excludes(name)
    }

    /// Whether a tool is excluded: by its name, or by a spelling that a server may treat as its name, with another case, surrounding
    /// white space, or text after a NUL.
    fn excludes(&self, name: &str) -> bool {
        let fold = |text: &str| text.split('\0').take(1).map(str::trim).collect::<String>().to_lowercase();
        let matches = |glob: &Glob| glob.matches(name) || Glob(fold(&glob.0)).matches(&fold(name));
        self.exclude.iter().flatten().any(matches)
    }

    /// Whether it opens a prompt.
    pub fn opens_prompt(&self, name: &str) -> bool {
        self.prompts.as_deref().map_or(!self.narrows_tools(), |prompts| any(prompts, name))
    }

    /// Whether it opens a resource. No pattern matches a misleading URI, which a reader could resolve to another resource.
    pub fn opens_resource(&self, uri: &str) -> bool {
        let named = |resources| any(resources, uri) && !leads_elsewhere(uri);
        self.resources.as_deref().map_or(!self.narrows_tools(), named)
    }

    /// Whether all tools, prompts and resources are open.
    pub fn opens_everything(&self) -> bool {
        !self.narrows_tools() && self.prompts.is_none() && self.resources.is_none()
    }

    /// Whether some tools are closed. Prompts and resources are then closed unless they are named.
    pub fn narrows_tools(&self) -> bool {
        self.tools.is_some() || self.exclude.is_some() || self.read_only
    }

    /// Whether it names the caller; `Err` with the group if that depends on an unknown membership.
    fn names(&self, who: Who<'_>) -> Result<bool, &Group> {
        let mut unknown = None;
        for rule in &self.allow {
            match (rule.names(who), rule) {
                (Some(true), _) => return Ok(true),
                (None, AllowRule::Group(group)) => unknown = unknown.or(Some(group)),
                (Some(false) | None, _) => {}
            }
        }
        unknown.map_or(Ok(false), Err)
    }
}

fn any(globs: &[Glob], text: &str) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

/// Whether a reader could resolve a URI to another resource: it has `.` or `..` between possible separators, or an empty path segment,
/// percent-encoded up to twice; it is encoded more often; or it has characters that readers drop. An empty segment, because a server
/// that joins paths may read the text after `//` as an absolute path.
fn leads_elsewhere(uri: &str) -> bool {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let once = decode(uri);
    let twice = decode(&once);
    let is_separator = |c: char| matches!(c, '/' | '\\' | '?' | '#' | ';' | ':' | '=' | '&' | ',');
    let is_misleading = |text: &str| {
        let rest = text.split_once(':').map_or(text, |(_, rest)| rest.strip_prefix("//").unwrap_or(rest));
        text.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER)
            || text.split(is_separator).any(|segment| matches!(segment.trim(), "." | ".."))
            || rest.replace('\\', "/").replace("://", "/").contains("//")
    };
    decode(&twice) != twice || [uri, &once, &twice].into_iter().any(is_misleading)
}

/// The rules of a server; without any it is open to every caller that `MCP_ALLOW` admits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRules(Option<Vec<Arc<AccessRule>>>);

impl AccessRules {
    /// Reads a list of rules.
    ///
    /// # Errors
    /// Each mistake.
    pub fn read(list: &Value) -> Result<AccessRules, Vec<String>> {
        const FORM: &str =
            "write a list of rules: [{ \"allow\": [\"org:my-org\"], \"tools\": [\"read_*\"] }]";
        let list = list.as_array().filter(|list| !list.is_empty()).ok_or_else(|| vec![FORM.to_owned()])?;
        let (mut rules, mut mistakes) = (Vec::new(), Vec::new());
        for (number, value) in (1..).zip(list) {
            let has_null = value.as_object().is_some_and(|members| members.values().any(Value::is_null));
            match json::read::<AccessRule>(&value.to_string()) {
                Ok(_) if has_null => mistakes.push(format!("rule {number}: a member is null: leave it out")),
                Ok(rule) if rule.allow.is_empty() => {
                    mistakes.push(format!("rule {number}: allow: name somebody, or any"))
                }
                Ok(rule) => rules.push(Arc::new(rule)),
                Err(error) => {
                    let error = error.to_string();
                    let why = error.rsplit_once(" at line ").map_or(&*error, |(why, _)| why);
                    let why = why.replace("expected a sequence", "expected a list: [\"...\"]"); // serde's term
                    mistakes.push(format!("rule {number}: {why}"));
                }
            }
        }
        if mistakes.is_empty() { Ok(AccessRules(Some(rules))) } else { Err(mistakes) }
    }

    /// The rules in their order; `None` if everybody may use everything.
    pub fn list(&self) -> Option<&[Arc<AccessRule>]> {
        self.0.as_deref()
    }

    /// The rule that applies to a caller: the first that names them; `None` if none does.
    ///
    /// # Errors
    /// The unknown group, at the first rule that depends on one: a later rule must not apply in its place.
    pub fn rule_for(&self, who: Who<'_>) -> Result<Option<Arc<AccessRule>>, Group> {
        let Some(rules) = &self.0 else { return Ok(Some(Arc::default())) };
        for rule in rules {
            if rule.names(who).map_err(Group::clone)? {
                return Ok(Some(Arc::clone(rule)));
            }
        }
        Ok(None)
    }

    /// Whether a rule depends on memberships at GitHub.
    pub fn has_groups(&self) -> bool {
        self.0.iter().flatten().flat_map(|rule| &rule.allow).any(|rule| matches!(rule, AllowRule::Group(_)))
    }
}

/// The current rules of one server.
#[derive(Debug, Default)]
pub struct ServerAccess {
    /// Guards the current rules, which SIGHUP replaces. Held to copy a pointer.
    current: Mutex<Arc<AccessRules>>,
}

impl ServerAccess {
    /// The rules. A decision in several steps reads them once.
    pub fn rules(&self) -> Arc<AccessRules> {
        Arc::clone(&self.current.lock())
    }

    /// Replaces the rules. Returns whether they changed.
    pub fn replace(&self, rules: AccessRules) -> bool {
        let rules = Arc::new(rules);
        let before = std::mem::replace(&mut *self.current.lock(), Arc::clone(&rules));
        before != rules
    }
}

#[cfg(test)]
mod tests;
