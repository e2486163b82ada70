//! What an encoder was given and did not refuse or take back is what a decoder gives, on every wire.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use typed_pipe::wire::{Codec, Decoder, Encoder, Framing, Wire};
use typed_pipe::{ErrorKind, wire::Plain};
use typed_pipe_fuzz::{OnWire, Value, arrive, on_wire};

#[derive(Arbitrary, Debug)]
struct Input {
    wire: u8,
    small: Option<u8>,
    atomic_write: u16,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Stage(Value),
    /// Text of so many thousands of bytes.
    Long(u8, u8),
    Withdraw,
    Write(u16),
    Goodbye,
}

fuzz_target!(|input: Input| {
    let limit = input.small.map_or(8 << 20, u32::from);
    // The framing with the small room loses what is long: that is for `shared`.
    let number = if input.wire % 10 == 9 { input.wire - 1 } else { input.wire };
    on_wire(number, limit, RoundTrip(&input));
});

struct RoundTrip<'a>(&'a Input);

impl OnWire for RoundTrip<'_> {
    fn run<F: Framing + Clone, C: Codec + Clone>(self, wire: Wire<F, C>) {
        let plain = wire.codec().name() == Plain.name();
        let blank = wire.framing().name() == "lines";
        // Blank lines, and what is not ASCII.
        let refuses = blank || wire.framing().name().starts_with("npipes");
        let mut encoder = Encoder::new(wire.clone());
        encoder.atomic_write(self.0.atomic_write.into());
        let mut decoder = Decoder::new(wire);
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        // How many messages go before the last goodbye.
        let mut goodbye = None;
        for step in &self.0.steps {
            match step {
                Step::Stage(value) if plain => {
                    let text = format!("{value:?}");
                    let staged = encoder.stage(&text);
                    note(&mut sent, Value::Text(text), staged, refuses);
                }
                Step::Stage(value) => {
                    let staged = encoder.stage(value);
                    note(&mut sent, value.clone(), staged, refuses);
                }
                Step::Long(letter, length) => {
                    let letter = char::from(b' ' + letter % 90);
                    let text = letter.to_string().repeat(usize::from(*length) * 200);
                    if blank && text.trim().is_empty() {
                        continue;
                    }
                    let staged = if plain {
                        encoder.stage(&text)
                    } else {
                        encoder.stage(&Value::Text(text.clone()))
                    };
                    note(&mut sent, Value::Text(text), staged, refuses);
                }
                Step::Withdraw => {
                    if encoder.withdraw() {
                        sent.pop().expect("there was one to take back");
                    }
                }
                Step::Write(bytes) => {
                    let pending = encoder.pending();
                    let bytes = pending.len().min(usize::from(*bytes));
                    arrive(&mut decoder, &pending[..bytes]);
                    encoder.advance(bytes);
                    take(&mut decoder, &mut received, plain);
                }
                Step::Goodbye if encoder.stage_goodbye() => goodbye = Some(sent.len()),
                Step::Goodbye => {}
            }
        }
        while encoder.staged() > 0 {
            let pending = encoder.pending();
            assert!(!pending.is_empty());
            let bytes = pending.len();
            arrive(&mut decoder, pending);
            encoder.advance(bytes);
            take(&mut decoder, &mut received, plain);
        }
        assert_eq!(received, sent);
        assert_eq!(decoder.buffered(), b"");
        let finished = goodbye == Some(sent.len());
        let end = if finished { ErrorKind::Finished } else { ErrorKind::Disconnected };
        assert_eq!(decoder.end().kind(), end);
    }
}

/// Notes what was staged, or why it was not.
fn note(sent: &mut Vec<Value>, value: Value, staged: Result<(), typed_pipe::Error>, refuses: bool) {
    match staged.map_err(|error| error.kind()) {
        Ok(()) => sent.push(value),
        Err(ErrorKind::TooLarge) => {}
        Err(kind) => assert!(refuses && kind == ErrorKind::Encode, "{kind:?}"),
    }
}

fn take<F: Framing, C: Codec>(decoder: &mut Decoder<F, C>, received: &mut Vec<Value>, plain: bool) {
    while decoder.step().expect("its own frames") {
        received.push(if plain {
            Value::Text(decoder.message().expect("its own text"))
        } else {
            decoder.message().expect("its own value")
        });
    }
}
