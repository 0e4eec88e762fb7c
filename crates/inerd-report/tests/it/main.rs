//! Reports of a fixture whose numbers are known by hand.

mod files;
mod fixture;
