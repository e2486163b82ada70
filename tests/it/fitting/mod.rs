//! Two processes whose types do not fit refuse each other, and two whose types do go on.

mod connections;
mod pipes;
mod types;
mod versions;

use std::path::Path;

use typed_pipe::{Connection, Handshake, TypedConnection, TypedReceiver, TypedSender, WriteEnd};

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
        // Knows one version alone, or both.
        "fitting version 1" => {
            let side = Connection::connect(name).unwrap();
            let handshake = Handshake::new().protocols(["reading/1"]);
            let mut side = handshake.perform::<old::Reading, u8>(side).unwrap();
            side.send(&old::reading()).unwrap();
            assert_eq!(side.recv().unwrap(), 1);
        }
        "fitting version 2" => {
            let side = Connection::connect(name).unwrap();
            let handshake = Handshake::new().protocols(["reading/2", "reading/1"]);
            let agreed = handshake.negotiate(side).unwrap();
            assert_eq!(agreed.protocol(), Some("reading/2"));
            let mut side = agreed.perform::<new::Reading, u8>().unwrap();
            side.send(&new::reading()).unwrap();
            assert_eq!(side.recv().unwrap(), 1);
        }
        "fitting is refused" => {
            versions::is_refused(TypedConnection::<u8, u8>::connect(name).unwrap_err());
        }
        "fitting is refused by name" => {
            let side = Connection::connect(name).unwrap();
            let failed = Handshake::new().protocols(["a"]).negotiate(side).unwrap_err();
            assert!(failed.state().is_none());
            versions::is_refused(failed);
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
