//! The instances of all servers, whose limits hold together.

use std::sync::Arc;
use std::time::Duration;

use super::slots::Slots;
use crate::base::identity::Subject;
use crate::base::lock::Mutex;
use crate::base::quota::Quota;

pub(super) struct InstancePool<I> {
    /// Instances of one person, and in all.
    pub(super) most: (usize, usize),
    /// Instances that live, those included that are being ended: twice what may be in use. One that all share is nobody's.
    pub(super) places: Arc<Quota<Option<Subject>>>,
    /// Guards which instance serves whom, and who has to wait after failures.
    pub(super) slots: Mutex<Slots<I>>,
}

impl<I> InstancePool<I> {
    /// Room for `of_user` instances of one person and `in_all`.
    pub(super) fn new((of_user, in_all): (usize, usize)) -> Arc<InstancePool<I>> {
        let places = Quota::new((of_user.saturating_mul(2), in_all.saturating_mul(2)));
        Arc::new(InstancePool { most: (of_user, in_all), places: Arc::new(places), slots: Mutex::default() })
    }

    /// Lets nothing be started any more. Returns what runs.
    pub(super) fn close(&self) -> Vec<Arc<I>> {
        let mut slots = self.slots.lock();
        slots.is_closed = true;
        slots.all().cloned().collect()
    }

    /// Waits for what is being ended. Returns whether all of it is gone.
    pub(super) fn wait_for_ended(&self, patience: Duration) -> bool {
        let running = self.slots.lock().all().count();
        self.places.wait_below(running.saturating_add(1), patience)
    }
}
