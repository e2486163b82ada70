//! The bytes of the frames of calls.
//!
//! A frame is one message of the connection's framing: a byte for its kind, whose highest bit says that it is about a call of
//! the other side; the number of the call; and what the kind asks for. Numbers have 7 bits a byte, the lowest first. The
//! rest is the body, as the codec writes it, and nothing around it.
//!
//! | kind | frame | after the number of the call |
//! |---|---|---|
//! | 1 | call | the method, the deadline in milliseconds or 0, the body |
//! | 2 | answer | the body |
//! | 3 | error | the reason in one byte, a text |
//! | 4 | item | the body |
//! | 5 | end of the caller's items | |
//! | 6 | credit | how many bytes |
//! | 7 | cancel | |
//! | 8 | closing; the number is 0 | |
//! | 9 | notification; the number is that of the method | the body |
//! | 10 | item of the caller | four bytes with a length, as long a description of it and of those after it, the body |
//!
//! Where handles go beside a frame, the second highest bit of its kind is set, and behind its first number stand how many they
//! are, how many numbers follow, and the numbers by which the system knows them.

use super::mux::{Call, Caller, Frame, Reason};
use crate::error::CodecError;

/// Bytes that are no frame of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Makes bytes of frames, and frames of bytes.
pub(crate) trait Encoding {
    /// Whether there are words for a frame. Else it is not sent.
    fn says(&self, _: &Frame<Vec<u8>>) -> bool {
        true
    }

    /// Appends a frame. An error is one of its body.
    fn write(
        &mut self,
        frame: &Frame<Vec<u8>>,
        beside: &Beside,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError>;

    /// Reads a frame.
    fn read<'b>(&'b mut self, bytes: &'b [u8]) -> Result<(Frame<&'b [u8]>, Beside), Malformed>;
}

/// What is said of the handles beside a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) count: u8,
    pub(crate) numbers: Vec<u64>,
}

impl Beside {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.numbers.is_empty()
    }
}

/// The encoding that is described above.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Binary;

/// The highest bit of a kind: the call is one of the receiver.
const OF_RECEIVER: u8 = 0x80;

/// The second highest: handles go beside it.
const WITH_HANDLES: u8 = 0x40;

impl Encoding for Binary {
    fn write(
        &mut self,
        frame: &Frame<Vec<u8>>,
        beside: &Beside,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let head = |out: &mut Vec<u8>, kind: u8, caller: Caller, number: u64| {
            let handles = if beside.is_empty() { 0 } else { WITH_HANDLES };
            let caller = if caller == Caller::Receiver { OF_RECEIVER } else { 0 };
            out.push(kind | caller | handles);
            write_number(number, out);
            if !beside.is_empty() {
                out.push(beside.count);
                write_number(u64::try_from(beside.numbers.len()).unwrap_or(u64::MAX), out);
                beside.numbers.iter().for_each(|number| write_number(*number, out));
            }
        };
        let body = match frame {
            Frame::Call(Call { id, method, deadline, body }) => {
                head(out, 1, Caller::Sender, *id);
                write_number(*method, out);
                write_number(*deadline, out);
                body
            }
            Frame::Answer { id, body } => {
                head(out, 2, Caller::Receiver, *id);
                body
            }
            Frame::Error { id, reason, text } => {
                head(out, 3, Caller::Receiver, *id);
                out.push(to_byte(*reason));
                text
            }
            Frame::Item { id, caller, told, body } => {
                head(out, if *told { 10 } else { 4 }, *caller, *id);
                body
            }
            Frame::End { id } => {
                head(out, 5, Caller::Sender, *id);
                return Ok(());
            }
            Frame::Credit { id, caller, bytes } => {
                head(out, 6, *caller, *id);
                write_number(*bytes, out);
                return Ok(());
            }
            Frame::Cancel { id } => {
                head(out, 7, Caller::Sender, *id);
                return Ok(());
            }
            Frame::Closing => {
                head(out, 8, Caller::Sender, 0);
                return Ok(());
            }
            // Its reading makes none.
            Frame::Reply(message) => message,
            Frame::Notify { method, body } => {
                head(out, 9, Caller::Sender, *method);
                body
            }
        };
        out.extend_from_slice(body);
        Ok(())
    }

    fn read<'b>(&'b mut self, bytes: &'b [u8]) -> Result<(Frame<&'b [u8]>, Beside), Malformed> {
        let mut rest = bytes;
        let kind = read_byte(&mut rest)?;
        let caller = if kind & OF_RECEIVER == 0 { Caller::Sender } else { Caller::Receiver };
        let id = read_number(&mut rest)?;
        let mut beside = Beside::default();
        if kind & WITH_HANDLES != 0 {
            beside.count = read_byte(&mut rest)?;
            let numbers = read_number(&mut rest)?;
            if numbers > u64::from(beside.count) {
                return Err(Malformed);
            }
            beside.numbers =
                (0..numbers).map(|_| read_number(&mut rest)).collect::<Result<_, _>>()?;
        }
        let frame = match (kind & !(OF_RECEIVER | WITH_HANDLES), caller) {
            (1, Caller::Sender) => {
                let (method, deadline) = (read_number(&mut rest)?, read_number(&mut rest)?);
                Frame::Call(Call { id, method, deadline, body: rest })
            }
            (2, Caller::Receiver) => Frame::Answer { id, body: rest },
            (3, Caller::Receiver) => {
                let reason = from_byte(read_byte(&mut rest)?)?;
                Frame::Error { id, reason, text: rest }
            }
            (4, _) => Frame::Item { id, caller, told: false, body: rest },
            (5, Caller::Sender) => Frame::End { id },
            (6, _) => Frame::Credit { id, caller, bytes: read_number(&mut rest)? },
            (7, Caller::Sender) => Frame::Cancel { id },
            (8, Caller::Sender) => Frame::Closing,
            (9, Caller::Sender) => Frame::Notify { method: id, body: rest },
            (10, Caller::Sender) => Frame::Item { id, caller, told: true, body: rest },
            _ => return Err(Malformed),
        };
        Ok((frame, beside))
    }
}

