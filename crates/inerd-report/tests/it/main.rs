//! Reports of fixtures whose numbers are known by hand.

mod browser;
mod files;
mod fixture;
mod latex;
mod mask_effect;
mod points;
