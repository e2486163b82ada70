//! The bytes by which a writer says what its messages look like.

use super::Shape;
use super::description::LIMIT;

/// The bytes before the description: a fingerprint, and how many bytes follow.
pub(in crate::wire) const HEAD: usize = 12;

/// The longest hello.
pub(in crate::wire) const MOST: usize = HEAD + LIMIT;

/// How many bytes the hello has that begins here, as far as its head has arrived.
pub(in crate::wire) fn len(bytes: &[u8]) -> Option<usize> {
    let description = bytes.get(8..).and_then(<[u8]>::first_chunk)?;
    Some(
        HEAD.saturating_add(
            usize::try_from(u32::from_be_bytes(*description)).unwrap_or(usize::MAX),
        ),
    )
}

/// Appends the hello of a shape.
pub(in crate::wire) fn write(shape: &Shape, out: &mut Vec<u8>) {
    write_parts(shape.fingerprint(), shape.description(), out);
}

/// As [`write`], with a description that may be left out for want of room.
pub(in crate::wire) fn write_parts(fingerprint: u64, description: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&fingerprint.to_be_bytes());
    out.extend_from_slice(&u32::try_from(description.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(description);
}

/// Why a writer is refused.
#[derive(Debug)]
pub(in crate::wire) enum Refusal {
    /// Its hello says nothing.
    Garbled,
    /// The place where it differs, in the words for the receiver.
    Differs(String),
}

/// What a writer sends, if a receiver of this shape reads it.
///
/// The fingerprint of another process's shape is not computed: that takes long where it was made to.
pub(in crate::wire) fn read(hello: &[u8], ours: &Shape) -> Result<Shape, Refusal> {
    let (head, description) = hello.split_at_checked(HEAD).ok_or(Refusal::Garbled)?;
    if head.starts_with(&ours.fingerprint().to_be_bytes()) {
        return Ok(ours.clone());
    }
    let theirs = Shape::from_description(description).map_err(|_| Refusal::Garbled)?;
    theirs.read_by(ours).map_err(|at| Refusal::Differs(at.to_receiver()))?;
    Ok(theirs)
}
