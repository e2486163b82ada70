//! The calls of one connection: a state machine without I/O. Both sides may call.
//!
//! It knows no bytes: [frames](Frame) come in and go out as values, and an [encoding](super::encoding) makes bytes of
//! them. It knows no threads and no tasks either: a driver says what waits for an answer (`W`) and what handles a call
//! (`H`).

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hasher};
use std::mem;

/// The number of a call, given by the side that calls.
pub(crate) type Id = u64;

/// The side that made the call that a frame is about, as the sender of the frame sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Sender,
    Receiver,
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its handler failed.
    Failed,
    /// Its handler panicked.
    Panicked,
    /// There is no such method.
    NoSuchMethod,
    /// Its request cannot be decoded.
    Undecodable,
    /// It was cancelled, by its caller.
    Cancelled,
    /// The other side takes no further calls, and has not handled it.
    NotTaken,
}

/// A request, with its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call<B> {
    pub(crate) id: Id,
    pub(crate) method: u64,
    /// The milliseconds that the caller waits; 0 if it sets no deadline.
    pub(crate) deadline: u64,
    pub(crate) body: B,
}

/// A message of the call layer, with a body or a text in `B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<B> {
    Call(Call<B>),
    /// A call without an answer.
    Notify {
        method: u64,
        body: B,
    },
    /// The last frame of a call that went well.
    Answer {
        id: Id,
        body: B,
    },
    /// The last frame of a call that did not.
    Error {
        id: Id,
        reason: Reason,
        text: B,
    },
    /// One of many requests of a call, or one of many answers.
    Item {
        id: Id,
        caller: Caller,
        /// Whether the body is behind what it looks like, as those after it do. Items of a handler never are.
        told: bool,
        body: B,
    },
    /// The caller sends no further items.
    End {
        id: Id,
    },
    /// So many bytes of items were consumed.
    Credit {
        id: Id,
        caller: Caller,
        bytes: u64,
    },
    /// The caller waits no longer.
    Cancel {
        id: Id,
    },
    /// The sender takes no further calls.
    Closing,
    /// What the encoding answers by itself to bytes that are no frame.
    #[cfg_attr(not(feature = "json"), allow(dead_code, reason = "of JSON-RPC"))]
    Reply(B),
}

/// A frame that the other side must not send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation;

/// What a received frame means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<B, W, H> {
    /// A call to handle. It has its place already.
    Call(Call<B>),
    Notify {
        method: u64,
        body: B,
    },
    /// A call of this side is over.
    Done {
        waiter: W,
        outcome: Result<B, (Reason, B)>,
    },
    /// An item of the answer.
    Item {
        waiter: W,
        body: B,
    },
    /// This side may send further items of a request.
    MaySend {
        waiter: W,
    },
    /// An item of the request; its body may be behind what it looks like.
    RequestItem {
        handler: H,
        told: bool,
        body: B,
    },
    /// There are no further items of the request.
    RequestEnd {
        handler: H,
    },
    /// The handler may send further items.
    HandlerMaySend {
        handler: H,
    },
    /// The caller waits no longer.
    Cancelled {
        handler: H,
    },
    Closing,
    /// This is to be sent.
    Reply(B),
    /// The frame is about a call that is over here: they crossed.
    Stale,
}

/// The bytes of items that may be on their way in one direction of one call.
pub(crate) const WINDOW: i64 = 256 << 10;

/// The same, where the other side knows of no window.
const WITHOUT_CREDIT: i64 = 16 << 20;

/// The most calls of one side at once.
pub(crate) const MOST_CALLS: usize = 1 << PLACE_BITS;

const PLACE_BITS: u32 = 12;

/// What an item takes of the window.
pub(crate) fn cost(body: &[u8]) -> i64 {
    i64::try_from(body.len()).unwrap_or(i64::MAX).saturating_add(16)
}

