//! Groups at GitHub, and the known memberships of a person.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A group at GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// An organisation.
    Org(String),
    /// A team of an organisation, by its slug.
    Team { org: String, slug: String },
}

impl fmt::Display for Group {
    /// The form of rules.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::Org(org) => write!(f, "org:{org}"),
            Group::Team { org, slug } => write!(f, "team:{org}/{slug}"),
        }
    }
}

/// GitHub's answers about a person's memberships: yes or no for each group that was asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Memberships(BTreeMap<String, bool>);

impl Memberships {
    /// Records an answer.
    pub fn note(&mut self, group: &Group, is_member: bool) {
        self.0.insert(group.to_string().to_ascii_lowercase(), is_member);
    }

    /// Adds those of the others' answers that are unknown here.
    pub fn add(&mut self, others: &Memberships) {
        others.0.iter().for_each(|(group, is_member)| {
            self.0.entry(group.clone()).or_insert(*is_member);
        });
    }

    /// Whether the person is a member; `None` if that is not known.
    pub fn of(&self, group: &Group) -> Option<bool> {
        self.0.get(&group.to_string().to_ascii_lowercase()).copied()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
