//! On named pipes.
#![cfg_attr(windows, allow(unused_imports, dead_code, reason = "some tests are of Unix"))]

use std::fs::OpenOptions;
use std::io::{Read, Write};

use typed_pipe::state::Open;
use typed_pipe::wire::shape::{Shape, Style};
use typed_pipe::wire::{MultiWriter, Wire};
use typed_pipe::{
    ErrorKind, OnHangup, Pipe, PipeRef, ReadEnd, TypedReceiver, TypedSender, WriteEnd, receive,
    send,
};

use super::types::{HERE_F64, new, old};
use crate::peer::{self, READY};
use crate::support::watched;

/// The hello of a type, as the documentation has it.
fn hello(shape: &Shape) -> Vec<u8> {
    let description = shape.description();
    let mut bytes = vec![0xFF, 0xFF, 0xFF, 3];
    bytes.extend_from_slice(&shape.fingerprint().to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(description.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(description);
    bytes
}

/// Waits until a writer has ended, and lets its receiver see that: one that comes before it does is taken for a writer
/// beside it.
fn ends<P: PipeRef>(
    other: peer::Peer,
    receiver: &mut TypedReceiver<new::Reading, ReadEnd<Open, P>>,
) {
    other.join();
    assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_sender_on_a_named_pipe_says_first_what_it_sends() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        let mut sender = TypedSender::<u8>::connect(&path).unwrap();
        assert_eq!(sender.pending(), 0);
        sender.send(&7).unwrap();
        sender.send(&8).unwrap();
        let mut want = hello(&Shape::of::<u8>(Style::Positional));
        want.extend_from_slice(b"\0\0\0\x01\x07\0\0\0\x01\x08");
        let mut got = vec![0; want.len() + 1];
        let mut len = 0;
        while len < want.len() {
            len += reader.read(&mut got[len..]).unwrap();
        }
        assert_eq!(got[..len], want, "once, before the first message");
    });
}

#[test]
#[cfg_attr(
    windows,
    ignore = "each client has a pipe of its own there, which another one does not fill"
)]
fn a_first_message_that_is_taken_back_takes_its_hello_along() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        let mut filling = WriteEnd::at(&path).unwrap().open().unwrap();
        let mut filled = 0;
        while let Ok(written) = filling.try_write(&[0; 512]) {
            filled += written;
        }
        let mut sender = TypedSender::<[u8]>::connect(&path).unwrap();
        for _ in 0..2 {
            let error = sender.try_send(&[7; 3000]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(!error.is_half_sent());
            assert_eq!(sender.pending(), 0);
        }
        reader.read_exact(&mut vec![0; filled]).unwrap();
        // The next message has the hello before it.
        sender.send(&[8, 9]).unwrap();
        let mut want = hello(&Shape::of::<Vec<u8>>(Style::Positional));
        want.extend_from_slice(b"\0\0\0\x03\x02\x08\x09");
        let mut got = vec![0; want.len() + 1];
        let len = reader.read(&mut got).unwrap();
        assert_eq!(got[..len], want);
        drop(filling);
    });
}

#[test]
fn two_processes_whose_types_differ_exchange_nothing_on_a_pipe() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.into_reader().on_hangup(OnHangup::NextWriter).open().unwrap();
        let mut receiver = reader.into_receiver::<new::Reading>();
        let other = peer::start("fitting old writes", &path);
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains(HERE_F64), "{error}");
        assert!(!error.is_fatal(), "the next writer may be another");
        assert!(receiver.peer_shape().is_none());
        ends(other, &mut receiver);
        // Each of those that come in turn is compared, and those that do not tell are taken at their word.
        for role in ["fitting new writes", "fitting old writes", "fitting plain writes"] {
            let other = peer::start(role, &path);
            let got = receiver.recv();
            match role {
                "fitting old writes" => assert_eq!(got.unwrap_err().kind(), ErrorKind::Mismatch),
                _ => assert_eq!(got.unwrap(), new::reading()),
            }
            assert_eq!(receiver.peer_shape().is_some(), role == "fitting new writes");
            ends(other, &mut receiver);
        }
    });
}

