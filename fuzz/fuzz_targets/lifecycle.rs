//! Pipes, ends, listeners and connections in any order, against a plain model of what must come of it.
#![no_main]

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use typed_pipe::state::{Allocated, Closed, Open, Read};
use typed_pipe::{
    Connection, End, ErrorKind, Listener, Pipe, ReadHalf, TransitionError, WriteEnd, WriteHalf,
};

#[derive(Arbitrary, Debug)]
enum Step {
    Make(u8),
    Unlink(u8),
    OpenReader(u8),
    CloseReader(u8),
    ReaderIntoPipe(u8),
    Drop(u8),
    /// Another program removes the name.
    Steal(u8),
    OpenWriter(u8),
    CloseWriter(u8),
    Write(u8, u16),
    Read(u8, u16),
    Bind(u8),
    Connect(u8),
    Accept(u8),
    Say {
        connection: u8,
        client: bool,
        bytes: u16,
    },
    Hear {
        connection: u8,
        client: bool,
        bytes: u16,
    },
    Finish {
        connection: u8,
        client: bool,
    },
    DropSide {
        connection: u8,
        client: bool,
    },
}

const NAMES: usize = 3;
/// What a pipe and a connection have room for, whatever the pieces.
const ROOM: usize = 4096;

/// What this program has under a name.
enum Thing {
    Nothing,
    Pipe(Pipe<Allocated>),
    Reading(Box<End<Read, Open, Pipe<Allocated>>>),
    Closed(Box<End<Read, Closed, Pipe<Allocated>>>),
    Listening(Listener),
}

/// A FIFO, as the model has it: what is in it, and who has it open.
#[derive(Default)]
struct Fifo {
    held: VecDeque<u8>,
    writers: Vec<WriteEnd>,
    /// Whether the last writer has left since the present reader was opened.
    gone: bool,
    /// Whether the present reader was told of an end, which stays.
    ended: bool,
}

struct Slot {
    path: PathBuf,
    thing: Thing,
    fifo: Fifo,
    /// Writers of pipes of this name that were there before: they are nobody's any more.
    orphans: Vec<WriteEnd>,
    /// Whether the name is still there.
    named: bool,
    /// Those that connected and were not accepted.
    waiting: VecDeque<usize>,
}

/// One side of a connection.
#[derive(Default)]
struct Side {
    reader: Option<ReadHalf>,
    writer: Option<WriteHalf>,
    /// What has come for it and was not read.
    held: VecDeque<u8>,
    /// Whether the other side has ended its direction.
    ended: bool,
    /// Whether bytes were lost when the other side went: it left with some unread.
    reset: bool,
}

struct World {
    slots: Vec<Slot>,
    /// The client's side first.
    connections: Vec<[Side; 2]>,
    next: u8,
}

