//! Messages that are bytes, and large ones above all: on Linux their pages are given to the pipe.

use std::ops::Range;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use typed_pipe::state::Blocking;
use typed_pipe::wire::{Checked, Framing, LengthPrefixed, MultiWriter, Wire};
use typed_pipe::{
    Connection, ErrorKind, Listener, Pipe, Source, TypedReceiver, TypedSender, WriteEnd,
    WriteTimeout,
};

use crate::peer;
use crate::support::watched;

/// The bytes of a message: those of another number are others at nearly every place.
pub(crate) fn payload(number: usize, len: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..4 << 20).map(|_| next()).collect()
    });
    &BYTES[number * 4099 % (2 << 20)..][..len]
}

/// Sizes around all that matters.
pub(crate) const SIZES: [usize; 12] =
    [20_000, 1 << 20, 0, 65_536, 16_383, 16_384, 100, 300_000, 65_532, 81_919, 81_920, 1_000_001];

pub(crate) fn size(number: usize) -> usize {
    SIZES[number % SIZES.len()]
}

/// Sends so many messages, in all the ways that there are.
pub(crate) fn pour<E>(sender: &mut TypedSender<[u8], E>, numbers: Range<usize>)
where
    E: WriteTimeout<Mode = Blocking>,
{
    for number in numbers {
        let payload = payload(number, size(number));
        if number % 3 == 0 {
            let mut loan = sender.loan(payload.len()).unwrap();
            assert_eq!(loan.len(), payload.len());
            loan.copy_from_slice(payload);
            loan.send().unwrap();
        } else {
            sender.send_bytes(payload).unwrap();
        }
    }
}

/// Receives so many messages, and compares each byte.
pub(crate) fn expect<R>(receiver: &mut TypedReceiver<Vec<u8>, R>, numbers: Range<usize>)
where
    R: Source<Mode = Blocking>,
{
    for number in numbers {
        let received = receiver.recv_bytes().unwrap();
        assert!(received == payload(number, size(number)), "message {number}");
    }
}

#[test]
fn a46_bytes_of_all_sizes_arrive_as_they_were() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let peer = peer::start_with("pour", pipe.path(), 100);
        let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<Vec<u8>>();
        expect(&mut receiver, 0..100);
        assert_eq!(receiver.recv_bytes().unwrap_err().kind(), ErrorKind::Finished);
        peer.join();
    });
}

#[test]
fn bytes_and_values_keep_their_order() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let sender = thread::spawn(move || {
            let mut sender = TypedSender::<str>::connect(path).unwrap();
            for number in 0..20 {
                sender.feed("fed").unwrap();
                sender.send_bytes(payload(number, 70_000)).unwrap();
                sender.feed("fed before a loan").unwrap();
                drop(sender.loan(50_000).unwrap());
                let mut loan = sender.loan(30_000).unwrap();
                loan.copy_from_slice(payload(number, 30_000));
                assert_eq!(*loan, *payload(number, 30_000));
                loan.send().unwrap();
                sender.send("sent").unwrap();
            }
        });
        let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<String>();
        for number in 0..20 {
            assert_eq!(receiver.recv().unwrap(), "fed");
            assert!(receiver.recv_bytes().unwrap() == payload(number, 70_000));
            assert_eq!(receiver.recv().unwrap(), "fed before a loan");
            assert!(
                receiver.set_timeout(Duration::from_secs(50)).recv_bytes().unwrap()
                    == payload(number, 30_000)
            );
            assert_eq!(receiver.recv().unwrap(), "sent");
        }
        sender.join().unwrap();
        assert_eq!(
            receiver.set_timeout(Duration::from_secs(50)).recv_bytes().unwrap_err().kind(),
            ErrorKind::Disconnected
        );
    });
}