#[test]
fn a_receiver_may_require_that_its_writers_tell_what_they_send() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.into_reader().on_hangup(OnHangup::NextWriter).open().unwrap();
        let mut receiver = reader.into_receiver::<new::Reading>().require_shape();
        for _ in 0..2 {
            let other = peer::start("fitting plain writes", &path);
            let error = receiver.recv().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
            assert!(error.to_string().contains("required here"), "{error}");
            ends(other, &mut receiver);
            let other = peer::start("fitting new writes", &path);
            assert_eq!(receiver.recv().unwrap(), new::reading());
            ends(other, &mut receiver);
        }
    });
}

#[test]
fn a_writer_beside_another_one_is_compared_at_its_first_frame() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<new::Reading>();
        let mut one = TypedSender::<new::Reading>::connect(&path).unwrap();
        let mut other = TypedSender::<old::Reading>::connect(&path).unwrap();
        one.send(&new::reading()).unwrap();
        assert_eq!(receiver.recv().unwrap(), new::reading());
        other.send(&old::reading()).unwrap();
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Mismatch);
        // Whose a message is cannot be known here: none is read until a writer tells.
        one.send(&new::reading()).unwrap();
        assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        TypedSender::<new::Reading>::connect(&path).unwrap().send(&new::reading()).unwrap();
        assert_eq!(receiver.recv().unwrap(), new::reading());
    });
}

#[test]
fn one_value_in_one_call_is_compared_too() {
    watched(|| {
        let folder = crate::support::Folder::new();
        let name = folder.name("value");
        let at = name.clone();
        let sending = std::thread::spawn(move || send(at, &old::reading()));
        let error = receive::<new::Reading>(&name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        let _ = sending.join().unwrap();
        let at = name.clone();
        let sending = std::thread::spawn(move || send(at, &new::reading()));
        assert_eq!(receive::<new::Reading>(&name).unwrap(), new::reading());
        sending.join().unwrap().unwrap();
    });
}

/// As another program reads, which leaves and comes again.
#[cfg(unix)]
#[test]
fn a_new_reader_is_told_again_what_is_sent() {
    use std::os::unix::fs::OpenOptionsExt;

    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        let open = || OpenOptions::new().read(true).custom_flags(nonblock).open(&path).unwrap();
        let mut want = hello(&Shape::of::<u32>(Style::Positional));
        want.extend_from_slice(b"\0\0\0\x01");
        let mut reader = open();
        let mut sender = TypedSender::<u32>::connect(&path).unwrap();
        for number in 1..5_u8 {
            sender.send(&number.into()).unwrap();
            let mut got = vec![0; 100];
            let len = reader.read(&mut got).unwrap();
            assert_eq!(got[..len], [&want[..], &[number]].concat());
            drop(reader);
            crate::support::until_it_fails(|| WriteEnd::at(&path).unwrap().try_open()); // nobody reads
            assert!(sender.send(&9).unwrap_err().is_disconnected());
            assert_eq!(sender.pending(), 0);
            reader = open();
        }
    });
}

/// The reader that leaves has not begun to read, so all that is in the pipe waits for the one that comes.
#[cfg(unix)]
#[test]
fn what_a_new_reader_is_told_does_not_get_into_a_message() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let leaving = pipe.open_reader().unwrap();
        let mut sender = TypedSender::<[u8]>::connect(&path).unwrap();
        let large: Vec<u8> =
            (0..2_000_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
        let late = sender.send_timeout(&large, std::time::Duration::from_millis(20)).unwrap_err();
        assert!(late.is_half_sent(), "{late}");
        drop(leaving);
        assert!(sender.flush().unwrap_err().is_disconnected());
        let mut receiver = pipe.open_reader().unwrap().into_receiver::<Vec<u8>>();
        let sending = std::thread::spawn(move || {
            sender.flush().unwrap();
            sender.send(&[7, 8]).unwrap();
        });
        assert!(receiver.recv().unwrap() == large, "another message came");
        assert_eq!(receiver.recv().unwrap(), [7, 8]);
        sending.join().unwrap();
    });
}

