//! The pictures of the docs are made from text of this repository, and say so when that text has changed.
//!
//! `TYPED_PIPE_DRAW=1 cargo test --test pictures` draws them anew.

mod chart;
mod states;
mod svg;
mod wires;

use std::fs;
use std::path::Path;

#[test]
fn the_states_are_those_of_the_docs_of_a_pipe() {
    up_to_date("states.svg", &states::picture(include_str!("../../src/pipe.rs")));
}

#[test]
fn the_wires_are_those_of_the_docs_of_the_module() {
    up_to_date("wires.svg", &wires::picture(include_str!("../../src/wire/mod.rs")));
}

#[test]
fn the_chart_is_that_of_the_table_of_costs() {
    up_to_date("speed.svg", &chart::picture(&chart::rows(include_str!("../../docs/COSTS.md"))));
}

/// Without a blank line before it, its tags would be taken for parts of a paragraph.
#[test]
fn a_picture_in_the_docs_follows_a_blank_line() {
    let sources = [
        include_str!("../../src/lib.rs"),
        include_str!("../../src/pipe.rs"),
        include_str!("../../src/wire/mod.rs"),
    ];
    for source in sources {
        let lines: Vec<_> = source.lines().map(str::trim).collect();
        let picture = lines.iter().position(|line| line.contains(".svg")).unwrap();
        assert!(["///", "//!", "#[doc = \"\"]"].contains(&lines[picture - 1]));
    }
}

/// Whether the file has this picture. Rustdoc shows it as a part of a page, and takes a blank line for its end.
fn up_to_date(file: &str, picture: &str) {
    assert!(picture.lines().all(|line| !line.trim().is_empty()));
    assert!(picture.lines().next().unwrap().ends_with('>'));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("TYPED_PIPE_DRAW").is_some() {
        fs::write(&path, picture).unwrap();
    }
    let drawn = fs::read_to_string(&path).unwrap_or_default();
    let drawn = drawn.replace("\r\n", "\n");
    assert!(drawn == picture, "docs/{file} is stale: draw it with TYPED_PIPE_DRAW=1");
}
