//! Who decides which stage is worked next, and where.

pub(crate) mod local;