impl World {
    fn new(folder: &Path) -> Self {
        let slots = (0..NAMES).map(|name| Slot {
            path: folder.join(name.to_string()),
            thing: Thing::Nothing,
            fifo: Fifo::default(),
            orphans: Vec::new(),
            named: false,
            waiting: VecDeque::new(),
        });
        Self { slots: slots.collect(), connections: Vec::new(), next: 0 }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let bytes = (0..count).map(|at| self.next.wrapping_add(at as u8)).collect();
        self.next = self.next.wrapping_add(count as u8);
        bytes
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Say { connection, client, bytes } => self.say(connection, client, bytes),
            Step::Hear { connection, client, bytes } => self.hear(connection, client, bytes),
            Step::Finish { connection, client } => self.finish(connection, client),
            Step::DropSide { connection, client } => self.drop_side(connection, client),
            Step::Connect(name) => self.connect(name),
            Step::Accept(name) => self.accept(name),
            Step::Drop(name) => {
                let waiting = self.slots[at(name)].drop_thing();
                self.turn_away(waiting);
            }
            Step::Unlink(name) => {
                let slot = &mut self.slots[at(name)];
                match std::mem::replace(&mut slot.thing, Thing::Nothing) {
                    Thing::Pipe(pipe) => drop(pipe.unlink().expect("unlinked")),
                    Thing::Listening(listener) => listener.unlink().expect("unlinked"),
                    other => return slot.thing = other,
                }
                slot.named = false;
                slot.leave();
                let waiting = std::mem::take(&mut slot.waiting);
                self.turn_away(waiting);
            }
            Step::Write(name, count) => {
                let count = usize::from(count) % 500 + 1;
                let bytes = self.bytes(count);
                self.slots[at(name)].write(&bytes);
            }
            Step::Make(name) => self.slots[at(name)].make(),
            Step::Bind(name) => self.slots[at(name)].bind(),
            Step::Steal(name) => self.slots[at(name)].steal(),
            Step::OpenReader(name) => self.slots[at(name)].open_reader(),
            Step::CloseReader(name) => self.slots[at(name)].close_reader(),
            Step::ReaderIntoPipe(name) => self.slots[at(name)].into_pipe(),
            Step::OpenWriter(name) => self.slots[at(name)].open_writer(),
            Step::CloseWriter(name) => {
                let Slot { fifo, thing, .. } = &mut self.slots[at(name)];
                if fifo.writers.pop().is_some() && fifo.writers.is_empty() {
                    fifo.gone = true;
                    fifo.forget_unread(matches!(thing, Thing::Reading(_)));
                }
            }
            Step::Read(name, count) => self.slots[at(name)].read(usize::from(count) % 700 + 1),
        }
        for slot in &self.slots {
            let there = slot.path.symlink_metadata().is_ok();
            assert_eq!(there, slot.named, "{}", slot.path.display());
        }
    }

    fn connect(&mut self, name: u8) {
        let number = self.connections.len();
        let slot = &mut self.slots[at(name)];
        if slot.waiting.len() >= 100 {
            return;
        }
        let connected = Connection::try_connect(&slot.path);
        match (&slot.thing, slot.named) {
            (_, false) => assert_eq!(kind(connected), ErrorKind::NotFound),
            (Thing::Listening(_), true) => {
                let (reader, writer) = connected.expect("connected").split();
                let client = Side { reader: Some(reader), writer: Some(writer), ..Side::default() };
                self.connections.push([client, Side::default()]);
                slot.waiting.push_back(number);
            }
            _ => assert_eq!(kind(connected), ErrorKind::NotAPipe),
        }
    }

    fn accept(&mut self, name: u8) {
        let slot = &mut self.slots[at(name)];
        let Thing::Listening(listener) = &slot.thing else { return };
        let accepted = listener.try_accept();
        let Some(number) = slot.waiting.pop_front() else {
            return assert_eq!(kind(accepted), ErrorKind::WouldBlock);
        };
        let (reader, writer) = accepted.expect("accepted").split();
        let side = &mut self.connections[number][1];
        (side.reader, side.writer) = (Some(reader), Some(writer));
    }

    /// Nobody will accept these any more.
    fn turn_away(&mut self, clients: VecDeque<usize>) {
        for number in clients {
            let [client, server] = &mut self.connections[number];
            client.ended = true;
            client.reset = !server.held.is_empty();
        }
    }

    fn sides(&mut self, connection: u8, client: bool) -> Option<(&mut Side, &mut Side)> {
        let count = self.connections.len();
        let pair = self.connections.get_mut(usize::from(connection) % count.max(1))?;
        let [one, other] = pair;
        Some(if client { (one, other) } else { (other, one) })
    }

    fn say(&mut self, connection: u8, client: bool, bytes: u16) {
        let bytes = self.bytes(usize::from(bytes) % 500 + 1);
        let Some((side, other)) = self.sides(connection, client) else { return };
        let Some(writer) = &mut side.writer else { return };
        if other.held.len() + bytes.len() > ROOM {
            return;
        }
        // A server that is still to come, or one that was never accepted, counts as a reader until it is turned away.
        let heard = other.reader.is_some() || (client && !side.ended && !side.reset);
        match writer.try_write(&bytes) {
            Ok(count) => {
                assert!(heard, "written to nobody");
                assert_eq!(count, bytes.len());
                other.held.extend(bytes);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
                assert!(!heard, "there is a reader: {error}");
            }
        }
    }

    fn hear(&mut self, connection: u8, client: bool, bytes: u16) {
        let Some((side, _)) = self.sides(connection, client) else { return };
        let Some(reader) = &mut side.reader else { return };
        let mut buf = vec![0; usize::from(bytes) % 700 + 1];
        match reader.try_read(&mut buf) {
            Ok(0) => assert!(side.ended && side.held.is_empty(), "an end too early"),
            Ok(count) => {
                let expected: Vec<u8> = side.held.drain(..count).collect();
                assert_eq!(buf[..count], expected);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                assert!(side.held.is_empty() && !side.ended);
            }
        }
    }

    fn finish(&mut self, connection: u8, client: bool) {
        let Some((side, other)) = self.sides(connection, client) else { return };
        let Some(writer) = side.writer.take() else { return };
        writer.finish().expect("finished");
        other.ended = true;
    }

    fn drop_side(&mut self, connection: u8, client: bool) {
        let Some((side, other)) = self.sides(connection, client) else { return };
        if side.reader.is_none() && side.writer.is_none() {
            return;
        }
        (side.reader, side.writer) = (None, None);
        other.ended = true;
        other.reset = !side.held.is_empty();
    }
}

impl Fifo {
    /// What nobody has read when the last end is closed is gone.
    fn forget_unread(&mut self, read: bool) {
        if self.writers.is_empty() && !read {
            self.held.clear();
        }
    }
}

impl Slot {
    fn make(&mut self) {
        if !matches!(self.thing, Thing::Nothing) {
            let again = Pipe::new(&self.path).expect("a name").mkfifo();
            return assert_eq!(failure(again), ErrorKind::InUse);
        }
        let pipe = Pipe::new(&self.path).expect("a name").mkfifo().expect("made");
        self.thing = Thing::Pipe(pipe);
        self.named = true;
    }