#[test]
fn a_hello_that_says_nothing_is_an_error_by_name() {
    for (bytes, kind) in [
        (&b"\xff\xff\xff\x03\0\0\0\0\0\0\0\0\0\0\0\x03abc\0\0\0\x01\x07"[..], ErrorKind::Mismatch),
        (b"\xff\xff\xff\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x07", ErrorKind::Mismatch),
        (b"\xff\xff\xff\x03\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\x01\x07", ErrorKind::Corrupt),
        (b"\xff\xff\xff\x03\0\0\0\0\0\0\0\0\0\x01\0\0abc", ErrorKind::Truncated),
    ] {
        watched(move || {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<u8>();
            WriteEnd::at(&path).unwrap().open().unwrap().write_all(bytes).unwrap();
            let error = receiver.recv().unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(receiver.recv().is_err(), "nothing of it is read");
        });
    }
}

#[test]
fn a_channel_with_a_wire_by_name_writes_no_hello_and_reads_past_one() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().open().unwrap();
        let mut receiver = end.into_receiver_with::<u8, _, _>(Wire::default());
        TypedSender::<u8>::connect(&path).unwrap().send(&7).unwrap();
        assert_eq!(receiver.recv().unwrap(), 7);
        let end = WriteEnd::at(&path).unwrap().open().unwrap();
        end.into_sender_with::<u8, _, _>(Wire::default()).send(&8).unwrap();
        let mut end = receiver.into_inner();
        let mut got = [0; 16];
        let len = end.read(&mut got).unwrap();
        assert_eq!(got[..len], *b"\0\0\0\x01\x08");
    });
}

#[test]
fn many_writers_are_compared_each() {
    watched(|| {
        fn wire<T: typed_pipe::Receivable>() -> Wire<MultiWriter> {
            Wire::default().with_framing(MultiWriter::default().typed::<T>())
        }
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().open().unwrap();
        let mut receiver = end.into_receiver_with::<new::Reading, _, _>(wire::<new::Reading>());
        let open = || WriteEnd::at(&path).unwrap().open().unwrap();
        let mut bad = open().into_sender_with::<old::Reading, _, _>(wire::<old::Reading>());
        let mut good = open().into_sender_with::<new::Reading, _, _>(wire::<new::Reading>());
        let many = Wire::default().with_framing(MultiWriter::default());
        let mut silent = open().into_sender_with::<new::Reading, _, _>(many);
        bad.send(&old::reading()).unwrap();
        good.send(&new::reading()).unwrap();
        silent.send(&new::reading()).unwrap();
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains("`Reading.celsius`"), "{error}");
        assert_eq!(receiver.recv().unwrap(), new::reading());
        assert_eq!(receiver.recv().unwrap(), new::reading(), "of one that does not tell");
    });
}

#[test]
fn each_of_many_writers_may_be_required_to_tell_what_it_sends() {
    watched(|| {
        let many = || Wire::default().with_framing(MultiWriter::default());
        let typed = || Wire::default().with_framing(MultiWriter::default().typed::<new::Reading>());
        for ours in [many(), typed()] {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let end = pipe.into_reader().open().unwrap();
            let receiver = end.into_receiver_with::<new::Reading, _, _>(ours);
            let mut receiver = receiver.require_shape();
            let open = || WriteEnd::at(&path).unwrap().open().unwrap();
            let mut silent = open().into_sender_with::<new::Reading, _, _>(many());
            let mut tells = open().into_sender_with::<new::Reading, _, _>(typed());
            silent.send(&new::reading()).unwrap();
            tells.send(&new::reading()).unwrap();
            silent.send(&new::reading()).unwrap();
            let error = receiver.recv().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
            assert!(error.to_string().contains("without saying what they look like"), "{error}");
            assert!(!error.is_fatal());
            assert_eq!(receiver.recv().unwrap(), new::reading());
            assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
            let differs = MultiWriter::default().typed::<old::Reading>();
            let differs = Wire::default().with_framing(differs);
            let mut differs = open().into_sender_with::<old::Reading, _, _>(differs);
            differs.send(&old::reading()).unwrap();
            let error = receiver.recv().unwrap_err();
            assert!(error.to_string().contains("`Reading.celsius`"), "{error}");
        }
    });
}

