//! Sessions and tasks by their ids, each accessible to its owner only (M6). No code under the lock waits or runs handlers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::base::{ClientFingerprint, GrantId, Memberships, Mutex, Principal, ServerAccess, Subject, Who};

/// The owner of a session or a task: one user or service token with one client under one grant, at one server. (The grant of a service
/// token may be for several.)
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) subject: Subject,
    pub(super) grant: GrantId,
    client: ClientFingerprint,
    pub(super) server: Arc<str>,
    /// The login and the memberships, on which access rules depend, as of one request.
    pub(super) login: Arc<str>,
    pub(super) memberships: Arc<Memberships>,
}

impl From<&Principal> for Owner {
    fn from(principal: &Principal) -> Owner {
        let Principal { subject, grant, client, resource, login, memberships, .. } = principal.clone();
        Owner { subject, grant, client, server: resource, login, memberships }
    }
}

impl Owner {
    /// Whether `principal` is this owner.
    pub(super) fn is(&self, principal: &Principal) -> bool {
        let Principal { subject, grant, client, resource, .. } = principal;
        (&self.subject, &self.grant, &self.client, &self.server) == (subject, grant, client, resource)
    }

    /// Whether the current rules let them read a resource.
    pub(super) fn may_read(&self, uri: &str, access: &ServerAccess) -> bool {
        let who = Who { subject: self.subject, login: &self.login, memberships: &self.memberships };
        access.rules().rule_for(who).ok().flatten().is_some_and(|rule| rule.opens_resource(uri))
    }
}

/// A session or a task.
pub(super) trait Row {
    fn id(&self) -> &str;
    fn owner(&self) -> &Owner;
    /// Called once it is no longer in the table.
    fn end(&self);
}

/// The rows by their ids.
type Rows<R> = HashMap<Box<str>, Arc<R>>;

/// All sessions, or all tasks.
#[derive(Debug)]
pub(super) struct Table<R> {
    /// Guards the rows.
    rows: Mutex<Rows<R>>,
}

/// The limit per user or in total is reached, and no row may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<R> Default for Table<R> {
    fn default() -> Table<R> {
        Table { rows: Mutex::default() }
    }
}

impl<R: Row> Table<R> {
    /// Adds a row. If its user has `each` rows, one of theirs is removed; if there are `all` rows, one of the user with most, so
    /// that no user can lock out the others. `choose` picks it. Returns the row with that id, which may exist already.
    pub(super) fn insert_within(
        &self,
        (each, all): (usize, usize),
        row: &Arc<R>,
        choose: impl FnOnce(&[&Arc<R>]) -> Option<Arc<R>>,
    ) -> Result<Arc<R>, Full> {
        let displaced = {
            let mut rows = self.rows.lock();
            if let Some(present) = rows.get(row.id()) {
                return Ok(Arc::clone(present));
            }
            let displaced = match user_to_displace(&rows, row.owner().subject, (each, all))? {
                Some(user) => {
                    let theirs: Vec<_> = rows.values().filter(|row| row.owner().subject == user).collect();
                    let chosen = choose(&theirs).ok_or(Full)?;
                    rows.remove(chosen.id())
                }
                None => None,
            };
            rows.insert(row.id().into(), Arc::clone(row));
            displaced
        };
        displaced.iter().for_each(|row| row.end());
        Ok(Arc::clone(row))
    }

    /// The row `id`; `None` if there is none, or its owner is not the caller.
    pub(super) fn find(&self, id: &str, principal: &Principal) -> Option<Arc<R>> {
        let row = self.rows.lock().get(id).cloned();
        row.filter(|row| row.owner().is(principal))
    }

    /// Removes a row and ends it.
    pub(super) fn end(&self, row: &R) {
        let ended = self.rows.lock().remove(row.id());
        ended.iter().for_each(|row| row.end());
    }

    /// Removes the unwanted rows and ends them.
    pub(super) fn end_where(&self, unwanted: impl Fn(&R) -> bool) {
        let ended: Vec<_> = self.rows.lock().extract_if(|_, row| unwanted(row)).collect();
        ended.iter().for_each(|(_, row)| row.end());
    }

    /// A snapshot of all rows.
    pub(super) fn all(&self) -> Vec<Arc<R>> {
        self.rows.lock().values().cloned().collect()
    }

    /// The number of rows.
    pub(super) fn count(&self) -> usize {
        self.rows.lock().len()
    }
}

/// The user who loses a row to one more row of `user`, if there is no room.
fn user_to_displace<R: Row>(
    rows: &Rows<R>,
    user: Subject,
    (each, all): (usize, usize),
) -> Result<Option<Subject>, Full> {
    let counts = count(rows.values().map(|row| row.owner().subject));
    let own = counts.get(&user).copied().unwrap_or_default();
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    match most {
        _ if own >= each => Ok(Some(user)),
        _ if rows.len() < all => Ok(None),
        // Not between users whose numbers of rows differ by at most one: that would improve nothing.
        Some((other, count)) if count > own.saturating_add(1) => Ok(Some(other)),
        Some(_) | None => Err(Full),
    }
}

/// The number of occurrences of each key.
pub(super) fn count<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut counts = HashMap::new();
    for key in keys {
        let count: &mut usize = counts.entry(key).or_default();
        *count = count.saturating_add(1);
    }
    counts
}
