//! Whom one instance of a server serves.

use std::sync::Arc;

use super::entry::Isolation;
use crate::base::identity::{GrantId, Principal, Subject};
use crate::mcp::Publisher;

/// Names one instance: callers with the same key share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct InstanceKey {
    pub(super) server: Arc<str>,
    /// `None`: everybody.
    pub(super) subject: Option<Subject>,
    /// `None`: all client programs of the person.
    pub(super) grant: Option<GrantId>,
    /// `None`: all sessions of the client program.
    pub(super) session: Option<Arc<str>>,
    /// Whether the peer is begun in the era of 2026-07-28, where it may have both.
    pub(super) is_modern: bool,
}

impl InstanceKey {
    /// The key of a caller. Clients of 2026-07-28 have no sessions: with [`Isolation::Session`] theirs is that of their grant.
    pub(super) fn new(server: &Arc<str>, isolation: Isolation, caller: &Principal) -> InstanceKey {
        let (subject, grant) = (Some(caller.subject), Some(caller.grant));
        let session = || caller.session.as_ref().map(|session| session.session_id().into());
        let (subject, grant, session) = match isolation {
            Isolation::Shared => (None, None, None),
            Isolation::User => (subject, None, None),
            Isolation::Grant => (subject, grant, None),
            Isolation::Session => (subject, grant, session()),
        };
        InstanceKey { server: Arc::clone(server), subject, grant, session, is_modern: false }
    }

    /// The key of what outlives an instance: all sessions of a client program start the same.
    pub(super) fn without_session(&self) -> InstanceKey {
        InstanceKey { session: None, ..self.clone() }
    }

    /// Tells those whom the instance serves.
    pub(super) fn audience(&self, everybody: &Publisher) -> Publisher {
        match (&self.session, self.grant, self.subject) {
            (Some(session), ..) => everybody.for_session(session),
            (None, Some(grant), _) => everybody.for_grant(grant),
            (None, None, Some(subject)) => everybody.for_subject(subject),
            (None, None, None) => everybody.clone(),
        }
    }
}
