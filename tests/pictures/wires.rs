//! The frames of the crate's wires, from the tables in the docs of the module `wire`.

use crate::svg::{Anchor, BLUE, GREEN, Hand, ORANGE, document, text, tile};

/// A framing, what its frames are for, and a short word for each row of its table.
struct Framing {
    name: &'static str,
    title: &'static str,
    fields: &'static [&'static str],
}

const FRAMINGS: [Framing; 3] = [
    Framing {
        name: "LengthPrefixed",
        title: "the default: one message",
        fields: &["length", "payload"],
    },
    Framing { name: "Checked", title: "damage is found", fields: &["length", "payload", "CRC-32"] },
    Framing {
        name: "MultiWriter",
        title: "many writers: one fragment, in one atomic write",
        fields: &["length", "0xD1", "kind", "writer", "number", "CRC-32", "whole", "payload"],
    },
];

const HEIGHT: f64 = 44.0;
const ROW: f64 = 104.0;

pub(crate) fn picture(source: &str) -> String {
    let mut lines = Vec::new();
    let mut y = 30.0;
    for framing in &FRAMINGS {
        lines.push(text(20.0, y, Anchor::Start, Hand::Code, framing.name));
        let beside = 20.0 + 7.4 * framing.name.len() as f64 + 12.0;
        lines.push(text(beside, y, Anchor::Start, Hand::Small, framing.title));
        let bytes = bytes(source, framing.name);
        assert_eq!(bytes.len(), framing.fields.len(), "the table of {} has changed", framing.name);
        let mut x = 20.0;
        for (bytes, field) in bytes.iter().zip(framing.fields) {
            // What has no number of bytes is as long as it is.
            let width = bytes.parse().map_or(200.0, |bytes: f64| 40.0 + 9.0 * bytes);
            let colour = match *field {
                "payload" => GREEN,
                "CRC-32" => ORANGE,
                _ => BLUE,
            };
            lines.push(tile(x, y + 10.0, width, HEIGHT, colour));
            let middle = x + width / 2.0;
            lines.push(text(middle, y + 29.0, Anchor::Middle, Hand::Plain, field));
            let bytes = match *bytes {
                "1" => "1 byte".to_owned(),
                number if number.parse::<u32>().is_ok() => format!("{number} bytes"),
                "rest" => "the rest".to_owned(),
                field => format!("{field} bytes"),
            };
            lines.push(text(middle, y + 46.0, Anchor::Middle, Hand::Small, &bytes));
            x += width + 4.0;
        }
        y += ROW;
    }
    let note = "All numbers are big-endian. “whole”, the size of the message, is in its first fragment only.";
    lines.push(text(20.0, y - 16.0, Anchor::Start, Hand::Small, note));
    let label = "The frames of the wires LengthPrefixed, Checked and Shared, field by field";
    document(760.0, y, label, &lines)
}

/// The first column of the table that comes after the first mention of this framing at the beginning of a line.
fn bytes<'a>(source: &'a str, framing: &str) -> Vec<&'a str> {
    let (_, section) =
        source.split_once(&format!("\n//! [`{framing}`]")).expect("its section is gone");
    let (_, table) = section.split_once("//! | bytes | meaning |\n").expect("its table is gone");
    let rows = table.lines().skip(1).map_while(|line| line.strip_prefix("//! | "));
    rows.map(|row| row.split_once(" |").unwrap().0.trim_matches('`')).collect()
}
