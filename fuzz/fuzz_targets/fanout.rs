//! Whatever a reader says to a broadcast, and a collector to a sender that reconnects: both go on.
#![no_main]

use std::io::Write;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use typed_pipe::{
    Broadcast, Connection, Listener, ReconnectingSender, SlowReader, TypedConnection, WhenFull,
};

/// Longer than anything here takes: what is not over by then never is.
const LONG: Duration = Duration::from_secs(20);

/// What a side of the default wire says first.
const TERMS: &[u8] = b"\xff\xff\xff\x02tpip\x01\x00\x00\x23\x00\x00\x00\x00\x00\x80\x00\x00\
    \x0flength-prefixed\x08postcard\x00\x00";

/// The first byte chooses who hears the rest, and whether a true handshake comes before it.
fn say(data: &[u8]) {
    let [how, said @ ..] = data else { return };
    // There is room for so much, whether it is read or not.
    let said = &said[..said.len().min(20_000)];
    let said = if how & 1 == 0 { [TERMS, said].concat() } else { said.to_vec() };
    if how & 2 == 0 { to_a_broadcast(&said) } else { to_a_sender(&said) }
}

fn to_a_broadcast(said: &[u8]) {
    let news =
        Broadcast::<str>::new(Listener::temporary().expect("a name"), SlowReader::DropOldest);
    let news = news.expect("a broadcast");
    let path = news.listener().path();
    let mut good = TypedConnection::<(), String>::connect(path).expect("a broadcast");
    let mut bad = Connection::connect(path).expect("a broadcast");
    let _ = bad.write_all(said); // it may be let go before the end
    for message in ["one", "two", "three"] {
        news.send(message).expect("it never waits");
        assert_eq!(good.receiver().recv_timeout(LONG).expect("every message"), message);
    }
    drop(bad);
    news.send("the last").expect("it never waits");
    assert_eq!(good.receiver().recv_timeout(LONG).expect("every message"), "the last");
}

fn to_a_sender(said: &[u8]) {
    let listener = Listener::temporary().expect("a name");
    let log = ReconnectingSender::<str>::connect(listener.path(), WhenFull::DropOldest);
    let log = log.expect("a sender");
    log.send("one").expect("there is room");
    let mut bad = listener.accept_timeout(LONG).expect("it connects");
    let _ = bad.write_all(said); // it may have left
    drop(bad);
    let good = listener.accept_timeout(LONG).expect("it connects again");
    log.send("two").expect("there is room");
    let mut good = good.into_typed::<u64, String>().expect("a true sender");
    // The first one went to the bad collector, or comes here.
    let mut received = 0;
    while good.receiver().recv_timeout(LONG).expect("the next value") != "two" {
        received += 1;
    }
    good.send(&(received + 1)).expect("it is there");
    let counts = log.finish_timeout(LONG);
    let others = counts.waiting + counts.unconfirmed + counts.uncertain + counts.dropped;
    assert_eq!((counts.accepted, others + counts.confirmed), (2, 2), "{counts:?}");
}

fuzz_target!(|data: &[u8]| say(data));
