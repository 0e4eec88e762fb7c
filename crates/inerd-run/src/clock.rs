//! The one place that reads the clock. Times are for people and logs; no result depends on them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 (UTC), 0 for a clock set before that.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else must use")]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