#[test]
fn bytes_go_on_every_wire() {
    fn go<F: Framing + Clone + Send + 'static>(framing: F) {
        let wire = Wire::default().with_framing(framing);
        let pipe = Pipe::temporary().unwrap();
        let (path, theirs) = (pipe.path().clone(), wire.clone());
        let sender = thread::spawn(move || {
            let end = WriteEnd::at(path).unwrap().open().unwrap();
            let mut sender = end.into_sender_with::<u32, _, _>(theirs);
            sender.feed(&7).unwrap();
            sender.send_bytes(payload(1, 200_000)).unwrap();
            sender.feed(&8).unwrap();
            let mut loan = sender.loan(100_000).unwrap();
            loan.copy_from_slice(payload(2, 100_000));
            loan.send().unwrap();
        });
        let mut receiver = pipe.into_reader().open().unwrap().into_receiver_with::<u32, _, _>(wire);
        assert_eq!(receiver.recv().unwrap(), 7);
        assert!(receiver.recv_bytes().unwrap() == payload(1, 200_000));
        assert_eq!(receiver.recv().unwrap(), 8);
        assert!(receiver.recv_bytes().unwrap() == payload(2, 100_000));
        sender.join().unwrap();
    }
    watched(|| {
        go(LengthPrefixed::default());
        go(Checked::default());
        go(MultiWriter::default());
    });
}

#[test]
fn bytes_go_through_a_connection() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let sender = thread::spawn(move || {
            let (_, sending) = Connection::connect(path).unwrap().split();
            pour(&mut sending.into_sender(), 0..30);
        });
        let (receiving, _sending) = listener.accept().unwrap().split();
        expect(&mut receiving.into_receiver(), 0..30);
        sender.join().unwrap();
    });
}

/// What does not go in time is kept, wherever in the message that happens, and goes before anything else.
#[test]
fn bytes_that_wait_for_room_in_a_connection_arrive_whole() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let (reading, _writing) = server.split();
        let mut receiver: TypedReceiver<Vec<u8>, _> = reading.into_receiver();
        let mut sender = client.split().1.into_sender::<[u8]>();
        let sizes = [1 << 20, 16 << 10, (16 << 10) + 1, 100_000, 3 << 20];
        let receiving = thread::spawn(move || {
            for (number, size) in (0..).zip(sizes.repeat(20)) {
                assert!(receiver.recv_bytes().unwrap() == payload(number, size), "{number}");
            }
        });
        for (number, size) in (0..).zip(sizes.repeat(20)) {
            let payload = payload(number, size);
            while let Err(error) = sender.set_timeout(Duration::ZERO).send_bytes(payload) {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                if error.is_half_sent() {
                    sender.set_timeout(None).flush().unwrap();
                    break;
                }
                thread::yield_now();
            }
        }
        receiving.join().unwrap();
    });
}

