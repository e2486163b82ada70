#![doc = include_str!("../README.md")]

mod address;
mod busy;
mod carrier;
mod collector;
mod key;
mod link;
mod net;
mod offer;
mod strangers;
// What `tpipe-net` needs of the inside. It is not meant for others, and may change at any time.
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub mod paths;

pub use collector::{Collected, Collector};
pub use key::{Key, PublicKey};
pub use net::{Net, NetOptions, is_cancelled};
pub use offer::Offer;