#[test]
fn a_wire_by_name_may_require_what_its_writers_tell() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().on_hangup(OnHangup::NextWriter).open().unwrap();
        let receiver = end.into_receiver_with::<u8, _, _>(Wire::default());
        let mut receiver = receiver.require_shape();
        TypedSender::<u8>::connect(&path).unwrap().send(&7).unwrap();
        assert_eq!(receiver.recv().unwrap(), 7);
        TypedSender::<i8>::connect(&path).unwrap().send(&7).unwrap();
        let error = receiver.recv().unwrap_err();
        assert!(error.to_string().contains("u8 here, i8 there"), "{error}");
    });
}

#[test]
fn two_processes_that_fit_go_on_by_their_hello() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut other = peer::start("fitting new reads", &path);
        other.await_step(READY);
        let mut sender = pipe.into_writer().open().unwrap().into_sender::<new::Reading>();
        sender.send(&new::reading()).unwrap();
        other.join();
    });
}

/// Other programs at the other side.
#[cfg(unix)]
mod programs {
    use super::*;
    use std::process::{Command, Stdio};

    const SENDER: &str = "import sys\nopen(sys.argv[1], 'wb').write(b'\\0\\0\\0\\x03\\x02hi')\n";

    const RECEIVER: &str = r"
import struct, sys
with open(sys.argv[1], 'rb') as pipe:
    while True:
        header = pipe.read(4)
        if not header or header == b'\xff\xff\xff\x01':
            break
        if header == b'\xff\xff\xff\x03':
            fingerprint, length = struct.unpack('>QI', pipe.read(12))
            pipe.read(length)
            continue
        print(pipe.read(struct.unpack('>I', header)[0]))
";

    #[test]
    fn a_program_in_python_and_a_shell_send_without_a_hello() {
        watched(|| {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let reader = pipe.into_reader().on_hangup(OnHangup::NextWriter).open().unwrap();
            let mut receiver = reader.into_receiver::<String>();
            let python = Command::new("python3").arg("-c").arg(SENDER).arg(&path).status();
            assert!(python.unwrap().success());
            assert_eq!(receiver.recv().unwrap(), "hi");
            assert!(receiver.peer_shape().is_none());
            let shell = r#"printf '\000\000\000\003\002ho' > "$1""#;
            let shell = Command::new("sh").args(["-c", shell, "sh"]).arg(&path).status();
            assert!(shell.unwrap().success());
            assert_eq!(receiver.recv().unwrap(), "ho");
        });
    }

    #[test]
    fn a_program_in_python_reads_past_the_hello() {
        watched(|| {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut python = Command::new("python3");
            let python = python.arg("-c").arg(RECEIVER).arg(&path).stdout(Stdio::piped());
            let python = python.spawn().unwrap();
            let mut sender = TypedSender::<String>::connect(&path).unwrap();
            sender.send(&"hi".into()).unwrap();
            sender.send(&"ho".into()).unwrap();
            let _ = sender.finish().unwrap();
            let told = python.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&told.stdout), "b'\\x02hi'\nb'\\x02ho'\n");
            drop(pipe);
        });
    }

    /// Skips the hello if it is given one: its head, and as many bytes as that says. Prints a text of two letters.
    const SHELL_RECEIVER: &str = r#"
