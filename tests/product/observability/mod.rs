//! What the program tells about itself: metrics, traces and requests in the log, and what it never tells.

mod collector;
mod files;
mod metrics;
mod page;
mod requests;
mod secrets;
mod traces;
