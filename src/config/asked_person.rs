//! The person about whom `check` is asked with `--as` and `--member`.

use super::commands::CommandLine;
use crate::base::{AllowRule, Group, StartupError};

/// The person about whom `check` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedPerson {
    /// A login, a number or a service token; `None` if nobody is asked about.
    pub who: Option<AllowRule>,
    /// The groups that they are a member of; of no others.
    pub groups: Vec<Group>,
}

impl AskedPerson {
    /// The person of `--as`, with the groups of `--member`.
    pub(super) fn of(line: &CommandLine) -> Result<AskedPerson, StartupError> {
        let (who, groups) = (line.values("--as", person)?.pop(), line.values("--member", group)?);
        if who.is_none() && !groups.is_empty() {
            return Err(StartupError::unusable("--member", "say who is a member with --as"));
        }
        Ok(AskedPerson { who, groups })
    }
}

fn person(text: &str) -> Result<AllowRule, &'static str> {
    let rule = AllowRule::try_from(text.to_owned()).ok();
    rule.filter(|rule| matches!(rule, AllowRule::User(_) | AllowRule::Id(_) | AllowRule::Token(_)))
        .ok_or("write one person: user:LOGIN (user:alice, not alice), id:NUMBER or token:NAME")
}

fn group(text: &str) -> Result<Group, &'static str> {
    match AllowRule::parse(text) {
        Ok(AllowRule::Group(group)) => Ok(group),
        Ok(_) | Err(_) => Err("write a group: org:ORG or team:ORG/SLUG; repeat --member for more"),
    }
}
