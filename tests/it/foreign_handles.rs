//! Handles beside the bytes of other programs, and how many of them are kept.

use typed_pipe::{Connection, ErrorKind, Handles};

use crate::support::watched;

#[cfg(windows)]
#[test]
fn no_handle_goes_beside_bytes_here() {
    watched(|| {
        let (mut one, _other) = Connection::pair().unwrap();
        assert_eq!(one.reader().accept_handles(1).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(one.reader().next_handles().unwrap().is_none());
        let mut handles = files(1);
        let error = one.writer().write_with_handles(b"x", &mut handles).unwrap_err();
        assert_eq!((error.kind(), handles.len()), (ErrorKind::Unsupported, 1));
    });
}

fn files(count: usize) -> Handles {
    let mut handles = Handles::new();
    for _ in 0..count {
        handles.add(tempfile::tempfile().unwrap());
    }
    handles
}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use typed_pipe::{Handshake, WithHandles};

    use super::*;
    use crate::support::skipped;

    /// Reads so many bytes, and takes what came beside them.
    fn read(side: &mut Connection, bytes: usize) -> Result<Option<usize>, ErrorKind> {
        side.read_exact(&mut vec![0; bytes]).unwrap();
        let handles = side.reader().next_handles().map_err(|error| error.kind())?;
        Ok(handles.map(|handles| handles.len()))
    }

    #[test]
    fn handles_come_beside_bytes_and_no_more_than_are_wanted() {
        watched(|| {
            let (mut one, mut other) = Connection::pair().unwrap();
            other.reader().accept_handles(2).unwrap();
            one.writer().write(b"none").unwrap();
            assert_eq!(read(&mut other, 4), Ok(None));
            for (count, kept) in
                [(2, Ok(Some(2))), (3, Err(ErrorKind::MessageLost)), (1, Ok(Some(1)))]
            {
                let mut handles = files(count);
                assert_eq!(one.writer().write_with_handles(b"some", &mut handles).unwrap(), 4);
                assert!(handles.is_empty());
                assert_eq!(read(&mut other, 4), kept);
                assert_eq!(other.reader().next_handles().unwrap().map(|more| more.len()), None);
            }
            // Those that are not taken count.
            for number in 0..3 {
                one.writer().write_with_handles(&[number], &mut files(1)).unwrap();
                other.read_exact(&mut [0]).unwrap();
            }
            let error = |side: &mut Connection| side.reader().next_handles().unwrap_err().kind();
            assert!(other.reader().next_handles().unwrap().is_some());
            assert_eq!(error(&mut other), ErrorKind::MessageLost);
            // Without bytes nothing goes, and nothing is lost.
            let mut handles = files(1);
            assert_eq!(one.writer().write_with_handles(&[], &mut handles).unwrap(), 0);
            assert_eq!(handles.len(), 1);
            drop(other.split()); // shuts it down, whoever has a copy
            let error = one.writer().write_with_handles(b"x", &mut handles).unwrap_err();
            assert_eq!((error.kind(), handles.len()), (ErrorKind::Disconnected, 1));
        });
    }

    #[test]
    fn the_limit_of_a_connection_holds_for_its_messages() {
        watched(|| the_limit_holds(&Handshake::new()));
    }

    #[cfg(all(feature = "shared-memory", target_os = "linux"))]
    #[test]
    fn the_limit_of_a_connection_holds_for_its_messages_through_shared_memory() {
        let memory = typed_pipe::SharedMemory::required();
        watched(move || the_limit_holds(&Handshake::new().shared_memory(memory)));
    }

    fn the_limit_holds(terms: &Handshake) {
        let (one, mut other) = Connection::pair().unwrap();
        other.reader().accept_handles(3).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut one = terms.perform::<WithHandles<u32>, ()>(one).unwrap();
                for count in [3, 4, 3] {
                    one.send_with_handles(&7, &mut files(count)).unwrap();
                }
                one.finish().unwrap();
            });
            let mut other = terms.perform::<(), WithHandles<u32>>(other).unwrap();
            assert_eq!(other.recv_with_handles().unwrap().1.len(), 3);
            let error = other.recv_with_handles().unwrap_err();
            assert_eq!(
                (error.kind(), error.is_fatal()),
                (ErrorKind::MessageLost, false),
                "{error}"
            );
            assert_eq!(other.recv_with_handles().unwrap().1.len(), 3);
            assert_eq!(other.recv_with_handles().unwrap_err().kind(), ErrorKind::Finished);
        });
    }

    /// The bytes up to the end of a line.
    fn line(side: &mut Connection) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while byte[0] != b'\n' {
            side.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn node_passes_a_server_and_takes_one() {
        watched(|| {
            let (mut ours, theirs) = Connection::pair().unwrap();
            ours.reader().accept_handles(1).unwrap();
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/handles.js");
            let mut node = Command::new("node");
            // The channel of a child of Node.js, by the number of its descriptor.
            node.arg(program).env("NODE_CHANNEL_FD", "0").stdin(OwnedFd::from(theirs));
            let Ok(mut child) = node.stdout(Stdio::null()).spawn() else {
                return skipped("there is no Node.js here");
            };
            drop(node);
            let told = line(&mut ours);
            assert!(told.contains("NODE_HANDLE") && told.contains("net.Server"), "{told}");
            let mut handles = ours.reader().next_handles().unwrap().unwrap();
            let server: TcpListener = handles.take(0).unwrap();
            let port = server.local_addr().unwrap().port();
            assert!(told.contains(&format!("\"port\":{port}")), "{told}, {port}");
            ours.write_all(b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n").unwrap();

            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = server.local_addr().unwrap().port();
            let mut handles = Handles::new();
            handles.add(server);
            let message = b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Server\",\"msg\":\"yours\"}\n";
            let written = ours.writer().write_with_handles(message, &mut handles).unwrap();
            ours.write_all(&message[written..]).unwrap();
            let told = [line(&mut ours), line(&mut ours)].concat();
            assert!(told.contains("NODE_HANDLE_ACK"), "{told}");
            assert!(told.contains(&format!("\"got\":{port}")), "{told}, {port}");
            drop(ours);
            assert!(child.wait().unwrap().success());
        });
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn handles_go_beside_the_bytes_of_tasks() {
        watched(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (one, mut other) = Connection::pair().unwrap();
                other.reader().accept_handles(1).unwrap();
                let mut one = one.into_tokio().unwrap();
                let mut other = other.into_tokio().unwrap();
                let mut handles = files(1);
                one.writer().write_with_handles(b"x", &mut handles).await.unwrap();
                other.reader().read(&mut [0]).await.unwrap();
                let mut handles = other.reader().next_handles().unwrap().unwrap();
                drop(handles.take::<File>(0).unwrap());
            });
        });
    }
}
