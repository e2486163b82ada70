//! What the crate promises, as its users see it.

mod bytes;
#[cfg(feature = "service")]
mod calls;
mod channels;
mod connection;
mod delimited;
mod ends;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod faults;
mod fitting;
mod foreign;
mod handles;
mod hostile;
mod lifecycle;
mod multi_writer;
#[cfg(unix)]
mod neighbours;
mod node;
mod oneshot;
mod owners;
mod peer;
#[cfg(feature = "foreign")]
mod pipecom;
mod processes;
#[cfg(unix)]
mod programs;
#[cfg(target_os = "linux")]
mod resets;
mod roles;
#[cfg(feature = "service")]
mod service;
mod shapes;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod sockets;
mod support;
#[cfg(feature = "tokio")]
mod tasks;
#[cfg(feature = "tokio")]
mod tasks_both_ways;
#[cfg(all(feature = "service", feature = "tokio"))]
mod tasks_calls;
#[cfg(feature = "tokio")]
mod tasks_handles;
#[cfg(all(feature = "service", feature = "tokio"))]
mod tasks_service;
#[cfg(feature = "tokio")]
mod tasks_variants;
mod typed_connection;
#[cfg(all(feature = "service", feature = "tokio"))]
mod unpolled;
mod waiting;
