//! Reports of fixtures whose numbers are known by hand.

mod browser;
mod files;
mod fixture;
mod latex;
mod points;
