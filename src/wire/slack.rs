/// Decides when a buffer that grew for a large message shrinks again.
///
/// Not at once, or a steady flow of large messages would allocate for each of them; and not never, or
/// one large message would hold its memory for good.
#[derive(Debug, Default)]
pub(super) struct Slack {
    /// How often in a row far less than the capacity was needed. Below `IDLE_ROUNDS`.
    idle: u8,
}

impl Slack {
    /// Notes that `needed` of `capacity` bytes were needed, and returns whether to free the rest.
    #[inline]
    pub(super) fn note(&mut self, needed: usize, capacity: usize) -> bool {
        if capacity <= ROOM || needed > capacity / 4 {
            self.idle = 0;
            return false;
        }
        self.idle += 1;
        if self.idle < IDLE_ROUNDS {
            return false;
        }
        self.idle = 0;
        true
    }
}

/// Shrinks a buffer to its bytes and this room.
///
/// The bytes move to a new allocation. Shrunk in place, the buffer would soon have small blocks behind it and could
/// not grow there again: each large message would leave a hole of its size in the heap.
pub(super) fn give_back(buffer: &mut Vec<u8>, room: usize) {
    let room = room.max(buffer.len());
    if buffer.capacity() > room {
        let mut small = Vec::with_capacity(room);
        small.extend_from_slice(buffer);
        *buffer = small;
    }
}

/// The capacity of a buffer for small messages, which it always keeps.
pub(super) const ROOM: usize = 64 << 10;

const IDLE_ROUNDS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(slack: &mut Slack, needed: usize, times: u8) -> Vec<bool> {
        (0..times).map(|_| slack.note(needed, 8 * ROOM)).collect()
    }

    #[test]
    fn time_passes_before_giving_back() {
        let mut slack = Slack::default();
        assert_eq!(notes(&mut slack, 1, IDLE_ROUNDS - 1), vec![false; 7]);
        assert!(slack.note(1, 8 * ROOM));
        assert!(!slack.note(1, 8 * ROOM), "it counts anew");
    }

    #[test]
    fn one_need_begins_the_count_anew() {
        let mut slack = Slack::default();
        for _ in 0..3 {
            assert!(!notes(&mut slack, 2 * ROOM, IDLE_ROUNDS - 1).contains(&true));
            assert!(!slack.note(2 * ROOM + 1, 8 * ROOM));
        }
    }

    #[test]
    fn what_is_kept_leaves_its_place() {
        let mut buffer = vec![7; 8 * ROOM];
        let before = buffer.as_ptr();
        buffer.truncate(10);
        give_back(&mut buffer, ROOM);
        assert_ne!(buffer.as_ptr(), before);
        assert_eq!((buffer.as_slice(), buffer.capacity()), ([7; 10].as_slice(), ROOM));
    }

    #[test]
    fn the_usual_room_is_always_kept() {
        let mut slack = Slack::default();
        assert!(!(0..100).any(|_| slack.note(0, ROOM)));
    }
}