/// The items of one call, in both directions.
#[derive(Debug)]
struct Flow {
    /// How much this side may still send. The last item may go beyond.
    room: i64,
    /// How much has arrived and was not given back.
    arrived: i64,
    /// How much of that was consumed.
    consumed: i64,
}

impl Default for Flow {
    fn default() -> Self {
        Self { room: WINDOW, arrived: 0, consumed: 0 }
    }
}

impl Flow {
    fn arrive(&mut self, cost: i64, window: i64) -> Result<(), Violation> {
        if self.arrived >= window {
            return Err(Violation);
        }
        self.arrived = self.arrived.saturating_add(cost);
        Ok(())
    }

    fn credit(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.room = self.room.saturating_add(bytes).min(WINDOW);
    }
}

/// A call of this side. Without a waiter it is given up, and keeps its place until the other side is done with it.
#[derive(Debug)]
struct Mine<W> {
    waiter: Option<W>,
    flow: Flow,
}

/// A call of the other side.
#[derive(Debug)]
struct Theirs<H> {
    handler: Option<H>,
    flow: Flow,
}

/// Whether an item can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Taken,
    /// Only after the other side has consumed more.
    None,
    /// The call is over.
    Over,
}

/// The calls of this side, in places that are used again. A number tells the place, and how often it was used before.
#[derive(Debug)]
struct Places<T> {
    places: Vec<(u64, Option<T>)>,
    free: Vec<usize>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Places<T> {
    fn insert(&mut self, value: T, most: usize) -> Option<Id> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.places.len() < most => {
                self.places.push((0, None));
                self.places.len() - 1
            }
            None => return None,
        };
        let (turn, content) = self.places.get_mut(place)?;
        *content = Some(value);
        Some(*turn << PLACE_BITS | u64::try_from(place).ok()?)
    }

    fn place(id: Id) -> usize {
        usize::try_from(id).unwrap_or(usize::MAX) & (MOST_CALLS - 1)
    }

    fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let (turn, content) = self.places.get_mut(Self::place(id))?;
        if *turn == id >> PLACE_BITS { content.as_mut() } else { None }
    }

    fn remove(&mut self, id: Id) -> Option<T> {
        let place = Self::place(id);
        let (turn, content) = self.places.get_mut(place)?;
        if *turn != id >> PLACE_BITS {
            return None;
        }
        let content = content.take()?;
        *turn += 1;
        self.free.push(place);
        Some(content)
    }

    fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// Spreads the numbers that the other side gives by a factor that it does not know.
#[derive(Debug)]
struct Spread {
    factor: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { factor: RandomState::new().hash_one(0_u64) | 1 }
    }
}

impl BuildHasher for Spread {
    type Hasher = Spreading;

    fn build_hasher(&self) -> Spreading {
        Spreading { factor: self.factor, hash: 0 }
    }
}

#[derive(Debug)]
struct Spreading {
    factor: u64,
    hash: u64,
}

