#![doc = include_str!("../README.md")]

mod address;
mod busy;
mod carrier;
mod key;
mod link;
mod net;
mod offer;

pub use key::{Key, PublicKey};
pub use net::{Net, NetOptions};
pub use offer::Offer;
