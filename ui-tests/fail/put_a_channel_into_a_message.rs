//! A channel is no field of a message: it is carried beside it.

use typed_pipe::{TypedReceiver, TypedSender};

#[derive(serde::Serialize, serde::Deserialize)]
struct Question {
    words: String,
    answer_to: TypedSender<u32>,
    more: TypedReceiver<u32>,
}

fn main() {}
