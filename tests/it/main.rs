//! What the crate promises, as its users see it.

mod channels;
mod ends;
mod hostile;
mod lifecycle;
mod peer;
mod processes;
mod shared;
mod support;
#[cfg(feature = "tokio")]
mod tasks;
mod waiting;
