//! Framings and codecs: the bytes of a channel, without I/O.
//!
//! A [`Wire`] is a pair: a [`Framing`] marks the end of a message, a [`Codec`] encodes a value. An
//! [`Encoder`] and a [`Decoder`] apply it to bytes in memory; the channels of this crate are a
//! loop around them, and so can be a transport of your own. [A wire of your own](crate::your_own_wire) builds framings
//! and a codec.
//!
//! | framing | for |
//! |---|---|
//! | [`LengthPrefixed`], the default | one writer; the bytes of tokio-util's `LengthDelimitedCodec` |
//! | [`Checked`] | the same, with a CRC-32 that finds damage |
//! | [`MultiWriter`] | many writers on one pipe; the receiver knows the writer of each message |
//! | those of [`foreign`] | lines of text and JSON, xp-named-pipe, npipes, PipeCom |
//!
//! | codec | for |
//! |---|---|
//! | [`Postcard`], the default | small and fast; both sides must have the same type; no `untagged`, no `flatten` |
//! | `Json`, with the feature `json` | people, and programs with other versions of the type |
//! | `Bincode`, with the feature `bincode` | programs that speak bincode 2, which is no longer maintained |
//! | [`Plain`] | text and bytes as they are |
//! | [`DepthLimit`] around another one | recursive types of a peer that is not trusted |
//!
//! # The formats, byte by byte
//!
#![cfg_attr(doc, doc = include_str!("../../docs/wires.svg"))]
//!
//! [`LengthPrefixed`], the default:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | `length`: how many bytes the payload has, big-endian. From `0xFFFF_FF00` up: not a length |
//! | `length` | the payload, one value as the codec writes it |
//!
//! [`Checked`]:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | `length`: how many bytes the payload has, big-endian. From `0xFFFF_FF00` up: not a length |
//! | `length` | the payload, one value as the codec writes it |
//! | 4 | CRC-32/ISO-HDLC of all bytes before, header and payload, big-endian |
//!
//! `0xFFFF_FF03` in place of a length begins a [hello](shape#the-hello): 8 bytes of fingerprint, 4 bytes with the length of
//! the description, and the description. Senders on a named pipe that are made without naming a wire write it before their
//! first message; receivers take it between any two messages. [`Checked`] has none.
//!
//! The goodbye, `0xFFFF_FF01` in place of a length, marks a finished stream. It has no payload; in
//! [`Checked`] its CRC follows. Only [`Encoder::stage_goodbye`] writes it, when a sender
//! finishes: for tokio-util's `LengthDelimitedCodec` it is a frame that is too long. All other words from
//! `0xFFFF_FF00` up are errors.
//!
//! The next frame follows at once: a stream has no header and no trailer, and frames have no padding. A length of
//! 0 is a message (`()` has no bytes in [`Postcard`]). A stream that ends after a whole frame has ended
//! regularly; one that ends within a frame was cut off.
//!
//! [`MultiWriter`], for many writers: a stream of fragments, each put into the pipe by one write, alone or with
//! others of the same writer. All numbers are big-endian.
//!
//! | bytes | meaning |
//! |---|---|
//! | 2 | how many bytes the fragment has, these included |
//! | 1 | `0xD1` |
//! | 1 | the kind: 4 hello, 8 goodbye, 3 a whole message, 1 its first part, 0 a middle one, 2 the last one |
//! | 8 | the writer: a random number |
//! | 4 | the number of the fragment in the stream of its writer, from 0 on, and from 0 again after `0xFFFF_FFFF` |
//! | 4 | CRC-32/ISO-HDLC of the fragment, with zeroes in this place |
//! | 4 | in a first part only: how many bytes the message has |
//! | rest | the payload: what the codec writes, or its next part |
//!
//! Writes have at most `PIPE_BUF` bytes (4096 on Linux, 512 on most other systems), so the system does not
//! mix them. A hello comes before the first message of a writer, and again before every 64th. Its payload is
//! two strings, each after its length in one byte: the name of the codec (`postcard`, `bincode`, `json`, `plain`), and
//! that of the type of the messages, which may be empty; then, if the type is [known](MultiWriter::typed), a
//! [hello](shape#the-hello), without the description where that has no room. A goodbye has no payload.
//!
//! The formats of other programs are in [`foreign`].
//!
//! The default codec, [`Postcard`], in short: integers of more than 8 bits are written in groups of 7
//! bits, the lowest first, with the high bit set on all but the last byte, signed ones zigzag-coded
//! before (0, -1, 1, -2 … become 0, 1, 2, 3 …); `u8`, `i8` and `bool` are one byte; floats are
//! little-endian; strings, sequences and maps are their length as such an integer, then their
//! contents; structs and tuples are their fields and nothing else; an enum is the number of its variant
//! as a `u32`, then its fields; an option is 0, or 1 and the value.
//!
//! # Test vectors
//!
//! | value | wire | bytes, in hexadecimal |
//! |---|---|---|
//! | `()` | default | `00000000` |
//! | `(7u32, "hi")` | default | `00000004` `07026869` |
//! | `(300u16, -1i32, true)` | default | `00000004` `ac020101` |
//! | `()` | `Checked` | `00000000` `2144df1c` |
//! | `(7u32, "hi")` | `Checked` | `00000004` `07026869` `97bbad2d` |
//! | goodbye | default | `ffffff01` |
//! | goodbye | `Checked` | `ffffff01` `a5fa20e4` |
//! | hello of `"jobs"` | `MultiWriter` | `0022d104` `0123456789abcdef` `00000000` `8c4b010b` `08706f737463617264` `046a6f6273` |
//! | `(7u32, "hi")` | `MultiWriter` | `0018d103` `0123456789abcdef` `00000001` `7a56391b` `07026869` |
//! | goodbye | `MultiWriter` | `0014d108` `0123456789abcdef` `00000002` `7a8eee39` |
//! | `(7u32, "hi")` | default with `Json` | `00000008` `5b372c226869225d` |
//! | `(7u32, "hi")` | default with `Bincode` | `00000004` `07026869` |
//!
//! A receiver in Python:
//!
//! ```python
//! import struct, zlib
//!
//! def receive(pipe, checked=False):
//!     header = pipe.read(4)
//!     if not header:
//!         return None                       # the regular end
//!     length, = struct.unpack(">I", header)
//!     if length == 0xFFFFFF01:
//!         return None                       # the regular end, after a goodbye
//!     if length == 0xFFFFFF03:
//!         _, length = struct.unpack(">QI", pipe.read(12))
//!         pipe.read(length)                 # what the messages look like
//!         return receive(pipe, checked)
//!     if length > 8 << 20:
//!         raise ValueError("too large")
//!     payload = pipe.read(length)
//!     if checked and struct.unpack(">I", pipe.read(4))[0] != zlib.crc32(header + payload):
//!         raise ValueError("damaged")
//!     return payload
//! ```
//!
//! # What bad bytes can do
//!
//! Bytes that are no frames, and frames that hold no value, are errors, never a panic. Memory grows with
//! the bytes that have arrived, not with announced lengths. With a peer that is not trusted, mind:
//!
//! - A value can be larger than its bytes: a frame of 1 MB may decode to about 33 MB (a million empty
//!   vectors). Set a smaller limit where that matters.
//! - Elements without bytes are not limited by bytes: in a few bytes, `LinkedList<()>` can ask for
//!   billions of nodes. Keep such types out of messages.
//! - [`Postcard`] and `Bincode` do not limit nesting: put a [`DepthLimit`] around them for a
//!   recursive type.
//! - A wrong type may decode silently, because these codecs write no names and no types: `{u32, u32, u8}`
//!   can be read as `{i32, u64, bool}`. Connections and named pipes compare the [shapes](shape) of both sides; on a wire
//!   that is given by name, over other readers and writers, and with peers that tell nothing, both sides must have the
//!   same type. On a [`MultiWriter`] wire, writers [say it](MultiWriter::typed).
//! - The unfinished messages on a [`MultiWriter`] wire take at most [64 MiB](MultiWriter::total_limit).
//!
//! # Example
//!
//! ```
//! use typed_pipe::wire::{Checked, Decoder, Encoder, Wire};
//!
//! let wire = Wire::default().with_framing(Checked::default());
//!
//! let mut encoder = Encoder::new(wire.clone());
//! encoder.stage(&(7_u32, "hi"))?;
//!
//! let mut decoder = Decoder::new(wire);
//! let arrived = encoder.pending();
//! decoder.spare()[..arrived.len()].copy_from_slice(arrived);
//! decoder.filled(arrived.len());
//! assert!(decoder.step()?);
//! let value: (u32, &str) = decoder.message_ref()?;
//! assert_eq!(value, (7, "hi"));
//! # Ok::<(), typed_pipe::Error>(())
//! ```

