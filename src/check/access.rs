//! Access rules in the report: the effect of each rule, and the view of one person.

use super::{Report, words};
use crate::base::{AccessRule, AccessRules, AllowRule, Glob, Group, Memberships, Subject, UserId, Who};
use crate::config::Config;

impl Report {
    /// The access rules of each server, and the view of the person that the operator asks about.
    pub(super) fn access(&mut self, config: &Config) {
        let servers: Vec<(String, AccessRules)> = match &config.bridge.file {
            Some(_) => {
                let entries = config.bridge_setup().entries().unwrap_or_default().into_iter();
                entries.map(|entry| (format!("{}, ", entry.name), entry.access)).collect()
            }
            None => vec![(String::new(), config.access_rules().unwrap_or_default())],
        };
        for (server, rules) in &servers {
            match rules.list() {
                None if config.bridge.file.is_none() => {}
                None => self.say("may use it", format!("{server}everybody who is let in: everything")),
                Some(rules) => {
                    let mut earlier: Vec<&AllowRule> = Vec::new();
                    for (number, rule) in (1..).zip(rules) {
                        let whom: Vec<String> = rule.allow.iter().map(named).collect();
                        let text = format!("{server}rule {number}: {}: {}", whom.join("; "), opened(rule));
                        self.say("may use it", text);
                        if rule.allow.iter().all(|whom| is_named(whom, &earlier)) {
                            self.note(
                                "warning",
                                format!("{server}rule {number} never holds: earlier rules name everybody whom it names"),
                                "put the rule for fewer people first, or remove it",
                            );
                        }
                        earlier.extend(&rule.allow);
                    }
                }
            }
        }
        if let Some(who) = &config.asked_person.who {
            self.seen_by((who, &config.asked_person.groups), config, &servers);
        }
    }

    fn seen_by(
        &mut self,
        (who, groups): (&AllowRule, &[Group]),
        config: &Config,
        servers: &[(String, AccessRules)],
    ) {
        let (subject, login) = match who {
            AllowRule::User(login) => (Subject::User(UserId(0)), login.as_str()), // accounts are numbered from 1
            AllowRule::Id(id) => (Subject::User(*id), ""),
            AllowRule::Token(name) => (Subject::Token(*name), ""),
            AllowRule::Any | AllowRule::Group(_) => return,
        };
        let mut given = Memberships::default();
        groups.iter().for_each(|group| given.note(group, true));
        let who = Who { subject, login, memberships: &given };
        let is_let_in = matches!(subject, Subject::Token(_))
            || config.rules.allow.iter().any(|rule| rule.names(who) == Some(true));
        if !is_let_in {
            return self.say(
                "would see",
                format!("nothing: MCP_ALLOW does not let them in{}", only(subject, groups)),
            );
        }
        for (server, rules) in servers {
            let mut known = given.clone();
            let rule = loop {
                match rules.rule_for(Who { memberships: &known, ..who }) {
                    Ok(rule) => break rule,
                    Err(group) => known.note(&group, false),
                }
            };
            let text = match rule {
                Some(rule) => {
                    let same = |other: &std::sync::Arc<AccessRule>| **other == *rule;
                    let number = rules.list().and_then(|list| list.iter().position(same));
                    let by = number.map(|number| format!("by rule {}: ", number.saturating_add(1)));
                    format!("{server}{}{}", by.unwrap_or_default(), opened(&rule))
                }
                None => format!("{server}nothing: no rule names them{}", only(subject, groups)),
            };
            self.say("would see", text);
        }
        if matches!(subject, Subject::Token(_)) && servers.len() > 1 {
            self.say("would see", "only what it is made for: `tokens list` has the servers of each token");
        }
    }
}

/// Whether earlier rules cover everybody that this entry matches, as far as the entries alone show.
fn is_named(whom: &AllowRule, earlier: &[&AllowRule]) -> bool {
    let is_person = !matches!(whom, AllowRule::Token(_));
    earlier.iter().any(|rule| *rule == whom || (is_person && **rule == AllowRule::Any))
}

/// The persons that a rule matches, among those admitted by `MCP_ALLOW`.
fn named(rule: &AllowRule) -> String {
    if *rule == AllowRule::Any { "everybody who is let in".to_owned() } else { words(rule) }
}

/// The groups that the person was assumed to be a member of. A service token is in none.
fn only(subject: Subject, groups: &[Group]) -> &'static str {
    match subject {
        Subject::Token(_) => "",
        Subject::User(_) if groups.is_empty() => " (taken for a member of no group: --member names one)",
        Subject::User(_) => " (groups: those of --member only; the org of a team is a --member of its own)",
    }
}

/// The names that a rule permits.
fn opened(rule: &AccessRule) -> String {
    if rule.opens_everything() {
        return "everything".to_owned();
    }
    let rest = if rule.narrows_tools() { "none" } else { "all" };
    let mut tools = patterns(rule.tools.as_deref(), "all");
    if let Some(exclude) = rule.exclude.as_deref().filter(|exclude| !exclude.is_empty()) {
        tools += &format!(" but {}", patterns(Some(exclude), ""));
    }
    if rule.read_only {
        tools += ", only those annotated readOnlyHint";
    }
    let (prompts, resources) =
        (patterns(rule.prompts.as_deref(), rest), patterns(rule.resources.as_deref(), rest));
    format!("tools {tools}; prompts {prompts}; resources {resources}")
}

fn patterns(globs: Option<&[Glob]>, otherwise: &str) -> String {
    match globs {
        None => otherwise.to_owned(),
        Some([]) => "none".to_owned(),
        Some(globs) => globs.iter().map(Glob::to_string).collect::<Vec<_>>().join(", "),
    }
}
