//! SIGPIPE, which a host program may make deadly at any time.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use typed_pipe::state::{Allocated, Open};
use typed_pipe::{
    Connection, ErrorKind, IfExists, Listener, ListenerOptions, Pipe, PipeOptions, ReadEnd,
    WriteEnd,
};

use crate::peer;
use crate::support::{Folder, watched};
#[cfg(target_os = "linux")]
use crate::support::{Waiters, until};

#[test]
fn a23_no_write_kills_a_host_that_makes_the_signal_deadly_later() {
    watched(|| peer::start("deadly-writes", Folder::new().name("none")).join());
}

/// The lock beside a name is a file with bytes, and what makes a file larger than it may be ends the process.
#[test]
fn an_owner_that_may_write_no_file_is_told_so_and_leaves_no_lock() {
    watched(|| {
        let folder = Folder::new();
        peer::start("no-files", folder.name("")).join();
        assert!(folder.entries().is_empty(), "{:?}", folder.entries());
    });
}

pub(crate) fn no_files(folder: &Path) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let policies = [IfExists::Fail, IfExists::TakeOver, IfExists::Reuse];
    let persistent = folder.join("persistent");
    Pipe::new(&persistent).unwrap().mkfifo().unwrap().persist();
    setrlimit(Resource::Fsize, Rlimit { current: Some(0), maximum: None }).unwrap();
    for policy in policies {
        let pipe = PipeOptions::new().if_exists(policy).at(folder.join("pipe")).unwrap();
        let failed = pipe.mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::ResourceExhausted, "{failed}");
        assert!(failed.to_string().contains("RLIMIT_FSIZE"), "{failed}");
        let bound = ListenerOptions::new().if_exists(policy).bind(folder.join("door"));
        assert_eq!(bound.unwrap_err().kind(), ErrorKind::ResourceExhausted);
    }
    // What needs no lock can be made, and what others made is used.
    drop((Pipe::temporary().unwrap(), Listener::temporary().unwrap()));
    drop(PipeOptions::new().if_exists(IfExists::Reuse).at(persistent).unwrap().mkfifo().unwrap());
}

/// Sets what becomes of SIGPIPE, from a thread of its own.
#[allow(unsafe_code, reason = "there is no safe way")]
fn set_sigpipe(action: libc::sighandler_t) {
    // SAFETY: neither action is a function.
    let set = move || unsafe { libc::signal(libc::SIGPIPE, action) };
    assert_ne!(thread::spawn(set).join().unwrap(), libc::SIG_ERR);
}

/// Writes in each way to a reader that leaves when the signal has become deadly, after the pipe was opened.
pub(crate) fn deadly_writes() {
    type Way = (&'static str, fn(WriteEnd<Open>) -> ErrorKind);
    let ways: [Way; 8] = [
        ("write", |mut end| end.write(b"unheard").unwrap_err().kind()),
        ("try_write", |mut end| end.try_write(b"unheard").unwrap_err().kind()),
        ("write_vectored", |mut end| {
            let bufs = [&b"un"[..], b"heard"].map(io::IoSlice::new);
            let error = end.write_vectored(&bufs).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            ErrorKind::Disconnected
        }),
        ("send", |end| end.into_sender::<u32>().send(&1).unwrap_err().kind()),
        ("finish", |end| end.into_sender::<u32>().finish().unwrap_err().kind()),
        ("send_bytes", |end| {
            end.into_sender::<Vec<u8>>().send_bytes(&[7; 1 << 20]).unwrap_err().kind()
        }),
        ("try_send_bytes", |end| {
            end.into_sender::<Vec<u8>>()
                .set_timeout(Duration::ZERO)
                .send_bytes(&[7; 1 << 20])
                .unwrap_err()
                .kind()
        }),
        ("loan", |end| {
            let mut sender = end.into_sender::<Vec<u8>>();
            sender.loan(1 << 16).unwrap().send().unwrap_err().kind()
        }),
    ];
    for (way, write) in ways {
        let (reader, writer) = ends();
        set_sigpipe(libc::SIG_DFL);
        drop(reader);
        println!("{way}");
        assert_eq!(write(writer), ErrorKind::Disconnected, "{way}");
        set_sigpipe(libc::SIG_IGN);
    }
    // How full a pipe is, Linux alone tells so that it can be relied on.
    #[cfg(target_os = "linux")]
    {
        waiting(|end| end.write_all(&[7; 1 << 20]));
        waiting(|end| {
            end.write_timeout(&[7; 1000], Duration::from_secs(30)).map(drop).map_err(Into::into)
        });
    }
    connection();
    #[cfg(feature = "tokio")]
    tasks();
}

fn ends() -> (ReadEnd<Open, Pipe<Allocated>>, WriteEnd<Open>) {
    let pipe = Pipe::temporary().unwrap();
    let path = pipe.path().clone();
    let reader = pipe.into_reader().open().unwrap();
    let mut writer = WriteEnd::at(path).unwrap().open().unwrap();
    writer.write(b"heard").unwrap();
    (reader, writer)
}

/// The signal becomes deadly while a write waits for room, and then the reader leaves.
#[cfg(target_os = "linux")]
fn waiting(write: fn(&mut WriteEnd<Open>) -> io::Result<()>) {
    println!("a write that waits");
    let (reader, mut writer) = ends();
    let waiters = Waiters::default();
    let writing = thread::spawn(waiters.with(move || while write(&mut writer).is_ok() {}));
    until(|| rustix::io::ioctl_fionread(&reader).unwrap() >= 60_000);
    waiters.asleep();
    set_sigpipe(libc::SIG_DFL);
    drop(reader);
    writing.join().unwrap();
    set_sigpipe(libc::SIG_IGN);
}

fn connection() {
    println!("a connection");
    let (mut client, server) = Connection::pair().unwrap();
    set_sigpipe(libc::SIG_DFL);
    drop(server);
    assert_eq!(client.writer().write(b"unheard").unwrap_err().kind(), ErrorKind::Disconnected);
    drop(client.finish());
    let (client, server) = Connection::pair().unwrap();
    drop(server);
    let mut sender = client.split().1.into_sender::<u32>();
    assert_eq!(sender.send(&1).unwrap_err().kind(), ErrorKind::Disconnected);
    assert_eq!(sender.finish().unwrap_err().kind(), ErrorKind::Disconnected);
    set_sigpipe(libc::SIG_IGN);
}

#[cfg(feature = "tokio")]
fn tasks() {
    println!("tasks");
    let (reader, writer) = ends();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut sender = writer.into_tokio().unwrap().into_sender::<u32>();
        set_sigpipe(libc::SIG_DFL);
        drop(reader);
        assert_eq!(sender.send(&1).await.unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(sender.finish().await.unwrap_err().kind(), ErrorKind::Disconnected);
        set_sigpipe(libc::SIG_IGN);
    });
}
