//! What the crate promises, as its users see it.

mod bytes;
mod calls;
mod channels;
mod dialog;
mod duplex;
mod ends;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod faults;
mod foreign;
mod handles;
mod hostile;
mod lifecycle;
mod node;
mod once;
mod peer;
#[cfg(feature = "foreign")]
mod pipecom;
mod processes;
#[cfg(unix)]
mod programs;
mod roles;
mod service;
mod shapes;
mod shared;
#[cfg(unix)]
mod sockets;
mod support;
#[cfg(feature = "tokio")]
mod tasks;
#[cfg(feature = "tokio")]
mod tasks_both_ways;
#[cfg(feature = "tokio")]
mod tasks_calls;
#[cfg(feature = "tokio")]
mod tasks_handles;
#[cfg(feature = "tokio")]
mod tasks_service;
#[cfg(feature = "tokio")]
mod unpolled;
mod waiting;
