//! Framings of other programs.
//!
//! Each works in a [`Wire`](super::Wire) like any other. With the codec [`Plain`](super::Plain), a message is
//! text or bytes, as in those programs; with another codec, it is a value between programs that know the codec, such as
//! those of this crate.
//!
//! ```
//! use typed_pipe::wire::foreign::Lines;
//! use typed_pipe::wire::{Plain, Wire};
//! use typed_pipe::{TypedReceiver, TypedSender};
//!
//! let wire = Wire::new(Lines::default(), Plain);
//! let mut bytes = Vec::new(); // or the end of a pipe: `end.into_sender_with(wire)`
//! TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire.clone()).send("a")?;
//! assert_eq!(bytes, b"a\n");
//! let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire);
//! assert_eq!(receiver.recv()?, "a");
//! # Ok::<(), typed_pipe::Error>(())
//! ```
//!
//! The limit on the payload is 8 MiB in each, unless set, and holds in both directions. None of them has a
//! goodbye: the end of a stream between two messages is [`Disconnected`](crate::ErrorKind::Disconnected), because
//! a receiver cannot distinguish a sender that finished from one that vanished.
//!
//! # The formats, byte by byte
//!
//! `Base64Datagrams` (feature `foreign`), those of python-xp-named-pipe (`Base64DatagrammeEncoderDecoder`):
//!
//! | bytes | meaning |
//! |---|---|
//! | any multiple of 4 | the payload in base64, with the usual alphabet (`+`, `/`) and with padding (`=`) |
//! | 1 | `0x00` |
//!
//! `Npipes` (feature `foreign`), those of npipes (`Message`). All numbers are big-endian:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | how many bytes follow in this frame: `length` + 8 |
//! | 4 | `length`: how many bytes the payload has |
//! | `length` | the payload; npipes itself sends and accepts only ASCII text |
//! | 4 | CRC-32/ISO-HDLC of the payload, or 0 where it is left out (`without_crc`) |
//!
//! `Base64Lines` (feature `foreign`), those of PipeCom on POSIX systems:
//!
//! | bytes | meaning |
//! |---|---|
//! | any multiple of 4 | the payload in base64, with the usual alphabet and with padding: UTF-8 text in PipeCom |
//! | 1 | `0x0A` (line feed) |
//!
//! A PipeCom listener answers with a line of this format; both sides are in `typed_pipe::pipecom`.
//!
//! [`Lines`], of text or of JSON (<https://jsonlines.org>):
//!
//! | bytes | meaning |
//! |---|---|
//! | any but `0x0A` | the payload, in which there is no line feed |
//! | 0 or 1 | `0x0D` (carriage return): taken, and not written |
//! | 1 | `0x0A` (line feed); the last line of a stream may [do without](Lines::require_last_feed) |
//!
//! `ConcatenatedJson` (feature `json`), of which lines of JSON are one kind:
//!
//! | bytes | meaning |
//! |---|---|
//! | any number | white space (`0x20`, `0x09`, `0x0A`, `0x0D`) and `0x1E`: taken, and not written |
//! | any number | the payload: a JSON value |
//! | 1 | `0x0A` (line feed): written, and taken as white space |
//!
//! `ContentLength` (feature `json`), of language servers and debuggers:
//!
//! | bytes | meaning |
//! |---|---|
//! | any number | the head: lines of ASCII that end with `0x0D` `0x0A`, of which `Content-Length: ` and a decimal number is one; others are taken, and not written |
//! | 2 | `0x0D` `0x0A` |
//! | as many as the head says | the payload |
//!
//! # Test vectors
//!
//! | payload | wire | bytes, in hexadecimal |
//! |---|---|---|
//! | `Hello` | `Base64Datagrams` | `534756736247383d` `00` |
//! | `Hello` | `Npipes` | `0000000d` `00000005` `48656c6c6f` `f7d18982` |
//! | `Hello` | `Npipes` without CRC | `0000000d` `00000005` `48656c6c6f` `00000000` |
//! | nothing | `Npipes` | `00000008` `00000000` `00000000` |
//! | `Hello` | `Base64Lines` | `534756736247383d` `0a` |
//! | `ACK` | `Base64Lines` | `51554e4c` `0a` |
//! | `Hello` | `Lines` | `48656c6c6f` `0a` |
//! | `[7]` | `ConcatenatedJson` | `5b375d` `0a` |
//! | `[7]` | `ContentLength` | `436f6e74656e742d4c656e6774683a2033` `0d0a0d0a` `5b375d` |
//!
//! # Bad bytes
//!
//! A message with an end that is not base64 is lost alone
//! ([`FrameError::Base64`](crate::FrameError::Base64), not fatal). A value that is no JSON is a message that does not
//! decode. After a message over the limit, a wrong header or a wrong checksum, the place in the stream is lost.

#[cfg(feature = "foreign")]
mod base64;
#[cfg(feature = "foreign")]
mod base64_datagrams;
#[cfg(feature = "foreign")]
mod base64_lines;
#[cfg(feature = "json")]
mod concatenated_json;
#[cfg(feature = "json")]
mod content_length;
mod delimited;
mod lines;
#[cfg(feature = "foreign")]
mod npipes;

#[cfg(feature = "foreign")]
pub use base64_datagrams::Base64Datagrams;
#[cfg(feature = "foreign")]
pub use base64_lines::Base64Lines;
#[cfg(feature = "json")]
pub use concatenated_json::ConcatenatedJson;
#[cfg(feature = "json")]
pub use content_length::ContentLength;
pub use lines::Lines;
#[cfg(feature = "foreign")]
pub use npipes::Npipes;

/// The largest payload in bytes, unless it is set.
const LIMIT: u32 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::framing::framed;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_test_vector_of_lines_is_right() {
        assert_eq!(hex(&framed(&mut Lines::default(), b"Hello").unwrap()), "48656c6c6f0a");
    }

    #[cfg(feature = "foreign")]
    #[test]
    fn the_test_vectors_of_npipes_are_right() {
        let npipes = Npipes::default;
        assert_eq!(
            hex(&framed(&mut npipes(), b"Hello").unwrap()),
            "0000000d0000000548656c6c6ff7d18982"
        );
        assert_eq!(
            hex(&framed(&mut npipes().without_crc(), b"Hello").unwrap()),
            "0000000d0000000548656c6c6f00000000"
        );
        assert_eq!(hex(&framed(&mut npipes(), b"").unwrap()), "000000080000000000000000");
    }

    #[cfg(feature = "json")]
    #[test]
    fn the_test_vector_of_json_is_right() {
        let framing = &mut ConcatenatedJson::default();
        assert_eq!(hex(&framed(framing, b"[7]").unwrap()), "5b375d0a");
    }

    #[cfg(feature = "foreign")]
    #[test]
    fn the_test_vectors_of_base64_are_right() {
        let datagram = framed(&mut Base64Datagrams::default(), b"Hello").unwrap();
        assert_eq!(hex(&datagram), "534756736247383d00");
        assert_eq!(
            hex(&framed(&mut Base64Lines::default(), b"Hello").unwrap()),
            "534756736247383d0a"
        );
        assert_eq!(hex(&framed(&mut Base64Lines::default(), b"ACK").unwrap()), "51554e4c0a");
    }
}