fn to_byte(reason: Reason) -> u8 {
    match reason {
        Reason::Failed => 0,
        Reason::Panicked => 1,
        Reason::NoSuchMethod => 2,
        Reason::Undecodable => 3,
        Reason::Cancelled => 4,
        Reason::NotTaken => 5,
    }
}

fn from_byte(byte: u8) -> Result<Reason, Malformed> {
    Ok(match byte {
        0 => Reason::Failed,
        1 => Reason::Panicked,
        2 => Reason::NoSuchMethod,
        3 => Reason::Undecodable,
        4 => Reason::Cancelled,
        5 => Reason::NotTaken,
        _ => return Err(Malformed),
    })
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7F);
        }
        out.push(low | 0x80);
    }
}

fn read_byte(bytes: &mut &[u8]) -> Result<u8, Malformed> {
    let (first, rest) = bytes.split_first().ok_or(Malformed)?;
    *bytes = rest;
    Ok(*first)
}

fn read_number(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let next = read_byte(bytes)?;
        let bits = u64::from(next & 0x7F);
        if bits << shift >> shift != bits {
            return Err(Malformed);
        }
        number |= bits << shift;
        if next & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn bytes(frame: &Frame<Vec<u8>>) -> Vec<u8> {
        let mut out = Vec::new();
        Binary.write(frame, &Beside::default(), &mut out).unwrap();
        out
    }

    #[test]
    fn golden_bytes() {
        let body = b"hi".to_vec();
        let call = Call { id: 1, method: 0, deadline: 300, body: body.clone() };
        assert_eq!(bytes(&Frame::Call(call)), b"\x01\x01\x00\xAC\x02hi");
        assert_eq!(bytes(&Frame::Answer { id: 300, body: body.clone() }), b"\x82\xAC\x02hi");
        let error = Frame::Error { id: 1, reason: Reason::Undecodable, text: body.clone() };
        assert_eq!(bytes(&error), b"\x83\x01\x03hi");
        assert_eq!(bytes(&Frame::Notify { method: 2, body: body.clone() }), b"\x09\x02hi");
        let item = |told| {
            let (caller, body) = (Caller::Sender, body.clone());
            bytes(&Frame::Item { id: 1, caller, told, body })
        };
        assert_eq!((item(false), item(true)), (b"\x04\x01hi".to_vec(), b"\x0A\x01hi".to_vec()));
        assert_eq!(bytes(&Frame::Cancel { id: 1 }), b"\x07\x01");
        assert_eq!(bytes(&Frame::Closing), b"\x08\x00");
    }

    fn any_frame() -> impl Strategy<Value = Frame<Vec<u8>>> {
        let parts = (0..9_u8, any::<(u64, u64, u64)>(), vec(any::<u8>(), 0..40));
        parts.prop_map(|(kind, (id, method, deadline), body)| {
            let caller = if method & 1 == 0 { Caller::Sender } else { Caller::Receiver };
            match kind {
                0 => Frame::Call(Call { id, method, deadline, body }),
                1 => Frame::Notify { method, body },
                2 => Frame::Answer { id, body },
                3 => Frame::Error { id, reason: Reason::NotTaken, text: body },
                4 => {
                    let told = caller == Caller::Sender && method & 2 != 0;
                    Frame::Item { id, caller, told, body }
                }
                5 => Frame::End { id },
                6 => Frame::Credit { id, caller, bytes: method },
                7 => Frame::Cancel { id },
                _ => Frame::Closing,
            }
        })
    }

    fn borrowed(frame: &Frame<Vec<u8>>) -> Frame<&[u8]> {
        match frame {
            Frame::Call(Call { id, method, deadline, body }) => {
                Frame::Call(Call { id: *id, method: *method, deadline: *deadline, body })
            }
            Frame::Notify { method, body } => Frame::Notify { method: *method, body },
            Frame::Answer { id, body } => Frame::Answer { id: *id, body },
            Frame::Error { id, reason, text } => Frame::Error { id: *id, reason: *reason, text },
            Frame::Item { id, caller, told, body } => {
                Frame::Item { id: *id, caller: *caller, told: *told, body }
            }
            Frame::End { id } => Frame::End { id: *id },
            Frame::Credit { id, caller, bytes } => {
                Frame::Credit { id: *id, caller: *caller, bytes: *bytes }
            }
            Frame::Cancel { id } => Frame::Cancel { id: *id },
            Frame::Closing => Frame::Closing,
            Frame::Reply(message) => Frame::Reply(message),
        }
    }

    proptest! {
        #[test]
        fn a_frame_comes_back_as_it_was(frame in any_frame()) {
            let bytes = bytes(&frame);
            let mut encoding = Binary;
            prop_assert_eq!(encoding.read(&bytes), Ok((borrowed(&frame), Beside::default())));
        }

        #[test]
        fn handles_are_told_beside_a_frame(frame in any_frame(), count in any::<u8>(), number in any::<u64>()) {
            let mut bytes = Vec::new();
            let beside = Beside { count, numbers: vec![number; usize::from(count.min(2))] };
            Binary.write(&frame, &beside, &mut bytes).unwrap();
            let mut encoding = Binary;
            prop_assert_eq!(encoding.read(&bytes), Ok((borrowed(&frame), beside)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..60)) {
            let _ = Binary.read(&bytes);
        }
    }
}