#[test]
fn bytes_that_are_too_many_are_refused_and_others_go_on() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let sender = thread::spawn(move || {
            let mut sender = TypedSender::<[u8]>::connect(path).unwrap();
            let error = sender.send_bytes(&vec![0; 9 << 20]).unwrap_err();
            assert_eq!((error.kind(), error.is_half_sent()), (ErrorKind::TooLarge, false));
            assert_eq!(sender.loan(9 << 20).unwrap_err().kind(), ErrorKind::TooLarge);
            sender.send_bytes(b"small").unwrap();
        });
        let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<Vec<u8>>();
        assert_eq!(receiver.recv_bytes().unwrap(), b"small");
        assert!(receiver.recv_bytes().unwrap_err().is_disconnected());
        sender.join().unwrap();
    });
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Write};
    use std::os::unix::fs::OpenOptionsExt;

    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use rustix::fs::OFlags;
    use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
    use rustix::process::{Pid, Signal, kill_process};
    use typed_pipe::{Error, PipeOptions};

    use super::*;

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap());
        options
    }

    #[test]
    fn a30_the_smallest_pipe_carries_bytes_and_may_grow_on_the_way() {
        watched(|| {
            let options = PipeOptions::new().buffer_size(4096);
            let pipe = options.temporary().unwrap();
            let peer = peer::start_with("pour", pipe.path(), 60);
            let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<Vec<u8>>();
            expect(&mut receiver, 0..20);
            assert_eq!(receiver.get_ref().buffer_size().unwrap(), 4096, "it is as its owner said");
            fcntl_setpipe_size(receiver.get_ref(), 1 << 20).unwrap();
            expect(&mut receiver, 20..40);
            // It may be too full to become smaller.
            let _ = fcntl_setpipe_size(receiver.get_ref(), 8192);
            expect(&mut receiver, 40..60);
            // The other side waits until its goodbye is taken.
            assert_eq!(receiver.recv_bytes().unwrap_err().kind(), ErrorKind::Finished);
            peer.join();
        });
    }

    #[test]
    fn a46_a_reader_that_stands_still_or_is_killed_tears_nothing() {
        watched(|| {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().as_path().to_owned();
            // By way of a second writer, the pipe is there before anybody reads from it.
            let mut peer = peer::start_with("drain", &path, 30);
            let mut sender = pipe.into_writer().open().unwrap().into_sender::<[u8]>();
            pour(&mut sender, 0..10);
            peer.await_step(peer::READY);
            let id = Pid::from_raw(i32::try_from(peer.id()).unwrap()).unwrap();
            let stat = format!("/proc/{}/stat", peer.id());
            kill_process(id, Signal::STOP).unwrap();
            // The signal may take its time.
            while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
                thread::yield_now();
            }
            let mut number = 10;
            let error = loop {
                let payload = payload(number, size(number));
                match sender.set_timeout(Duration::from_millis(20)).send_bytes(payload) {
                    Ok(()) => number += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            kill_process(id, Signal::CONT).unwrap();
            number += usize::from(error.is_half_sent());
            sender.set_timeout(None);
            sender.flush().unwrap();
            pour(&mut sender, number..30);
            peer.join();

            // The last one has left: it is told, and the next one gets all that was not read.
            let error = sender.send_bytes(payload(0, 1 << 20)).unwrap_err();
            assert_eq!((error.kind(), error.is_half_sent()), (ErrorKind::Disconnected, false));
            let mut killed = peer::start_with("drain", &path, 1000);
            while let Err(error) =
                sender.set_timeout(Duration::ZERO).send_bytes(payload(0, size(0)))
            {
                assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
                thread::yield_now();
            }
            killed.await_step(peer::READY);
            sender.set_timeout(None);
            pour(&mut sender, 1..10);
            killed.kill();
        });
    }

    #[derive(Clone, Debug)]
    enum Do {
        SendBytes(usize),
        Loan(usize),
        LoanInVain(usize),
        Send(usize),
        Feed(usize),
        Flush,
        Read(usize),
        /// Another reader takes the place of this one, at once.
        Replace,
        /// The reader leaves; the next read is another's.
        Leave,
        /// Another writer writes to the same pipe.
        Other(usize),
        Resize(u32),
    }

    fn sizes() -> impl Strategy<Value = usize> {
        prop_oneof![0..100_usize, 16_000..20_000_usize, 60_000..90_000_usize, 0..600_000_usize]
    }

    fn anything() -> impl Strategy<Value = Do> {
        prop_oneof![
            4 => sizes().prop_map(Do::SendBytes),
            3 => sizes().prop_map(Do::Loan),
            1 => sizes().prop_map(Do::LoanInVain),
            1 => (0..3000_usize).prop_map(Do::Send),
            1 => (0..3000_usize).prop_map(Do::Feed),
            1 => Just(Do::Flush),
            6 => sizes().prop_map(Do::Read),
            1 => Just(Do::Replace),
            1 => Just(Do::Leave),
            1 => (1..4000_usize).prop_map(Do::Other),
            1 => (12..19_u32).prop_map(Do::Resize),
        ]
    }

    /// The pipe, and what must come out of it.
    struct Bench {
        path: std::path::PathBuf,
        sender: TypedSender<Vec<u8>>,
        reader: Option<File>,
        other: File,
        number: usize,
        expected: Vec<u8>,
        read: usize,
    }

    impl Bench {
        fn new(pipe: &Pipe<typed_pipe::state::Allocated>) -> Self {
            let path = pipe.path().as_path().to_owned();
            let reader = options().read(true).open(&path).unwrap();
            let other = options().write(true).open(&path).unwrap();
            // By its name, the wire has no hello: all bytes are those of the messages.
            let sender = WriteEnd::at(&path).unwrap().open().unwrap();
            let sender = sender.into_sender_with(Wire::default());
            let (number, expected, read) = (0, Vec::new(), 0);
            Self { path, sender, reader: Some(reader), other, number, expected, read }
        }

        /// Notes a message that was sent, or begun.
        fn note(&mut self, sent: Result<(), Error>, frame: &[u8]) {
            let begun = match sent {
                Ok(()) => true,
                Err(error) => {
                    let kind = error.kind();
                    assert!(
                        matches!(kind, ErrorKind::WouldBlock | ErrorKind::Disconnected),
                        "{error}"
                    );
                    error.is_half_sent()
                }
            };
            if begun {
                self.expected.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
                self.expected.extend_from_slice(frame);
            }
        }

        fn act(&mut self, act: &Do) {
            self.number += 1;
            match *act {
                Do::SendBytes(len) => {
                    let payload = payload(self.number, len);
                    let sent = self.sender.set_timeout(Duration::ZERO).send_bytes(payload);
                    self.note(sent, payload);
                }
                Do::Loan(len) => {
                    let payload = payload(self.number, len);
                    let mut loan = self.sender.set_timeout(Duration::ZERO).loan(len).unwrap();
                    loan.copy_from_slice(payload);
                    let sent = loan.send();
                    self.note(sent, payload);
                }
                Do::LoanInVain(len) => self.sender.loan(len).unwrap().fill(0xAA),
                Do::Send(len) => {
                    let value = payload(self.number, len).to_vec();
                    let sent = self.sender.try_send(&value);
                    self.note(sent, &postcard(&value));
                }
                Do::Feed(len) => {
                    // More would be written at once, and there may be no room.
                    if self.sender.pending() < 20_000 {
                        let value = payload(self.number, len).to_vec();
                        let fed = self.sender.feed(&value);
                        self.note(fed, &postcard(&value));
                    }
                }
                Do::Flush => drop(self.sender.set_timeout(Duration::ZERO).flush()),
                Do::Read(len) => drop(self.read(len)),
                Do::Replace => {
                    self.reader = Some(options().read(true).open(&self.path).unwrap());
                }
                Do::Leave => self.reader = None,
                Do::Other(len) => {
                    let bytes = payload(self.number, len);
                    if self.sender.pending() == 0 && self.other.write(bytes).is_ok() {
                        self.expected.extend_from_slice(bytes);
                    }
                }
                // It fails where there is more in the pipe.
                Do::Resize(bits) => drop(fcntl_setpipe_size(&self.other, 1 << bits)),
            }
        }

        /// Reads, compares, and tells how many bytes there were.
        fn read(&mut self, len: usize) -> usize {
            let open = || options().read(true).open(&self.path).unwrap();
            let reader = self.reader.get_or_insert_with(open);
            let mut bytes = vec![0; len];
            let read = reader.read(&mut bytes).unwrap_or(0);
            assert!(bytes[..read] == self.expected[self.read..][..read], "at {}", self.read);
            self.read += read;
            read
        }
    }

    fn postcard(value: &Vec<u8>) -> Vec<u8> {
        let mut frame = Vec::new();
        TypedSender::<Vec<u8>, _>::new(&mut frame).send(value).unwrap();
        frame.split_off(4)
    }

    proptest! {
        /// Whatever happens, the readers together get each byte once, in order, as it was when it was sent.
        #[test]
        fn a46_no_byte_changes_after_it_was_sent(acts in vec(anything(), 1..60), wide in any::<bool>()) {
            let pipe = Pipe::temporary().unwrap();
            let mut bench = Bench::new(&pipe);
            if !wide {
                fcntl_setpipe_size(&bench.other, 8192).unwrap();
            }
            assert!(fcntl_getpipe_size(&bench.other).unwrap() >= 8192);
            acts.iter().for_each(|act| bench.act(act));
            while bench.read < bench.expected.len() {
                let _ = bench.sender.set_timeout(Duration::ZERO).flush();
                let read = bench.read(100_000);
                assert!(read > 0 || bench.sender.pending() > 0, "bytes are lost");
            }
            assert_eq!(bench.read(1), 0);
        }
    }
}

#[test]
fn a_loan_that_no_frame_can_carry_is_refused_before_it_is_filled() {
    fn refused<F: Framing>(framing: F) {
        let wire = Wire::default().with_framing(framing);
        let mut sender = writer().into_sender_with::<[u8], _, _>(wire);
        for len in [101, usize::MAX] {
            let error = sender.loan(len).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge);
        }
        sender.loan(100).unwrap().fill(7);
    }
    fn writer() -> typed_pipe::WriteHalf {
        Connection::pair().unwrap().0.split().1
    }
    watched(|| {
        refused(LengthPrefixed::default().limit(100));
        refused(Checked::default().limit(100));
        refused(MultiWriter::default().limit(100));
    });
}
