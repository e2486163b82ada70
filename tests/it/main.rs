//! What the crate promises, as its users see it.

mod access;
#[cfg(feature = "service")]
mod both_ways;
#[cfg(feature = "fanout")]
mod broadcast;
#[cfg(feature = "service")]
mod by_hand;
mod bytes;
#[cfg(feature = "service")]
mod call_cases;
#[cfg(feature = "service")]
mod call_counts;
#[cfg(feature = "service")]
mod call_handles;
#[cfg(feature = "service")]
mod calls;
mod carried;
mod carriers;
mod channels;
mod children;
mod connection;
#[cfg(feature = "service")]
mod definition;
mod delimited;
mod ends;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod faults;
mod fitting;
mod foreign;
#[cfg(feature = "foreign")]
mod foreign_handles;
#[cfg(feature = "service")]
mod given;
mod handles;
mod hostile;
#[cfg(feature = "service")]
mod in_flight;
mod inherited;
#[cfg(feature = "service")]
mod interrupted;
#[cfg(all(feature = "json", feature = "service"))]
mod json_rpc;
#[cfg(target_os = "linux")]
mod leftovers;
mod lifecycle;
#[cfg(feature = "service")]
mod limits;
#[cfg(unix)]
mod links;
mod migrating;
#[cfg(target_os = "linux")]
mod moved;
mod multi_writer;
mod names;
#[cfg(unix)]
mod neighbours;
mod node;
mod oneshot;
#[cfg(feature = "service")]
mod own_faults;
mod owners;
mod peer;
#[cfg(feature = "foreign")]
mod pipecom;
mod processes;
#[cfg(unix)]
mod programs;
#[cfg(feature = "fanout")]
mod reconnect;
#[cfg(target_os = "linux")]
mod resets;
mod roles;
#[cfg(feature = "shared-memory")]
mod sealed_bytes;
#[cfg(feature = "fanout")]
mod select;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "session")]
mod sessions;
mod shapes;
#[cfg(feature = "shared-memory")]
mod shared_memory;
#[cfg(unix)]
mod signals;
#[cfg(all(target_os = "linux", feature = "service"))]
mod silent;
#[cfg(unix)]
mod sockets;
#[cfg(feature = "service")]
mod streams;
#[cfg(feature = "process")]
mod supervised;
mod support;
#[cfg(feature = "tokio")]
mod tasks;
#[cfg(feature = "tokio")]
mod tasks_both_ways;
#[cfg(all(feature = "service", feature = "tokio"))]
mod tasks_calls;
#[cfg(feature = "tokio")]
mod tasks_carriers;
#[cfg(feature = "tokio")]
mod tasks_handles;
#[cfg(all(feature = "service", feature = "tokio"))]
mod tasks_service;
#[cfg(all(feature = "session", feature = "tokio"))]
mod tasks_sessions;
#[cfg(feature = "tokio")]
mod tasks_variants;
#[cfg(unix)]
mod trust;
mod typed_connection;
#[cfg(all(feature = "service", feature = "tokio"))]
mod unpolled;
#[cfg(feature = "shared-memory")]
mod views;
mod waiting;
mod whole_streams;
mod words;
