//! The person about whom `check` is asked with `--as` and `--member`.

use crate::base::access::AllowRule;
use crate::base::membership::Group;
use crate::base::startup_error::StartupError;

/// The person about whom `check` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedPerson {
    /// A login, a number or a service token; `None` if nobody is asked about.
    pub who: Option<AllowRule>,
    /// The groups that they are a member of; of no others.
    pub groups: Vec<Group>,
}

impl AskedPerson {
    /// Takes the value of `--as`, or of `--member`.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), &'static str> {
        match (flag, AllowRule::try_from(value.to_owned())) {
            ("--as", _) if self.who.is_some() => {
                return Err("it is given twice: ask about one person at a time");
            }
            ("--as", Ok(who @ (AllowRule::User(_) | AllowRule::Id(_) | AllowRule::Token(_)))) => {
                self.who = Some(who);
            }
            ("--as", _) => {
                return Err("write one person: user:LOGIN (user:alice, not alice), id:NUMBER or token:NAME");
            }
            (_, Ok(AllowRule::Group(group))) => self.groups.push(group),
            (_, _) => return Err("write a group: org:ORG or team:ORG/SLUG; repeat --member for more"),
        }
        Ok(())
    }

    /// Checks that the groups are somebody's.
    pub(super) fn check(&self) -> Result<(), StartupError> {
        if self.who.is_some() || self.groups.is_empty() {
            return Ok(());
        }
        Err(StartupError::unusable("--member", "say who is a member with --as"))
    }
}
