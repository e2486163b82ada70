//! Many writers, whose fragments are mixed, cut off and left out: what comes is what was sent, in the order of each, and
//! what does not come is told.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use typed_pipe::wire::{Decoder, Encoder, MultiWriter, Wire};
use typed_pipe::{Error, ErrorKind};
use typed_pipe_fuzz::arrive;

#[derive(Arbitrary, Debug)]
struct Input {
    atomic_write: u16,
    small: bool,
    piece: u16,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// A writer sends a message of some length.
    Send { writer: u8, length: u16 },
    /// The next fragments of a writer arrive.
    Write { writer: u8, fragments: u8 },
    /// The next fragment of a writer is lost on the way, as where another reader has it.
    Steal { writer: u8 },
    /// A writer is killed: what it has not written never comes.
    Kill { writer: u8 },
    /// A writer says that this was all.
    Goodbye { writer: u8 },
}

/// What a message looks like: whose it is, and its number, at the front.
type Message = (u8, u32, Vec<u8>);

struct Writer {
    encoder: Encoder<MultiWriter>,
    /// The fragments that are not written yet, each with the message that it is of.
    waiting: Vec<(Option<u32>, Vec<u8>)>,
    /// Those of which something was written, and whether all was, and nothing was stolen.
    begun: BTreeMap<u32, Fate>,
    sent: u32,
    /// Whether a fragment was stolen: then an introduction may be missing, and what comes is a matter of luck.
    robbed: bool,
}

#[derive(Default)]
struct Fate {
    fragments: usize,
    arrived: usize,
    length: usize,
}

const WRITERS: u8 = 6;

fn body(writer: u8, number: u32, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u8) ^ (at >> 8) as u8 ^ writer ^ number as u8).collect()
}

struct World {
    writers: Vec<Writer>,
    decoder: Decoder<MultiWriter>,
    piece: usize,
    received: Vec<(u8, u32)>,
    lost: usize,
}

impl World {
    fn new(input: &Input) -> Self {
        let shared = MultiWriter::default();
        let shared = if input.small {
            shared.total_limit(3000).stall_limit(20_000).limit(9000)
        } else {
            shared
        };
        let atomic_write = usize::from(input.atomic_write);
        let writers = (0..WRITERS).map(|_| Writer::new(atomic_write)).collect();
        let decoder = Decoder::new(Wire::default().with_framing(shared));
        let piece = usize::from(input.piece).max(1);
        Self { writers, decoder, piece, received: Vec::new(), lost: 0 }
    }

    fn write(&mut self, writer: u8, fragments: usize) {
        let from = &mut self.writers[usize::from(writer)];
        let mut bytes = Vec::new();
        for (number, fragment) in from.waiting.drain(..fragments.min(from.waiting.len())) {
            if let Some(fate) = number.and_then(|number| from.begun.get_mut(&number)) {
                fate.arrived += 1;
            }
            bytes.extend(fragment);
        }
        for piece in bytes.chunks(self.piece) {
            arrive(&mut self.decoder, piece);
            loop {
                match self.decoder.step() {
                    Ok(true) => self.take(),
                    Ok(false) => break,
                    Err(error) => self.note(&error),
                }
            }
        }
    }

    fn take(&mut self) {
        let (writer, number, bytes): Message = self.decoder.message().expect("a message");
        assert!(self.decoder.wire().framing().writer().is_some());
        let fate = &self.writers[usize::from(writer)].begun[&number];
        assert_eq!(bytes, body(writer, number, fate.length));
        assert_eq!(fate.arrived, fate.fragments, "a message that did not arrive as a whole");
        self.received.push((writer, number));
    }

    fn note(&mut self, error: &Error) {
        assert!(matches!(error.kind(), ErrorKind::MessageLost | ErrorKind::TooLarge), "{error}");
        assert!(!error.is_fatal());
        self.lost += 1;
    }
}

