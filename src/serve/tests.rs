//! How a server ends.

use super::*;

/// H13: a disk that does not answer holds up the last sweep, not the end.
#[test]
fn a_hanging_sweep_does_not_delay_the_shutdown() {
    let (_hanging, ended) = channel();
    let stop = CancelToken::new();
    Sweeper { stop: stop.clone(), ended }.stop(Duration::from_millis(1));
    assert!(stop.is_tripped());
}
