//! What travels.

use serde::{Deserialize, Serialize};
use typed_pipe::Message;

/// A small message: 35 bytes in postcard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quote {
    number: u64,
    time: u64,
    price: f64,
    quantity: u32,
    bid: bool,
    symbol: String,
    venue: [u8; 8],
}

impl Quote {
    pub(crate) fn sample() -> Self {
        Self {
            number: 1_000_000,
            time: 1_234_567,
            price: 101.25,
            quantity: 100_000,
            bid: true,
            symbol: "ABCDEFGH".into(),
            venue: *b"XEXCHNGE",
        }
    }
}

/// A message of many short strings, each of which the owned form must allocate: so it is the receiver that takes
/// the time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Article {
    id: u64,
    title: String,
    words: [String; 12],
}

/// The form that borrows from the receiver's buffer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ArticleRef<'a> {
    id: u64,
    title: &'a str,
    #[serde(borrow)]
    words: [&'a str; 12],
}

impl Message for Article {
    type Ref<'a> = ArticleRef<'a>;
}

impl Article {
    pub(crate) fn sample() -> Self {
        Self {
            id: 1_000_000,
            title: "On the many uses of a pipe".into(),
            words: std::array::from_fn(|number| format!("word {number}")),
        }
    }
}

/// The larger messages are bytes and nothing else.
pub(crate) fn payload(len: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_has_35_bytes() {
        assert_eq!(postcard::to_allocvec(&Quote::sample()).unwrap().len(), 35);
    }

    #[test]
    fn both_forms_of_an_article_have_the_same_bytes() {
        let bytes = postcard::to_allocvec(&Article::sample()).unwrap();
        let borrowed: ArticleRef<'_> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(postcard::to_allocvec(&borrowed).unwrap(), bytes);
    }
}

/// Looks at each cache line of a payload.
pub(crate) fn touch(payload: &[u8]) -> u64 {
    payload.iter().step_by(64).map(|&byte| u64::from(byte)).sum()
}
