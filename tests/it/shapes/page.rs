//! Each row of the table in `docs/WHEN-TYPES-CHANGE.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use typed_pipe::wire::shape::{Shape, Style};

const PAGE: &str = include_str!("../../../docs/WHEN-TYPES-CHANGE.md");

/// A row, of two types that differ by a change.
fn row<Old: DeserializeOwned, New: DeserializeOwned>(change: &str) -> String {
    let fits = |writer: fn(Style) -> Shape, reader: fn(Style) -> Shape, style| {
        let (writer, reader) = (writer(style), reader(style));
        assert!(writer.is_complete() && reader.is_complete(), "{writer} {reader}");
        if writer.read_by(&reader).is_ok() { "yes" } else { "–" }
    };
    let (old, new) = (Shape::of::<Old>, Shape::of::<New>);
    let [positional, named] = [Style::Positional, Style::Named]
        .map(|style| format!("{} | {}", fits(old, new, style), fits(new, old, style)));
    format!("| {change} | {positional} | {named} |")
}

macro_rules! types {
    ($($(#[$attribute:meta])* $kind:ident $name:ident $body:tt)*) => {$(
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only its shape is asked for")]
        $(#[$attribute])*
        $kind $name $body
    )*};
}

types! {
    struct Job { id: u64, name: String }
    struct Task { id: u64, name: String }
    struct Renamed { id: u64, title: String }
    struct Aliased { id: u64, #[serde(alias = "name")] title: String }
    struct Kept { id: u64, #[serde(rename = "name")] title: String }
    struct Reordered { name: String, id: u64 }
    struct Added { id: u64, name: String, nice: i8 }
    struct Optional { id: u64, name: String, nice: Option<i8> }
    struct Default { id: u64, name: String, #[serde(default)] nice: i8 }
    struct Skipped { id: u64, name: String, #[serde(skip)] cache: u8 }
    #[serde(deny_unknown_fields)]
    struct Strict { id: u64, name: String }
    enum Command { Start, Set(u32) }
    enum Appended { Start, Set(u32), Stop }
    enum Inserted { Stop, Start, Set(u32) }
    enum Swapped { Set(u32), Start }
    enum Retitled { Begin, Set(u32) }
    enum Second { #[serde(alias = "Start")] Begin, Set(u32) }
    enum KeptTitle { #[serde(rename = "Start")] Begin, Set(u32) }
    enum Refilled { Start, Set(u64) }
    enum Fielded { Start, Set { rate: u32 } }
}

#[derive(Deserialize)]
struct Id(#[expect(dead_code, reason = "only its shape is asked for")] u32);

/// What the table has to say.
fn table() -> Vec<String> {
    vec![
        row::<Job, Task>("a type is renamed, or moved"),
        row::<Job, Skipped>("a field with `#[serde(skip)]` is added"),
        row::<Job, Renamed>("a field is renamed"),
        row::<Job, Aliased>("a field is renamed, and has `#[serde(alias = \"old\")]`"),
        row::<Job, Kept>("a field is renamed, and has `#[serde(rename = \"old\")]`"),
        row::<Job, Reordered>("fields change places"),
        row::<Job, Added>("a field is added"),
        row::<Job, Optional>("a field is added that is an `Option`"),
        row::<Job, Default>("a field is added with `#[serde(default)]`"),
        row::<Strict, Optional>("the same, and the old type has `deny_unknown_fields`"),
        row::<Added, Job>("a field is removed"),
        row::<Optional, Job>("a field is removed that was an `Option`, or had a default"),
        row::<Command, Appended>("a variant is added at the end"),
        row::<Command, Inserted>("a variant is added before others"),
        row::<Appended, Command>("the last variant is removed"),
        row::<Command, Swapped>("variants change places"),
        row::<Command, Retitled>("a variant is renamed"),
        // Its shape does not tell which of the names it writes.
        row::<Command, Second>("a variant is renamed, and has `#[serde(alias = \"Old\")]`")
            .replace("yes | yes | yes | yes |", "yes | yes | yes | not seen |"),
        row::<Command, KeptTitle>("a variant is renamed, and has `#[serde(rename = \"Old\")]`"),
        row::<Command, Refilled>("what a variant holds changes"),
        row::<Command, Fielded>("what a variant holds gets a name"),
        row::<u32, u64>("a number gets wider: `u32` to `u64`, `f32` to `f64`"),
        row::<usize, u64>("`usize` becomes `u64`, on any platform"),
        row::<u32, Option<u32>>("`T` becomes `Option<T>`"),
        row::<f64, Option<f64>>("the same with what JSON may write as `null`: floats, `()`"),
        row::<u32, Id>("`T` becomes `struct Id(T)`, or `Box<T>`"),
        row::<String, Box<str>>(
            "`String` becomes `Box<str>`, `PathBuf`, or a type that is written as text",
        ),
        row::<Vec<u8>, serde_bytes::ByteBuf>("`Vec<u8>` becomes `serde_bytes::ByteBuf`"),
        row::<Vec<u32>, VecDeque<u32>>("a list becomes another list, such as `VecDeque`"),
        row::<Vec<u32>, BTreeSet<u32>>("a list becomes a set, which drops what is there twice"),
        row::<HashMap<String, u8>, BTreeMap<String, u8>>("a map becomes another map"),
        row::<(u8, u8), [u8; 2]>("a tuple becomes an array of the same length"),
        row::<[u8; 2], [u8; 3]>("the length of an array changes"),
        row::<Job, (u64, String)>("a struct becomes a tuple"),
    ]
}

#[test]
fn each_row_is_so() {
    let begin = PAGE.find("| change |").unwrap();
    let rows: Vec<&str> =
        PAGE[begin..].lines().take_while(|line| line.starts_with('|')).skip(2).collect();
    assert_eq!(rows, table(), "\n{}\n", table().join("\n"));
    row::<String, std::path::PathBuf>("");
    assert_eq!(row::<f32, f64>(""), row::<u32, u64>(""));
    assert_eq!(row::<(), Option<()>>(""), row::<f64, Option<f64>>(""));
}

/// What the page says of variants that come later.
#[cfg(feature = "json")]
#[test]
fn an_old_program_with_a_variant_for_the_others_reads_a_new_one() {
    use serde::Serialize;
    use typed_pipe::wire::foreign::Lines;
    use typed_pipe::wire::{Json, Wire};
    use typed_pipe::{Connection, Handshake};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Old {
        Start,
        Set {
            rate: u32,
        },
        #[serde(other)]
        Unknown,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum New {
        Start,
        Set { rate: u32 },
        Stop { why: String },
    }

    crate::support::watched(|| {
        let handshake = || Handshake::new().with_wire(Wire::new(Lines::default(), Json));
        let (old, new) = Connection::pair().unwrap();
        let old = std::thread::spawn(move || {
            let mut old = handshake().perform::<Old, Old>(old).unwrap();
            old.send(&Old::Set { rate: 7 }).unwrap();
            [old.recv().unwrap(), old.recv().unwrap()]
        });
        let mut new = handshake().perform::<New, New>(new).unwrap();
        new.send(&New::Stop { why: "late".into() }).unwrap();
        new.send(&New::Start).unwrap();
        assert_eq!(new.recv().unwrap(), New::Set { rate: 7 });
        assert_eq!(old.join().unwrap(), [Old::Unknown, Old::Start]);
    });
}
