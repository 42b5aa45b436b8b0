//! The task table: every task by its id, behind one mutex. Nothing under the lock waits or runs foreign code.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::task::Task;
use crate::base::identity::{GrantId, Principal};
use crate::base::limits;

/// Every task.
#[derive(Default)]
pub(super) struct TaskTable {
    /// Guards which tasks there are.
    tasks: Mutex<HashMap<Box<str>, Arc<Task>>>,
}

/// There are as many tasks as the user may have, or the server can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl TaskTable {
    /// Adds a task. Of one user's, the one that is over and expires first makes room.
    pub(super) fn insert(&self, task: &Arc<Task>) -> Result<(), Full> {
        let of_user: Vec<_> = self.all().into_iter().filter(|each| each.user() == task.user()).collect();
        let displaced = if of_user.len() < limits::TASKS_PER_USER {
            None
        } else {
            let over = of_user.iter().filter(|each| each.is_over());
            Some(over.min_by_key(|each| each.expires()).ok_or(Full)?)
        };
        let mut tasks = self.lock();
        if let Some(displaced) = displaced {
            tasks.remove(displaced.id());
        }
        if tasks.len() >= limits::TASKS {
            return Err(Full);
        }
        tasks.insert(task.id().into(), Arc::clone(task));
        Ok(())
    }

    /// The task `id`, if it is the caller's own. Another's is as unknown as none.
    pub(super) fn find(&self, id: &str, principal: &Principal) -> Option<Arc<Task>> {
        let task = self.lock().get(id).cloned();
        task.filter(|task| task.belongs_to(principal))
    }

    /// Ends the tasks of a grant and forgets them.
    pub(super) fn end_grant(&self, grant: GrantId) {
        self.end_where(|task| task.grant() == grant);
    }

    /// Ends all tasks and forgets them.
    pub(super) fn close(&self) {
        self.end_where(|_| true);
    }

    /// Forgets the tasks whose time is over, and ends those of them that still run.
    pub(super) fn sweep(&self, now: Duration) {
        self.end_where(|task| task.expires() <= now);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn end_where(&self, unwanted: impl Fn(&Task) -> bool) {
        let ended: Vec<_> = self.lock().extract_if(|_, task| unwanted(task)).collect();
        for (_, task) in ended {
            task.cancel();
        }
    }

    fn all(&self) -> Vec<Arc<Task>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Task>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::quota::Budgets;
    use super::super::task::{Ending, NewTask};
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::identity::UserId;
    use crate::base::identity::fake::principal;

    fn task(user: u64, number: usize) -> Arc<Task> {
        let kept = Budgets::new().of(UserId(user)).kept;
        let id = format!("{user}-{number}").into();
        let clock = Arc::new(ManualClock::new());
        Arc::new(Task::new(&principal(user), NewTask { id, tool: "a".into(), clock, kept }))
    }

    /// M17: tasks are bounded per user and in all; one that runs makes no room.
    #[test]
    fn tasks_are_bounded_per_user_and_in_all() {
        let table = TaskTable::default();
        let begin = |user, number| {
            let task = task(user, number);
            table.insert(&task).map(|()| task)
        };
        let mine: Vec<_> = (0..limits::TASKS_PER_USER).map(|number| begin(1, number).unwrap()).collect();
        assert_eq!(begin(1, limits::TASKS_PER_USER).err(), Some(Full));
        mine[7].finish(Ending::Cancelled);
        assert!(begin(1, limits::TASKS_PER_USER).is_ok());
        assert!(table.find(mine[7].id(), &principal(1)).is_none());
        let others: Vec<_> = (2..).map_while(|user| begin(user, 0).ok()).collect();
        assert_eq!(mine.len() + others.len(), limits::TASKS);
        table.end_grant(principal(2).grant);
        assert!(begin(3, 1).is_ok());
    }
}