impl Hasher for Spreading {
    fn write_u64(&mut self, number: u64) {
        let mixed = u128::from(self.hash ^ number) * u128::from(self.factor);
        let [high, low] = [mixed >> 64, mixed & u128::from(u64::MAX)];
        self.hash = u64::try_from(high ^ low).unwrap_or_default();
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// The calls of one connection.
#[derive(Debug)]
pub(crate) struct Mux<W, H> {
    mine: Places<Mine<W>>,
    theirs: HashMap<Id, Theirs<H>, Spread>,
    /// How many calls of this side the other one takes at once, and this side of the other.
    most_mine: usize,
    most_theirs: usize,
    /// The bytes of items of one call that may wait here to be consumed.
    window: i64,
}

impl<W, H> Mux<W, H> {
    /// Each side handles at most so many calls of the other at once.
    pub(crate) fn new(most_mine: usize, most_theirs: usize) -> Self {
        let most_mine = most_mine.min(MOST_CALLS);
        let (mine, theirs) = (Places::default(), HashMap::default());
        Self { mine, theirs, most_mine, most_theirs, window: WINDOW }
    }

    /// The other side knows of no window: so much may wait here, and then it is a violation.
    pub(crate) fn without_credit(&mut self) {
        self.window = WITHOUT_CREDIT;
    }

    /// A place for a call of this side, if one is free: its number.
    pub(crate) fn call(&mut self, waiter: W) -> Option<Id> {
        let mine = Mine { waiter: Some(waiter), flow: Flow::default() };
        self.mine.insert(mine, self.most_mine)
    }

    /// Gives up a call that the other side knows of. Returns whether it has to be told; the place is free when it is done
    /// with the call.
    pub(crate) fn cancel(&mut self, id: Id) -> bool {
        self.mine.get_mut(id).is_some_and(|mine| mine.waiter.take().is_some())
    }

    /// Whether something waits for a call of this side.
    pub(crate) fn is_awaited(&mut self, id: Id) -> bool {
        self.mine.get_mut(id).is_some_and(|mine| mine.waiter.is_some())
    }

    /// Gives up a call of which nothing was sent.
    pub(crate) fn forget(&mut self, id: Id) -> Option<W> {
        self.mine.remove(id)?.waiter
    }

    /// Sets what handles a call of the other side.
    pub(crate) fn handled_by(&mut self, id: Id, handler: H) {
        if let Some(call) = self.theirs.get_mut(&id) {
            call.handler = Some(handler);
        }
    }

    /// A call of the other side gets its last frame. Returns whether it was still open.
    pub(crate) fn answered(&mut self, id: Id) -> bool {
        self.theirs.remove(&id).is_some()
    }

    /// Whether the other side may begin a call, beside so many of which it has not read the answer.
    pub(crate) fn has_room(&self, unread: usize) -> bool {
        self.theirs.len() + unread < self.most_theirs
    }

    /// How many calls are in flight: those of this side, and those of the other.
    pub(crate) fn in_flight(&self) -> (usize, usize) {
        (self.mine.len(), self.theirs.len())
    }

    /// Takes the room for an item that this side sends, in a call of the given side as this one sees it.
    pub(crate) fn send_item(&mut self, id: Id, caller: Caller, cost: i64) -> Room {
        let Some(flow) = self.flow(id, caller) else { return Room::Over };
        if flow.room <= 0 {
            return Room::None;
        }
        flow.room = flow.room.saturating_sub(cost);
        Room::Taken
    }

    /// Items were consumed here. Returns how much to give back to their producer now, if anything.
    pub(crate) fn consume(&mut self, id: Id, caller: Caller, cost: i64) -> Option<u64> {
        let flow = self.flow(id, caller)?;
        flow.consumed = flow.consumed.saturating_add(cost);
        if flow.consumed < WINDOW / 2 {
            return None;
        }
        flow.arrived = flow.arrived.saturating_sub(flow.consumed);
        u64::try_from(mem::take(&mut flow.consumed)).ok()
    }

    fn flow(&mut self, id: Id, caller: Caller) -> Option<&mut Flow> {
        match caller {
            Caller::Sender => {
                let mine = self.mine.get_mut(id).filter(|mine| mine.waiter.is_some())?;
                Some(&mut mine.flow)
            }
            Caller::Receiver => self.theirs.get_mut(&id).map(|call| &mut call.flow),
        }
    }

    /// All that handles a call of the other side.
    pub(crate) fn handlers(&self) -> impl Iterator<Item = H>
    where
        H: Clone,
    {
        self.theirs.values().filter_map(|call| call.handler.clone())
    }

    /// All that wait for answers, where none come any more.
    pub(crate) fn lose_mine(&mut self) -> Vec<(Id, W)> {
        let places = mem::take(&mut self.mine).places.into_iter().enumerate();
        let mine = places.filter_map(|(place, (turn, mine))| {
            let id = turn << PLACE_BITS | u64::try_from(place).ok()?;
            Some((id, mine?.waiter?))
        });
        mine.collect()
    }

    /// All that wait and handle, where nothing comes any more.
    pub(crate) fn lose(&mut self) -> (Vec<(Id, W)>, Vec<H>) {
        let mine = self.lose_mine();
        let theirs = mem::take(&mut self.theirs).into_values().filter_map(|call| call.handler);
        (mine, theirs.collect())
    }
}

impl<W: Clone, H: Clone> Mux<W, H> {
    /// Takes note of a frame.
    pub(crate) fn receive<B: AsRef<[u8]>>(
        &mut self,
        frame: Frame<B>,
    ) -> Result<Event<B, W, H>, Violation> {
        let window = self.window;
        Ok(match frame {
            Frame::Call(call) => {
                let is_full = self.theirs.len() >= self.most_theirs;
                match self.theirs.entry(call.id) {
                    Entry::Vacant(place) if !is_full => {
                        place.insert(Theirs { handler: None, flow: Flow::default() });
                    }
                    _ => return Err(Violation),
                }
                Event::Call(call)
            }
            Frame::Notify { method, body } => Event::Notify { method, body },
            Frame::Answer { id, body } => self.done(id, Ok(body)),
            Frame::Error { id, reason, text } => self.done(id, Err((reason, text))),
            Frame::Item { id, caller: Caller::Receiver, body, .. } => match self.mine.get_mut(id) {
                Some(Mine { waiter: Some(waiter), flow }) => {
                    flow.arrive(cost(body.as_ref()), window)?;
                    Event::Item { waiter: waiter.clone(), body }
                }
                _ => Event::Stale,
            },
            Frame::Item { id, caller: Caller::Sender, told, body } => {
                match self.theirs.get_mut(&id) {
                    Some(Theirs { handler: Some(handler), flow }) => {
                        flow.arrive(cost(body.as_ref()), window)?;
                        Event::RequestItem { handler: handler.clone(), told, body }
                    }
                    _ => Event::Stale,
                }
            }
            Frame::Credit { id, caller: Caller::Receiver, bytes } => match self.mine.get_mut(id) {
                Some(Mine { waiter: Some(waiter), flow }) => {
                    flow.credit(bytes);
                    Event::MaySend { waiter: waiter.clone() }
                }
                _ => Event::Stale,
            },
            Frame::Credit { id, caller: Caller::Sender, bytes } => match self.theirs.get_mut(&id) {
                Some(call) => {
                    call.flow.credit(bytes);
                    let handler = call.handler.clone();
                    handler.map_or(Event::Stale, |handler| Event::HandlerMaySend { handler })
                }
                None => Event::Stale,
            },
            Frame::End { id } => {
                self.handler(id).map_or(Event::Stale, |handler| Event::RequestEnd { handler })
            }
            Frame::Cancel { id } => {
                self.handler(id).map_or(Event::Stale, |handler| Event::Cancelled { handler })
            }
            Frame::Closing => Event::Closing,
            Frame::Reply(message) => Event::Reply(message),
        })
    }

    fn done<B>(&mut self, id: Id, outcome: Result<B, (Reason, B)>) -> Event<B, W, H> {
        let waiter = self.mine.remove(id).and_then(|mine| mine.waiter);
        waiter.map_or(Event::Stale, |waiter| Event::Done { waiter, outcome })
    }

    /// What handles a call of the other side.
    pub(crate) fn handler(&self, id: Id) -> Option<H> {
        self.theirs.get(&id).and_then(|call| call.handler.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Side = Mux<u32, u64>;

    fn call(id: Id, body: &'static [u8]) -> Frame<&'static [u8]> {
        Frame::Call(Call { id, method: 0, deadline: 0, body })
    }

    #[test]
    fn a_call_gets_its_own_answer_once() {
        let mut side = Side::new(8, 8);
        let (one, two) = (side.call(1).unwrap(), side.call(2).unwrap());
        let done = side.receive(Frame::Answer { id: two, body: &b"two"[..] }).unwrap();
        assert_eq!(done, Event::Done { waiter: 2, outcome: Ok(&b"two"[..]) });
        assert_eq!(side.receive(Frame::Answer { id: two, body: &b""[..] }), Ok(Event::Stale));
        let reused = side.call(3).unwrap();
        assert_ne!(reused, two, "a number is never used twice");
        assert_eq!(side.forget(one), Some(1));
        assert_eq!(side.in_flight(), (1, 0));
    }

    #[test]
    fn a_cancelled_call_keeps_its_place_until_the_other_side_is_done() {
        let mut side = Side::new(1, 8);
        let id = side.call(1).unwrap();
        assert!(side.cancel(id) && !side.cancel(id));
        assert_eq!(side.call(2), None, "the other side still handles it");
        let late = Frame::Error { id, reason: Reason::Cancelled, text: &b""[..] };
        assert_eq!(side.receive(late), Ok(Event::Stale));
        assert!(side.call(2).is_some());
    }

    #[test]
    fn more_calls_than_agreed_and_calls_that_are_open_are_violations() {
        let mut side = Side::new(8, 2);
        side.receive(call(5, b"")).unwrap();
        assert_eq!(side.receive(call(5, b"")), Err(Violation));
        side.receive(call(6, b"")).unwrap();
        assert_eq!(side.receive(call(7, b"")), Err(Violation));
        assert!(side.answered(5) && !side.answered(5));
        side.receive(call(7, b"")).unwrap();
    }

    #[test]
    fn items_have_a_window_and_credit_opens_it_again() {
        let (mut caller, mut handler) = (Side::new(8, 8), Side::new(8, 8));
        let id = caller.call(1).unwrap();
        handler.receive(call(id, b"")).unwrap();
        handler.handled_by(id, 9);
        let item = vec![0; 100 << 10];
        let cost = cost(&item);
        let body = item.as_slice();
        let frame = || Frame::Item { id, caller: Caller::Receiver, told: false, body };
        let mut sent = 0;
        while handler.send_item(id, Caller::Receiver, cost) == Room::Taken {
            caller.receive(frame()).unwrap();
            sent += 1;
        }
        assert_eq!(sent, 3, "the last one may go beyond the window");
        assert_eq!(caller.receive(frame()).map(drop), Err(Violation));
        assert_eq!(caller.consume(id, Caller::Sender, cost), None);
        let bytes = caller.consume(id, Caller::Sender, cost).unwrap();
        let credit = Frame::Credit { id, caller: Caller::Sender, bytes };
        let may = handler.receive::<&[u8]>(credit).unwrap();
        assert_eq!(may, Event::HandlerMaySend { handler: 9 });
        assert_eq!(handler.send_item(id, Caller::Receiver, cost), Room::Taken);
        let all = Frame::Credit { id, caller: Caller::Sender, bytes: u64::MAX };
        handler.receive::<&[u8]>(all).unwrap();
        assert_eq!(handler.send_item(id, Caller::Receiver, i64::MAX), Room::Taken);
        assert_eq!(handler.send_item(id, Caller::Receiver, 1), Room::None);
    }

    #[test]
    fn all_that_wait_are_told_of_a_loss() {
        let mut side = Side::new(8, 8);
        let ids = [1, 2, 3].map(|waiter| side.call(waiter).unwrap());
        assert!(side.cancel(ids[1]));
        side.receive(call(0, b"")).unwrap();
        side.handled_by(0, 7);
        assert_eq!(side.lose(), (vec![(ids[0], 1), (ids[2], 3)], vec![7]));
        assert_eq!(side.receive(Frame::Answer { id: ids[0], body: b"" }), Ok(Event::Stale));
    }

    proptest! {
        /// Two sides call each other over a queue that loses nothing: each call is handled once at most and over once
        /// exactly, with its own answer, whatever is cancelled and in whatever order answers go.
        #[test]
        fn calls_of_two_sides_cross_and_are_never_mixed(steps in vec((0..2_usize, 0..4_u8, any::<u16>()), 0..300)) {
            let most = 5;
            let mut sides = [Side::new(most, most), Side::new(most, most)];
            let mut wires: [VecDeque<Frame<Vec<u8>>>; 2] = Default::default();
            let (mut open, mut to_answer) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
            let (mut next, mut over, mut handled) = (0_u32, HashSet::new(), HashSet::new());
            let drain = (0..4 * steps.len()).flat_map(|_| [(0, 2, 0), (1, 2, 0), (0, 1, 0), (1, 1, 0)]);
            for (here, what, choice) in steps.into_iter().chain(drain) {
                let there = 1 - here;
                match what {
                    0 => {
                        if let Some(id) = sides[here].call(next) {
                            let body = next.to_be_bytes().to_vec();
                            wires[here].push_back(Frame::Call(Call { id, method: 1, deadline: 0, body }));
                            open[here].push((id, next));
                            next += 1;
                        }
                    }
                    1 => {
                        let Some(frame) = wires[there].pop_front() else { continue };
                        match sides[here].receive(frame).unwrap() {
                            Event::Call(call) => {
                                prop_assert!(handled.insert(call.body.clone()), "handled twice");
                                to_answer[here].push((call.id, call.body));
                            }
                            Event::Done { waiter, outcome } => {
                                prop_assert_eq!(outcome, Ok(waiter.to_be_bytes().to_vec()));
                                prop_assert!(over.insert(waiter), "answered twice");
                                open[here].retain(|(_, of)| *of != waiter);
                            }
                            _ => {}
                        }
                    }
                    2 => {
                        if to_answer[here].is_empty() { continue }
                        let place = usize::from(choice) % to_answer[here].len();
                        let (id, body) = to_answer[here].swap_remove(place);
                        prop_assert!(sides[here].answered(id));
                        wires[here].push_back(Frame::Answer { id, body });
                    }
                    _ => {
                        if open[here].is_empty() { continue }
                        let place = usize::from(choice) % open[here].len();
                        let (id, waiter) = open[here].swap_remove(place);
                        prop_assert!(sides[here].cancel(id));
                        wires[here].push_back(Frame::Cancel { id });
                        prop_assert!(over.insert(waiter));
                    }
                }
            }
            prop_assert_eq!(over.len(), usize::try_from(next).unwrap(), "a call was forgotten");
            for side in &sides {
                prop_assert_eq!(side.in_flight(), (0, 0));
            }
        }

        /// Whatever a hostile side sends is an event or a violation, and takes no more places than agreed.
        #[test]
        fn any_frames_are_taken_without_a_panic(frames in vec((0..9_u8, 0..20_u64, any::<u64>()), 0..200)) {
            let mut side = Side::new(4, 4);
            (0..4).for_each(|waiter| assert!(side.call(waiter).is_some()));
            for (kind, id, number) in frames {
                let body = vec![0_u8; usize::try_from(number % 70_000).unwrap()];
                let caller = if number & 1 == 0 { Caller::Sender } else { Caller::Receiver };
                let event = side.receive(match kind {
                    0 => Frame::Call(Call { id, method: number, deadline: number, body }),
                    1 => Frame::Notify { method: number, body },
                    2 => Frame::Answer { id, body },
                    3 => Frame::Error { id, reason: Reason::Failed, text: body },
                    4 => Frame::Item { id, caller, told: number & 2 != 0, body },
                    5 => Frame::End { id },
                    6 => Frame::Credit { id, caller, bytes: number },
                    7 => Frame::Cancel { id },
                    _ => Frame::Closing,
                });
                if let Ok(Event::Call(call)) = event {
                    side.handled_by(call.id, number);
                }
                prop_assert!(side.in_flight().0 <= 4 && side.in_flight().1 <= 4);
            }
        }
    }
}