#[cfg(feature = "bincode")]
mod bincode;
mod checked;
mod codec;
mod decoder;
mod depth;
mod encoder;
pub mod foreign;
mod framing;
#[cfg(feature = "json")]
mod json;
mod length_prefixed;
mod multi_writer;
mod plain;
pub mod shape;
pub(crate) mod short_text;
mod slack;

#[cfg(feature = "bincode")]
pub use self::bincode::Bincode;
pub use checked::Checked;
pub use codec::{BorrowingCodec, Codec, Postcard};
#[cfg_attr(not(feature = "tool"), doc(hidden))]
pub use decoder::Decoder;
pub use depth::DepthLimit;
#[cfg_attr(not(feature = "tool"), doc(hidden))]
pub use encoder::Encoder;
pub(crate) use encoder::Header;
pub use framing::{Framing, Scan, Step};
#[cfg(feature = "json")]
pub use json::Json;
pub use length_prefixed::LengthPrefixed;
pub use multi_writer::{MultiWriter, WriterId};
pub use plain::Plain;

/// A framing and a codec, which both sides of a channel must share.
///
/// ```
/// use typed_pipe::wire::{LengthPrefixed, Postcard, Wire};
///
/// let plain: Wire = Wire::default(); // what `Wire::new(LengthPrefixed::default(), Postcard)` is
/// let small = Wire::default().with_framing(LengthPrefixed::default().limit(4096));
/// # let _: (Wire<LengthPrefixed, Postcard>, Wire) = (plain, small);
/// ```
#[derive(Clone, Debug)]
#[doc(alias("format", "protocol", "serialization"))]
pub struct Wire<F = LengthPrefixed, C = Postcard> {
    framing: F,
    codec: C,
}