exec < "$1"
bytes() { dd bs=1 count="$1" 2>/dev/null; }
if [ "$2" = told ]; then
  bytes 12 > /dev/null
  length=$(bytes 4 | od -An -tu1 | { read a b c d; echo $((c * 256 + d)); })
  bytes "$length" > /dev/null
fi
bytes 5 > /dev/null
bytes 2
"#;

    #[test]
    fn a_shell_reads_past_the_hello_and_where_there_is_none() {
        watched(|| {
            for told in [true, false] {
                let pipe = Pipe::temporary().unwrap();
                let path = pipe.path().clone();
                let mut shell = Command::new("sh");
                let shell = shell.args(["-c", SHELL_RECEIVER, "sh"]).arg(&path);
                let shell = shell.arg(if told { "told" } else { "" }).stdout(Stdio::piped());
                let shell = shell.spawn().unwrap();
                let end = WriteEnd::at(&path).unwrap().open().unwrap();
                let mut sender = match told {
                    true => end.into_sender::<String>(),
                    false => end.into_sender_with(Wire::default()),
                };
                sender.send(&"hi".into()).unwrap();
                let output = shell.wait_with_output().unwrap();
                assert_eq!(String::from_utf8_lossy(&output.stdout), "hi");
                drop(pipe);
            }
        });
    }

    #[test]
    fn programs_without_a_hello_are_sent_none_on_a_wire_by_name() {
        watched(|| {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut python = Command::new("python3");
            let python = python.arg("-c").arg(RECEIVER).arg(&path).stdout(Stdio::piped());
            let python = python.spawn().unwrap();
            let end = WriteEnd::at(&path).unwrap().open().unwrap();
            let mut sender = end.into_sender_with::<str, _, _>(Wire::default());
            sender.send("hi").unwrap();
            let _ = sender.finish().unwrap();
            let told = python.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&told.stdout), "b'\\x02hi'\n");
            drop(pipe);
        });
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn the_codec_of_tokio_reads_what_is_sent_on_a_wire_by_name() {
        use bytes::BytesMut;
        use tokio_util::codec::{Decoder, LengthDelimitedCodec};

        watched(|| {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut reader = pipe.into_reader().open().unwrap();
            let end = WriteEnd::at(&path).unwrap().open().unwrap();
            end.into_sender_with::<str, _, _>(Wire::default()).send("hi").unwrap();
            let mut bytes = BytesMut::zeroed(16);
            let len = reader.read(&mut bytes).unwrap();
            bytes.truncate(len);
            let frame = LengthDelimitedCodec::new().decode(&mut bytes).unwrap().unwrap();
            assert_eq!(&frame[..], b"\x02hi");
            assert!(bytes.is_empty());
        });
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn the_codec_of_tokio_is_read_without_a_hello_and_refuses_one() {
        use bytes::BytesMut;
        use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

        watched(|| {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<String>();
            let mut bytes = BytesMut::new();
            LengthDelimitedCodec::new().encode(&b"\x02hi"[..], &mut bytes).unwrap();
            OpenOptions::new().write(true).open(&path).unwrap().write_all(&bytes).unwrap();
            assert_eq!(receiver.recv().unwrap(), "hi");
            let mut told = BytesMut::from(&hello(&Shape::of::<String>(Style::Positional))[..]);
            LengthDelimitedCodec::new().decode(&mut told).unwrap_err();
        });
    }
}

/// An end without a name is for other programs: no hello.
#[cfg(unix)]
#[test]
fn an_end_of_a_handle_from_elsewhere_says_no_hello() {
    watched(|| {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut read = std::fs::File::from(read);
        let end: WriteEnd<_, typed_pipe::Unnamed> = write.try_into().unwrap();
        end.into_sender::<u8>().send(&7).unwrap();
        let mut got = Vec::new();
        read.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"\0\0\0\x01\x07");
        let _ = TypedReceiver::<u8, _>::new(&got[..]).recv().unwrap();
    });
}
