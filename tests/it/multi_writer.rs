//! Many writers on one pipe.

use std::collections::HashMap;
use std::thread;

use typed_pipe::wire::{Encoder, MultiWriter, Wire};
use typed_pipe::{
    ErrorKind, Hangup, OnHangup, Pipe, PipeOptions, TypedReceiver, TypedSender, WriteEnd,
};

use crate::support::{Folder, watched};

fn wire() -> Wire<MultiWriter> {
    Wire::default().with_framing(MultiWriter::default().protocol("test 1"))
}

/// A message of a writer: its text tells whose it is, which one, and whether it is whole.
fn message(writer: usize, number: usize) -> (usize, usize, Vec<u8>) {
    let len =
        [1, 10, 100, 1000, 4000, 4060, 4096, 5000, 20_000, 100_000][(writer * 3 + number) % 10];
    (writer, number, (0..len).map(|at| (at + writer + number).to_le_bytes()[0]).collect())
}

#[test]
fn a19_writers_share_a_pipe_of_one_page() {
    const MESSAGES: usize = 100;
    watched(|| {
        let folder = Folder::new();
        let options = PipeOptions::new().buffer_size(4096);
        let pipe = options.at(folder.name("shared")).unwrap().mkfifo().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().open().unwrap();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let path = path.clone();
                thread::spawn(move || {
                    let end = WriteEnd::at(path).unwrap().open().unwrap();
                    let mut sender = end.into_sender_with(wire());
                    for number in 0..MESSAGES {
                        // Alone, or with others.
                        if number % 3 == 0 {
                            sender.send(&message(writer, number)).unwrap();
                        } else {
                            sender.feed(&message(writer, number)).unwrap();
                        }
                    }
                    sender.flush().unwrap();
                })
            })
            .collect();

        let mut receiver = end.into_receiver_with::<(usize, usize, Vec<u8>), _, _>(wire());
        let mut next = [0; 4];
        let mut ids = HashMap::new();
        for _ in 0..4 * MESSAGES {
            let (id, received) = receiver.recv_from().unwrap();
            let writer = received.0;
            assert_eq!(*ids.entry(id).or_insert(writer), writer);
            assert!(received == message(writer, next[writer]));
            next[writer] += 1;
        }
        assert_eq!((next, ids.len()), ([MESSAGES; 4], 4));
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Disconnected);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

#[test]
fn a17_a_writer_that_leaves_in_a_message_takes_nothing_with_it() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = reader.open().unwrap().into_receiver_with::<Vec<u8>, _, _>(wire());
        assert_eq!(receiver.last_hangup(), None);

        let open = || WriteEnd::at(&path).unwrap().open().unwrap();
        let mut whole = open().into_sender_with::<Vec<u8>, _, _>(wire());
        let mut cut = open();
        let mut encoder = Encoder::new(wire());
        encoder.stage(&vec![7_u8; 5000]).unwrap();
        for _ in 0..5 {
            std::io::Write::write_all(&mut cut, encoder.pending()).unwrap();
            encoder.advance(encoder.pending().len());
        }
        whole.send(&vec![1; 5000]).unwrap();
        drop(cut);
        whole.send(&vec![2; 5000]).unwrap();
        assert_eq!(receiver.recv().unwrap(), vec![1; 5000]);
        assert_eq!(receiver.recv().unwrap(), vec![2; 5000]);
        drop(whole);
        let lost = receiver.recv().unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::MessageLost, "{lost}");
        assert!(!lost.is_fatal() && !lost.is_end());
        assert_eq!(lost.path(), Some(path.as_path()));
        assert_eq!(receiver.last_hangup(), Some(Hangup::Truncated));

        // The next writer is awaited.
        let mut next = open().into_sender_with::<Vec<u8>, _, _>(wire());
        next.send(&vec![3; 5000]).unwrap();
        assert_eq!(receiver.recv().unwrap(), vec![3; 5000]);
        assert_eq!(receiver.last_hangup(), Some(Hangup::Truncated));
    });
}

/// The bytes of a wire with a goodbye at their end.
fn finished(wire: Wire<MultiWriter>) -> Vec<u8> {
    let mut encoder = Encoder::new(wire);
    encoder.stage(&1_u8).unwrap();
    assert!(encoder.stage_goodbye());
    encoder.pending().to_vec()
}

#[test]
fn the_end_of_the_writers_is_told() {
    let goodbye = finished(wire());
    let mut receiver = TypedReceiver::<u8, _, _, _>::with_wire(goodbye.as_slice(), wire());
    assert_eq!(receiver.recv().unwrap(), 1);
    for _ in 0..2 {
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
        assert_eq!(receiver.last_hangup(), Some(Hangup::Finished));
    }
    assert!(receiver.next().is_none());

    let mut bytes = Vec::new();
    TypedSender::<[u8], _, _, _>::with_wire(&mut bytes, wire()).send(&[7; 3000]).unwrap();
    let mut receiver = TypedReceiver::<Vec<u8>, _, _, _>::with_wire(&bytes[..2000], wire());
    // What is whole of it, in fragments, is lost; and then there is half a fragment.
    let kinds = [ErrorKind::MessageLost, ErrorKind::Truncated, ErrorKind::Disconnected];
    for kind in kinds {
        assert_eq!(receiver.recv().unwrap_err().kind(), kind);
        assert_eq!(receiver.last_hangup(), Some(Hangup::Truncated));
    }
    let mut receiver = TypedReceiver::<Vec<u8>, _, _, _>::with_wire(bytes.as_slice(), wire());
    assert_eq!(receiver.recv().unwrap(), [7; 3000]);
    assert!(receiver.recv().unwrap_err().is_disconnected());
    assert_eq!(receiver.last_hangup(), Some(Hangup::Disconnected));
}

#[test]
fn d7_another_codec_or_type_is_refused() {
    let mut bytes = Vec::new();
    let news = Wire::default().with_framing(MultiWriter::default().protocol("news 1"));
    TypedSender::<str, _, _, _>::with_wire(&mut bytes, news).send_all(["a", "b"]).unwrap();
    TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire()).send("c").unwrap();
    let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire());
    let error = receiver.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    assert!(!error.is_fatal());
    assert_eq!(receiver.recv().unwrap(), "c");
    assert!(receiver.next().is_none());
}
