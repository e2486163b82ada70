//! Descriptions that another process may have written to do harm.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style, ValueCheck};

#[derive(Serialize, Deserialize)]
struct Nest(Vec<Self>);

type Ours = HashMap<String, Result<Vec<Option<(u8, Nest)>>, SocketAddr>>;

fn ours() -> Shape {
    Shape::of::<Ours>(Style::Positional)
}

/// A number as descriptions have it.
fn number(mut rest: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while rest > 0x7F {
        bytes.push(u8::try_from(rest & 0x7F).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// All that can be done with a shape that came from elsewhere.
fn use_it(theirs: &Shape) {
    for ours in [ours(), Shape::of::<Nest>(Style::Positional), Shape::of::<Nest>(Style::Named)] {
        let _ = theirs.read_by(&ours);
        if let Err(difference) = ours.read_by(theirs) {
            assert!(difference.to_string().len() < 4096);
        }
    }
    assert!(theirs.to_string().len() < 1 << 20);
    let mut check = ValueCheck::new(theirs);
    let _ = check.check(&Ours::from([("a".to_owned(), Ok(vec![Some((1, Nest(vec![])))]))]));
    let _ = check.check(&Nest(vec![Nest(vec![])]));
    let _ = check.check("text");
    #[cfg(feature = "json")]
    {
        use typed_pipe::wire::{Json, Postcard};
        let _ = theirs.json_schema();
        let _ = theirs.decode_json(&Postcard, &[1; 64]);
        let _ = theirs.decode_json(&Postcard, &[0; 64]);
        let _ = theirs.decode_json(&Json, b"[[], {}]");
        let value = serde_json::json!({"a": {"Ok": [[1, []], null]}});
        let _ = theirs.encode_json(&Postcard, &value);
        let _ = theirs.encode_json(&Json, &value);
    }
}

#[test]
fn every_change_of_a_byte_is_refused_or_harmless() {
    let ours = ours();
    let bytes = ours.description();
    let mut read = 0;
    for at in 0..bytes.len() {
        for to in 0..=255 {
            let mut bytes = bytes.to_vec();
            bytes[at] = to;
            if let Ok(theirs) = Shape::from_description(&bytes) {
                read += 1;
                let _ = (theirs.read_by(&ours), ours.read_by(&theirs));
                if to < 40 {
                    use_it(&theirs);
                }
            }
        }
    }
    println!("{} bytes, {read} changes are read", bytes.len());
    assert!(read > 1000);
}

#[test]
fn a_long_chain_overflows_no_stack() {
    // As many lists in each other as have room, without an end or with one.
    for last in [23, 0] {
        let mut bytes = vec![1];
        let count = 16_000_u32;
        bytes.extend(number(count));
        for next in 1..count {
            bytes.push(4);
            bytes.extend(number(next));
        }
        bytes.push(last);
        use_it(&Shape::from_description(&bytes).unwrap());
    }
}

#[test]
fn an_option_of_itself_is_followed_to_an_end() {
    for style in [1, 2] {
        use_it(&Shape::from_description(&[style, 1, 3, 0]).unwrap());
    }
}

#[test]
fn a_value_is_read_no_deeper_than_it_may_be() {
    let bytes = [1, 1, 3, 0]; // an option of itself
    let theirs = Shape::from_description(&bytes).unwrap();
    use_it(&theirs);
    #[cfg(feature = "json")]
    {
        let error = theirs.decode_json(&typed_pipe::wire::Postcard, &[1; 1 << 20]).unwrap_err();
        assert_eq!(error.to_string(), "the value is nested more than 128 levels deep");
    }
}

#[cfg(feature = "json")]
#[test]
fn values_without_bytes_do_not_fill_the_memory() {
    use typed_pipe::wire::Postcard;
    // A list of `()`, of which a few bytes announce billions.
    let units = Shape::from_description(&[1, 2, 4, 1, 16]).unwrap();
    let error = units.decode_json(&Postcard, &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]).unwrap_err();
    assert_eq!(error.to_string(), "the message has more values than bytes");
    let few = units.decode_json(&Postcard, &[3]).unwrap();
    assert_eq!(few, serde_json::json!([null, null, null]));
    // An array of them.
    let mut bytes = vec![1, 2, 7];
    bytes.extend(number(u32::MAX));
    bytes.extend([1, 16]);
    let array = Shape::from_description(&bytes).unwrap();
    assert!(array.decode_json(&Postcard, &[]).is_err());
    use_it(&array);
    // Pairs of pairs of pairs.
    let mut bytes = vec![1, 41];
    (1..41).for_each(|next| bytes.extend([6, 2, next, next]));
    bytes.push(16);
    let pairs = Shape::from_description(&bytes).unwrap();
    assert!(pairs.decode_json(&Postcard, &[]).is_err());
    use_it(&pairs);
}

#[test]
fn a_struct_in_each_of_many_variants_is_told_in_bounds() {
    let mut bytes = vec![1, 3, 10, 0, 0];
    bytes.extend(number(10_000));
    (0..10_000).for_each(|_| bytes.extend([0, 1]));
    bytes.extend([8, 0]);
    bytes.extend(number(10_000));
    (0..10_000).for_each(|_| bytes.extend([0, 2, 0]));
    bytes.push(23);
    use_it(&Shape::from_description(&bytes).unwrap());
    // As many second names as there can be.
    let mut bytes = vec![1, 2, 10, 0];
    bytes.extend(number(5_000));
    bytes.extend(number(10_000));
    (0..10_000).for_each(|_| bytes.extend([1, b'a', 1]));
    bytes.push(2);
    let theirs = Shape::from_description(&bytes).unwrap();
    use_it(&theirs);
    let error = theirs.read_by(&Shape::of::<Result<u8, u8>>(Style::Positional)).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn names_are_shown_without_what_a_terminal_obeys() {
    let mut bytes = vec![1, 2, 8, 5];
    bytes.extend(b"\x1b[31m");
    bytes.extend([1, 2]);
    bytes.extend("\u{202e}".as_bytes().get(..2).unwrap());
    assert!(Shape::from_description(&bytes).is_err(), "half a letter is no text");
    let mut bytes = vec![1, 2, 8, 5];
    bytes.extend(b"\x1b[31m");
    bytes.extend([1, 4]);
    bytes.extend(b"a\nb\x07");
    bytes.extend([1, 0, 23]);
    let theirs = Shape::from_description(&bytes).unwrap();
    let difference = theirs.read_by(&ours()).unwrap_err().to_string();
    let shown = [theirs.to_string(), difference];
    assert!(shown.iter().all(|text| !text.contains(char::is_control)), "{shown:?}");
}

#[test]
fn two_shapes_that_go_round_in_circles_are_compared_in_time() {
    // Rings of lists, of lengths that have no common divisor.
    let ring = |len: u32| {
        let mut bytes = vec![1];
        bytes.extend(number(len));
        for next in 1..=len {
            bytes.push(4);
            bytes.extend(number(next % len));
        }
        Shape::from_description(&bytes).unwrap()
    };
    let (a, b) = (ring(9973), ring(9967));
    let begun = std::time::Instant::now();
    let _ = a.read_by(&b);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}