impl Writer {
    fn new(atomic_write: usize) -> Self {
        let mut encoder = Encoder::new(Wire::default().with_framing(MultiWriter::default()));
        encoder.atomic_write(atomic_write);
        Self { encoder, waiting: Vec::new(), begun: BTreeMap::new(), sent: 0, robbed: false }
    }

    fn send(&mut self, writer: u8, length: usize) {
        let number = self.sent;
        self.sent += 1;
        self.encoder.stage(&(writer, number, body(writer, number, length))).expect("a message");
        let fragments = self.fragments();
        // An introduction is a fragment of its own, and no part of the message.
        let of_it = fragments.iter().filter(|fragment| fragment[3] & 4 == 0).count();
        self.begun.insert(number, Fate { fragments: of_it, arrived: 0, length });
        let marked = fragments.into_iter().map(|fragment| {
            let number = (fragment[3] & 4 == 0).then_some(number);
            (number, fragment)
        });
        self.waiting.extend(marked);
    }

    /// All that the encoder has, fragment by fragment.
    fn fragments(&mut self) -> Vec<Vec<u8>> {
        let mut fragments = Vec::new();
        while self.encoder.staged() > 0 {
            let mut write = self.encoder.pending().to_vec();
            self.encoder.advance(write.len());
            while !write.is_empty() {
                let length = usize::from(u16::from_be_bytes([write[0], write[1]]));
                let rest = write.split_off(length);
                fragments.push(write);
                write = rest;
            }
        }
        fragments
    }
}

fuzz_target!(|input: Input| {
    let mut world = World::new(&input);
    let mut stolen = false;
    let mut killed = Vec::new();
    for step in &input.steps {
        match *step {
            Step::Send { writer, length } => {
                let writer = writer % WRITERS;
                world.writers[usize::from(writer)].send(writer, usize::from(length % 12_000));
            }
            Step::Write { writer, fragments } => world.write(writer % WRITERS, fragments.into()),
            Step::Steal { writer } => {
                let writer = &mut world.writers[usize::from(writer % WRITERS)];
                if !writer.waiting.is_empty() {
                    writer.waiting.remove(0);
                    writer.robbed = true;
                    stolen = true;
                }
            }
            Step::Kill { writer } => {
                let writer = &mut world.writers[usize::from(writer % WRITERS)];
                writer.waiting.clear();
                killed.push(std::mem::replace(
                    &mut writer.encoder,
                    Writer::new(input.atomic_write.into()).encoder,
                ));
            }
            Step::Goodbye { writer } => {
                let writer = &mut world.writers[usize::from(writer % WRITERS)];
                assert!(writer.encoder.stage_goodbye());
                let goodbye = writer.fragments().into_iter().map(|fragment| (None, fragment));
                writer.waiting.extend(goodbye);
            }
        }
    }
    for writer in 0..WRITERS {
        world.write(writer, usize::MAX);
    }
    loop {
        let end = world.decoder.end();
        match end.kind() {
            ErrorKind::MessageLost => world.note(&end),
            ErrorKind::Disconnected | ErrorKind::Finished => break,
            other => panic!("{other:?}"),
        }
    }

    // In the order of each writer, and none twice.
    let mut last = BTreeMap::new();
    for (writer, number) in &world.received {
        if let Some(before) = last.insert(writer, number) {
            assert!(before < number);
        }
    }
    // What arrived as a whole comes, unless there was no room or an introduction was stolen.
    let (mut whole, mut torn) = (0, 0);
    for (name, writer) in world.writers.iter().enumerate() {
        for (number, fate) in &writer.begun {
            let received = world.received.contains(&(name as u8, *number));
            if fate.arrived == fate.fragments && !writer.robbed {
                whole += 1;
                assert!(received || input.small, "writer {name}, message {number} did not come");
            } else if fate.arrived > 0 && !received {
                torn += 1;
            }
        }
    }
    if !stolen && !input.small {
        assert_eq!(world.lost, torn, "what is torn is told, and nothing else");
    } else if !stolen {
        assert!(world.lost >= torn + whole - world.received.len(), "each is told");
    }
});
