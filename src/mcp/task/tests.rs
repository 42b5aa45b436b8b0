use super::super::budgets::Budgets;
use super::*;
use crate::base::ManualClock;
use crate::base::fake::{principal, subject};

fn task(user: u64, number: usize) -> Arc<Task> {
    let kept = Budgets::new().of(subject(user)).kept;
    let id = format!("{user}-{number}").into();
    Arc::new(Task::new(&Call::of_tool(user, "a"), id, kept, Arc::new(ManualClock::new())))
}

fn status(task: &Task) -> String {
    task.object().unwrap().require("status").unwrap()
}

/// M17: tasks are bounded per user and in total; a running one is never removed for another.
#[test]
fn tasks_are_bounded_per_user_and_in_all() {
    let table = Table::<Task>::default();
    let begin = |user, number| {
        let task = task(user, number);
        table.insert(&task).map(|()| task)
    };
    let mine: Vec<_> = (0..limits::TASKS_PER_USER).map(|number| begin(1, number).unwrap()).collect();
    assert_eq!(begin(1, limits::TASKS_PER_USER).err(), Some(Full));
    mine[7].end();
    assert!(begin(1, limits::TASKS_PER_USER).is_ok());
    assert!(table.find(mine[7].id(), &principal(1)).is_none());
    let others: Vec<_> = (2..).map_while(|user| begin(user, 0).ok()).collect();
    assert_eq!(mine.len() + others.len(), limits::TASKS);
    let newcomer = u64::try_from(limits::TASKS).unwrap();
    assert_eq!(begin(newcomer, 0).err(), Some(Full), "whoever has most has nothing that is over");
    mine[8].end();
    assert!(begin(newcomer, 0).is_ok());
    assert!(table.find(mine[8].id(), &principal(1)).is_none());
    table.end_where(|task| task.owner().grant == principal(2).grant);
    assert!(begin(3, 1).is_ok());
}

/// A handler that goes on after the end of its task asks nobody, and waits for no answer.
#[test]
fn a_task_that_is_over_asks_nothing() {
    let task = task(1, 0);
    task.end();
    assert!(matches!(task.ask(Vec::new()), Err(CallError::Cancelled)));
    assert_eq!(status(&task), "cancelled");
}

/// It waits for no answer, so its client is not asked to give one.
#[test]
fn a_task_that_asks_no_question_goes_on() {
    let task = task(1, 0);
    for _ in 0..2 {
        assert!(matches!(task.ask(Vec::new()).as_deref(), Ok([])));
        assert_eq!(status(&task), "working");
    }
}
