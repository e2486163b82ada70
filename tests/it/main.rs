//! What the crate promises, as its users see it.

mod channels;
mod ends;
mod foreign;
mod hostile;
mod lifecycle;
mod once;
mod peer;
#[cfg(feature = "foreign")]
mod pipecom;
mod processes;
#[cfg(unix)]
mod programs;
mod service;
mod shared;
mod support;
#[cfg(feature = "tokio")]
mod tasks;
#[cfg(feature = "tokio")]
mod tasks_both_ways;
#[cfg(feature = "tokio")]
mod tasks_service;
mod waiting;
