//! Limits and intervals of service tokens.

use std::time::Duration;

/// The lifetime of a token (days): by default, and at most. A forgotten one ends within a year.
pub const DAYS: (u16, u16) = (90, 365);
/// The time before its expiry in which a token is warned of: enough to replace it at its client.
pub const WARNING: Duration = Duration::from_secs(14 * 86_400);
/// The time between two such warnings: a day.
pub const BETWEEN_WARNINGS: Duration = Duration::from_secs(86_400);
/// The precision of a token's time of last use in the table: a token in use costs one write per this time.
pub const USE: Duration = Duration::from_secs(3600);
