//! The pages people read: `report.html` and `compare.html`. One file each, no network, no script.
//!
//! - `page.rs` is the only place where text becomes markup. What is not a literal of ours goes through an escape; tags
//!   close by construction; a policy in the head forbids the browser to load or run anything, so a submission that found
//!   a way in would still do nothing.
//! - `charts.rs` draws, `samples.rs` and `diff.rs` show single samples, `graded.rs` and `compared.rs` are the two pages.
//! - Nothing is said by colour alone: bars have patterns and numbers, lines have dashes and marks, changes have signs.

mod charts;
mod compared;
mod diff;
mod graded;
mod page;
mod samples;

pub use graded::html;

pub(super) use compared::html as compared;