/// The bytes by which a writer says, on the default wire, what its messages look like.
#[cfg(feature = "tool")]
pub(crate) fn hello(shape: &shape::Shape) -> Vec<u8> {
    let mut bytes = Vec::new();
    length_prefixed::hello(shape, &mut bytes);
    bytes
}

impl<F, C> Wire<F, C> {
    /// Creates a wire from a framing and a codec.
    ///
    /// ```
    /// use typed_pipe::wire::{Checked, Encoder, Plain, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::new(Checked::default(), Plain)); // text, with a checksum behind it
    /// encoder.stage("hi")?;
    /// assert_eq!(encoder.staged(), 4 + 2 + 4);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub const fn new(framing: F, codec: C) -> Self {
        Self { framing, codec }
    }

    /// The framing.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, Wire};
    ///
    /// let wire = Wire::default();
    /// assert_eq!(wire.framing().max_payload(), 8 << 20); // the largest message in bytes
    /// ```
    #[must_use]
    pub const fn framing(&self) -> &F {
        &self.framing
    }

    /// The codec.
    ///
    /// ```
    /// use typed_pipe::wire::{Codec, Wire};
    ///
    /// let mut payload = Vec::new();
    /// Wire::default().codec().encode(&300_u16, &mut payload)?; // with no frame around it
    /// assert_eq!(payload, [0xAC, 0x02]);
    /// # Ok::<(), typed_pipe::CodecError>(())
    /// ```
    #[must_use]
    pub const fn codec(&self) -> &C {
        &self.codec
    }

    /// Replaces the framing, and keeps the codec.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Encoder, Plain, Wire};
    ///
    /// let wire = Wire::default().with_codec(Plain);
    /// let mut encoder = Encoder::new(wire.clone().with_framing(Lines::default()));
    /// encoder.stage("hi")?;
    /// assert_eq!(encoder.pending(), b"hi\n"); // `wire` itself has a length instead: `\0\0\0\x02hi`
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn with_framing<G>(self, framing: G) -> Wire<G, C> {
        Wire { framing, codec: self.codec }
    }

    /// Replaces the codec, and keeps the framing.
    ///
    /// ```
    /// use typed_pipe::wire::{DepthLimit, Postcard, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver};
    ///
    /// let wire = Wire::default().with_codec(DepthLimit::new(Postcard).levels::<1>());
    /// let bytes: &[u8] = b"\0\0\0\x03\x01\x01\x07"; // `vec![vec![7]]`
    /// let mut receiver = TypedReceiver::<Vec<Vec<u8>>, _, _, _>::with_wire(bytes, wire);
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Decode);
    /// ```
    #[must_use]
    pub fn with_codec<D>(self, codec: D) -> Wire<F, D> {
        Wire { framing: self.framing, codec }
    }
}

// Not for every `F` and `C`: so `Wire::default()` needs no annotation where it is built upon.
impl Default for Wire {
    fn default() -> Self {
        Self::new(LengthPrefixed::default(), Postcard)
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    fn hex<F: Framing, C: Codec>(wire: Wire<F, C>, value: &impl Serialize) -> String {
        let mut encoder = Encoder::new(wire);
        encoder.stage(value).unwrap();
        pending(&encoder)
    }

    fn goodbye<F: Framing, C: Codec>(wire: Wire<F, C>) -> String {
        let mut encoder = Encoder::new(wire);
        assert!(encoder.stage_goodbye());
        pending(&encoder)
    }

    fn pending<F: Framing, C: Codec>(encoder: &Encoder<F, C>) -> String {
        encoder.pending().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_test_vectors_are_right() {
        let plain = Wire::default;
        let checked = || plain().with_framing(Checked::default());
        assert_eq!(hex(plain(), &()), "00000000");
        assert_eq!(hex(plain(), &(7_u32, "hi")), "0000000407026869");
        assert_eq!(hex(plain(), &(300_u16, -1_i32, true)), "00000004ac020101");
        assert_eq!(hex(checked(), &()), "000000002144df1c");
        assert_eq!(hex(checked(), &(7_u32, "hi")), "000000040702686997bbad2d");
        assert_eq!(goodbye(plain()), "ffffff01");
        assert_eq!(goodbye(checked()), "ffffff01a5fa20e4");
        #[cfg(feature = "json")]
        assert_eq!(hex(plain().with_codec(Json), &(7_u32, "hi")), "000000085b372c226869225d");
        #[cfg(feature = "bincode")]
        assert_eq!(hex(plain().with_codec(Bincode::new()), &(7_u32, "hi")), "0000000407026869");
    }

    #[test]
    fn the_parts_of_a_wire_can_be_exchanged() {
        let wire = Wire::default().with_codec(7).with_framing("framing");
        assert_eq!((wire.framing(), wire.codec()), (&"framing", &7));
    }
}