    fn bind(&mut self) {
        if !matches!(self.thing, Thing::Nothing) {
            return assert_eq!(kind(Listener::bind(&self.path)), ErrorKind::InUse);
        }
        self.thing = Thing::Listening(Listener::bind(&self.path).expect("bound"));
        self.named = true;
    }

    fn steal(&mut self) {
        if self.named {
            fs::remove_file(&self.path).expect("removed");
            self.named = false;
        }
    }

    /// The writers of a pipe whose owner is gone.
    fn leave(&mut self) {
        self.orphans.append(&mut self.fifo.writers);
        self.fifo = Fifo::default();
    }

    fn drop_thing(&mut self) -> VecDeque<usize> {
        if !matches!(std::mem::replace(&mut self.thing, Thing::Nothing), Thing::Nothing) {
            self.named = false;
            self.leave();
        }
        std::mem::take(&mut self.waiting)
    }

    fn open_reader(&mut self) {
        let end = match std::mem::replace(&mut self.thing, Thing::Nothing) {
            Thing::Pipe(pipe) => pipe.into_reader(),
            Thing::Closed(end) => *end,
            other => return self.thing = other,
        };
        self.thing = match end.try_open() {
            Ok(open) => {
                assert!(self.named, "there is no such name");
                (self.fifo.gone, self.fifo.ended) = (false, false);
                Thing::Reading(Box::new(open))
            }
            Err(failed) => {
                let (end, error) = failed.into_parts();
                assert!(!self.named, "{error}");
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                Thing::Closed(Box::new(end))
            }
        };
    }

    fn close_reader(&mut self) {
        match std::mem::replace(&mut self.thing, Thing::Nothing) {
            Thing::Reading(end) => {
                self.thing = Thing::Closed(Box::new(end.close()));
                self.fifo.forget_unread(false);
            }
            other => self.thing = other,
        }
    }

    fn into_pipe(&mut self) {
        match std::mem::replace(&mut self.thing, Thing::Nothing) {
            Thing::Closed(end) => self.thing = Thing::Pipe(end.into_pipe()),
            other => self.thing = other,
        }
    }

    fn open_writer(&mut self) {
        let opened = WriteEnd::at(&self.path).expect("a name").try_open();
        let what = match self.thing {
            _ if !self.named => Some(ErrorKind::NotFound),
            Thing::Listening(_) => Some(ErrorKind::NotAPipe),
            Thing::Reading(_) => None,
            _ => Some(ErrorKind::WouldBlock),
        };
        match what {
            None => self.fifo.writers.push(opened.expect("opened")),
            Some(kind) => assert_eq!(failure(opened), kind),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let reading = matches!(self.thing, Thing::Reading(_));
        if self.fifo.held.len() + bytes.len() > ROOM {
            return;
        }
        let Some(writer) = self.fifo.writers.last_mut() else { return };
        match writer.try_write(bytes) {
            Ok(count) => {
                assert!(reading);
                assert_eq!(count, bytes.len());
                self.fifo.held.extend(bytes);
            }
            Err(error) => {
                assert!(!reading, "{error}");
                assert_eq!(error.kind(), ErrorKind::Disconnected);
            }
        }
    }

    fn read(&mut self, count: usize) {
        let Thing::Reading(end) = &mut self.thing else { return };
        let mut buf = vec![0; count];
        match end.try_read(&mut buf) {
            Ok(0) if self.fifo.ended => {}
            Ok(0) => {
                assert!(self.fifo.held.is_empty() && self.fifo.writers.is_empty());
                assert!(self.fifo.gone, "an end before a writer");
                self.fifo.ended = true;
            }
            Ok(count) => {
                assert!(!self.fifo.ended, "bytes after the end");
                let expected: Vec<u8> = self.fifo.held.drain(..count).collect();
                assert_eq!(buf[..count], expected);
            }
            Err(error) => {
                let silent = !self.fifo.writers.is_empty() || !self.fifo.gone;
                assert!(silent && self.fifo.held.is_empty(), "{error}");
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            }
        }
    }
}

fn at(name: u8) -> usize {
    usize::from(name) % NAMES
}

fn kind<T>(result: Result<T, typed_pipe::Error>) -> ErrorKind {
    result.err().expect("it cannot be done").kind()
}

fn failure<T, S>(result: Result<T, TransitionError<S>>) -> ErrorKind {
    kind(result.map_err(typed_pipe::Error::from))
}

fuzz_target!(|steps: Vec<Step>| {
    let before = descriptors();
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new(folder.path());
    for step in steps.iter().take(200) {
        world.step(step);
    }
    drop(world);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "names are left");
    drop(folder);
    assert_eq!(descriptors(), before, "descriptors are left");
});

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("this system has it").count()
}
