//! Every type is written, and read as every other one.

use serde_json::Value;
use typed_pipe::wire::shape::{Style, ValueCheck};

use super::types::{Row, rows};

#[derive(Debug, Default)]
struct Count {
    pairs: usize,
    fit: usize,
    /// Values of pairs that do not fit, and are read all the same.
    silent: usize,
    /// Values of pairs that fit, which the type of the reader refuses for what they are.
    refused: usize,
}

/// Whether all that was read was written. What was left out has a value of the reader's own.
pub(super) fn is_part(read: &Value, written: &Value) -> bool {
    match (read, written) {
        (Value::Object(read), Value::Object(written)) => {
            let known = |(name, value): (&String, &Value)| {
                written.get(name).is_none_or(|written| is_part(value, written))
            };
            read.iter().all(known)
        }
        (Value::Array(read), Value::Array(written)) => {
            read.len() == written.len() && read.iter().zip(written).all(|(a, b)| is_part(a, b))
        }
        (read, written) => read == written,
    }
}

fn is_same(style: Style, read: &[u8], written: &[u8]) -> bool {
    match style {
        Style::Positional => read == written,
        _ => {
            let [read, written] =
                [read, written].map(|bytes| serde_json::from_slice(bytes).unwrap());
            is_part(&read, &written)
        }
    }
}

fn pair(style: Style, writer: &Row, reader: &Row, count: &mut Count) {
    let (w, r) = ((writer.shape)(style), (reader.shape)(style));
    let fits = w.read_by(&r);
    count.pairs += 1;
    count.fit += usize::from(fits.is_ok());
    for (bytes, value_fits) in (writer.written)(style).iter().zip((writer.fit)(&r)) {
        let what = || format!("{} as {} ({style:?}): {fits:?}", writer.name, reader.name);
        // What a type may write includes what each of its values writes.
        let known = w.is_complete() && r.is_complete();
        assert!(fits.is_err() || value_fits || !known, "{}", what());
        let read = (reader.read)(style, bytes);
        match (value_fits, read) {
            (true, Some(read)) => assert!(!known || is_same(style, &read, bytes), "{}", what()),
            (true, None) => count.refused += 1,
            (false, Some(_)) => count.silent += 1,
            (false, None) => {}
        }
    }
}

fn all(style: Style) -> Count {
    let rows = rows();
    let mut count = Count::default();
    for writer in &rows {
        let own = (writer.shape)(style);
        assert!((writer.fit)(&own).iter().all(|fits| *fits), "{} as itself: {own}", writer.name);
        assert_eq!(own.read_by(&own.clone()), Ok(()));
        rows.iter().for_each(|reader| pair(style, writer, reader, &mut count));
    }
    println!("{style:?}: {} types, {count:?}", rows.len());
    count
}

#[test]
fn no_value_that_fits_is_misread_by_position() {
    let count = all(Style::Positional);
    assert!(count.fit > rows().len() && count.silent > 600, "{count:?}");
}

#[test]
fn no_value_that_fits_is_misread_by_name() {
    let count = all(Style::Named);
    assert!(count.fit > rows().len(), "{count:?}");
}

#[test]
fn what_fits_is_what_the_bytes_say() {
    let fit = |style: Style, writer: &str, reader: &str| {
        let rows = rows();
        let of = |name: &str| (rows.iter().find(|row| row.name == name).unwrap().shape)(style);
        of(writer).read_by(&of(reader)).is_ok()
    };
    for (writer, reader) in [
        ("Three", "Four"),
        ("Vec<u8>", "serde_bytes::ByteBuf"),
        ("serde_bytes::ByteBuf", "Vec<u8>"),
        ("u32", "New"),
        ("Clear", "u64"),
        ("Units", "AliasedUnits"),
        ("AliasedUnits", "Units"),
        ("Aliased", "Xy"),
        ("Xy", "Aliased"),
        ("Left", "Aliased"),
        ("Renamed", "Xy"),
        ("Skips", "Loose"),
        ("Strict", "Loose"),
        ("[u8; 2]", "(u8, u8)"),
        ("std::num::NonZeroU32", "u32"),
        ("PathBuf", "Cow<'static, str>"),
    ] {
        assert!(fit(Style::Positional, writer, reader), "{writer} as {reader}");
        assert!(fit(Style::Named, writer, reader), "{writer} as {reader}");
    }
    for (writer, reader) in [("Xyz", "Xy"), ("Xy", "Xyz"), ("Size", "Turned"), ("Swapped", "Three")]
    {
        assert!(!fit(Style::Positional, writer, reader), "{writer} as {reader}");
        assert!(fit(Style::Named, writer, reader), "{writer} as {reader}");
    }
    assert!(fit(Style::Named, "Loose", "Defaults") && fit(Style::Named, "Defaults", "Loose"));
    assert!(!fit(Style::Named, "Loose", "Xy") && !fit(Style::Named, "Xy", "Strict"));
    assert!(fit(Style::Named, "u8", "Option<u8>") && !fit(Style::Named, "f64", "Option<f64>"));
}

#[test]
fn a_check_of_values_ends() {
    let rows = rows();
    let done = |name: &str| {
        let row = rows.iter().find(|row| row.name == name).unwrap();
        !(row.fit)(&(row.shape)(Style::Positional)).is_empty()
    };
    assert!(done("Tree"));
    let mut check = ValueCheck::new(&(rows[0].shape)(Style::Positional));
    assert!(!check.is_done());
    check.check(&1_u8).unwrap();
    assert!(check.is_done());
}
