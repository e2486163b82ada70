//! Two processes whose types do not fit refuse each other, and two whose types do go on.

mod connections;
mod pipes;
mod types;

use std::path::Path;

use typed_pipe::{TypedConnection, TypedReceiver, TypedSender, WriteEnd};

use crate::peer::{self, READY};
use types::{new, old};

/// What the other process does.
pub(crate) fn play(role: &str, name: &Path) {
    match role {
        // A program that is older than the test, or newer.
        "fitting old at connect" => {
            let error = TypedConnection::<old::Reading, u8>::connect(name).unwrap_err();
            let words = error.to_string();
            assert!(words.contains(types::HERE_F32), "{words}");
        }
        "fitting old sends commands" => {
            let mut side = TypedConnection::<old::Command, u8>::connect(name).unwrap();
            side.send(&old::Command::Set { rate: 7 }).unwrap();
            assert_eq!(side.recv().unwrap(), 1);
        }
        "fitting old writes" => {
            let mut sender = TypedSender::<old::Reading>::connect(name).unwrap();
            sender.send(&old::reading()).unwrap();
        }
        "fitting new writes" => {
            let mut sender = TypedSender::<new::Reading>::connect(name).unwrap();
            sender.send(&new::reading()).unwrap();
        }
        "fitting plain writes" => {
            let end = WriteEnd::at(name).unwrap().open().unwrap();
            let mut sender = end.into_sender_with::<new::Reading, _, _>(Default::default());
            sender.send(&new::reading()).unwrap();
        }
        "fitting new reads" => {
            let mut receiver = TypedReceiver::<new::Reading>::connect(name).unwrap();
            peer::step(READY);
            assert_eq!(receiver.recv().unwrap(), new::reading());
            assert!(receiver.peer_shape().is_some());
        }
        other => panic!("no role {other}"),
    }
}
