//! Facts from peers' lists that decisions about calls depend on: names of tools and prompts for the log, and the arguments that
//! 2026-07-28 mirrors in headers. Learned from the lists that clients read; no list is requested for it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::base::{GrantId, Mutex, Subject, limits};
use crate::mcp::{List, ListEntry, Mirrored, Operation, Reply, ToolRules};

/// The lists of one server as read by each grant: grants may have different instances with different lists.
#[derive(Default)]
pub(super) struct Listed {
    /// Guards the recorded lists.
    by_grant: Mutex<BTreeMap<GrantId, ListedNames>>,
    /// The latest grant that [`Listed::some_grants`] has returned.
    returned: Mutex<Option<GrantId>>,
}

/// The lists of one grant, within a size budget.
struct ListedNames {
    subject: Subject,
    /// Tools and prompts.
    names: HashMap<(Operation, String), Item>,
    bytes: usize,
    /// The number of `tools/list_changed` notifications of the peer.
    changes: u64,
    /// The value of `changes` when stale names last made room.
    purged: u64,
    /// The value of `changes` when the bridge last read the whole list.
    looked_up: Option<u64>,
}

impl ListedNames {
    fn of(subject: Subject) -> ListedNames {
        ListedNames { subject, names: HashMap::new(), bytes: 0, changes: 0, purged: 0, looked_up: None }
    }

    fn insert(&mut self, key: (Operation, String), item: Item) {
        let before = self.names.get(&key).map_or(0, |item| bytes(&key.1, item.rules.as_deref()));
        let total = self.bytes.saturating_sub(before).saturating_add(bytes(&key.1, item.rules.as_deref()));
        if total <= limits::bridge::LISTED_BYTES {
            self.names.insert(key, item);
            self.bytes = total;
        } else if self.purged < self.changes {
            // Once for each change: a list that is too long is not searched again for each of its names.
            self.purged = self.changes;
            self.names.retain(|_, item| item.changes == self.purged);
            self.bytes = self.names.iter().map(|((_, name), item)| bytes(name, item.rules.as_deref())).sum();
            self.insert(key, item);
        }
    }
}

/// The record of a tool or a prompt.
struct Item {
    /// The mirrored arguments of a tool that has some.
    rules: Option<Arc<ToolRules>>,
    /// Whether it is a tool with `readOnlyHint`.
    is_read_only: bool,
    /// The value of [`ListedNames::changes`] when it was listed.
    changes: u64,
}

/// The size of a tool or a prompt in the budget.
fn bytes(name: &str, rules: Option<&ToolRules>) -> usize {
    let mirrored = rules.map_or(&[][..], |rules| &rules.mirrored);
    let texts = mirrored.iter().flat_map(|each| each.path.iter().chain([&each.header]));
    texts.map(String::as_str).chain([name]).map(|text| text.len().saturating_add(size_of::<String>())).sum()
}

impl Listed {
    /// Records the entries of a list that this grant reads.
    pub(super) fn note(&self, (subject, grant): (Subject, GrantId), operation: Operation, reply: &Reply) {
        let Operation::List(list @ (List::Tools | List::Prompts)) = operation else { return };
        let Ok(Some(entries)) = reply.entries(list.member()) else { return };
        let of_call = if list == List::Tools { Operation::CallTool } else { Operation::GetPrompt };
        let changes = self.changes(grant);
        for entry in entries.iter().filter_map(|entry| ListEntry::read(entry)) {
            let schema = entry.input_schema.filter(|_| of_call == Operation::CallTool);
            let rules = schema.and_then(mirrored);
            let rules = rules.map(|mirrored| Arc::new(ToolRules { mirrored, ..ToolRules::default() }));
            let item = Item { rules, is_read_only: entry.is_read_only(), changes };
            if let Some(name) = entry.name.filter(|name| name.len() <= limits::bridge::NAME_BYTES) {
                // Locked for each, after the parsing: a list may be long, and other callers wait for the lock.
                let mut by_grant = self.by_grant.lock();
                let names = by_grant.entry(grant).or_insert_with(|| ListedNames::of(subject));
                names.insert((of_call, name), item);
            }
        }
    }

    /// Whether a tool or a prompt of this name was listed to this grant.
    pub(super) fn has(&self, grant: GrantId, operation: Operation, name: &str) -> bool {
        let by_grant = self.by_grant.lock();
        by_grant.get(&grant).is_some_and(|listed| listed.names.contains_key(&(operation, name.to_owned())))
    }

    /// The mirrored arguments of a tool, if it was listed to this grant.
    pub(super) fn rules(&self, grant: GrantId, tool: &str) -> Option<Arc<ToolRules>> {
        let by_grant = self.by_grant.lock();
        by_grant.get(&grant)?.names.get(&(Operation::CallTool, tool.to_owned()))?.rules.clone()
    }

    /// The `readOnlyHint` of a tool; `None` if it was not listed to this grant since the last change of the tools. A tool that is not in
    /// the whole list is not looked up again: that would cost the peer, and reveal by its timing which tools exist.
    pub(super) fn is_read_only(&self, grant: GrantId, tool: &str) -> Option<bool> {
        let by_grant = self.by_grant.lock();
        let listed = by_grant.get(&grant)?;
        let item = listed.names.get(&(Operation::CallTool, tool.to_owned()));
        let is_read_only = item.filter(|item| item.changes == listed.changes).map(|item| item.is_read_only);
        is_read_only.or_else(|| (listed.looked_up == Some(listed.changes)).then_some(false))
    }

    /// The number of changes of the tools for this grant.
    pub(super) fn changes(&self, grant: GrantId) -> u64 {
        self.by_grant.lock().get(&grant).map_or(0, |listed| listed.changes)
    }

    /// Records that the whole list was read for this grant, at that number of changes.
    pub(super) fn looked_up(&self, (subject, grant): (Subject, GrantId), changes: u64) {
        let mut by_grant = self.by_grant.lock();
        by_grant.entry(grant).or_insert_with(|| ListedNames::of(subject)).looked_up = Some(changes);
    }

    /// Records that the tools of the peer of this person or this grant have changed; of everybody's if both are `None`.
    pub(super) fn tools_changed(&self, subject: Option<Subject>, grant: Option<GrantId>) {
        for (other, listed) in self.by_grant.lock().iter_mut() {
            if subject.is_none_or(|it| it == listed.subject) && grant.is_none_or(|it| it == *other) {
                listed.changes = listed.changes.saturating_add(1);
            }
        }
    }

    /// Some of the grants with recorded lists, with each call the next ones: each is looked up in the table.
    pub(super) fn some_grants(&self) -> Vec<GrantId> {
        let mut returned = self.returned.lock();
        let after = (returned.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let by_grant = self.by_grant.lock();
        let grants: Vec<_> =
            by_grant.range(after).map(|(grant, _)| *grant).take(limits::SWEEP_BATCH).collect();
        *returned = grants.last().copied();
        grants
    }

    /// Forgets the lists of a grant.
    pub(super) fn end_grant(&self, grant: GrantId) {
        self.by_grant.lock().remove(&grant);
    }
}

/// The mirrored arguments of a schema, if it has any and they are valid. One that is larger than all that is kept is not read.
fn mirrored(schema: &RawValue) -> Option<Vec<Mirrored>> {
    let schema = Some(schema.get()).filter(|schema| schema.len() <= limits::bridge::LISTED_BYTES)?;
    let schema = schema.contains("x-mcp-header").then(|| serde_json::from_str(schema).ok())?;
    Mirrored::of_schema(&schema?).filter(|mirrored| !mirrored.is_empty())
}

#[cfg(test)]
mod tests;
