//! What is public: how much, and that it is the same for all modes. `.ci/public-api.txt` lists it, and
//! `.ci/public-api-default.txt` what is without features.

use std::collections::BTreeSet;

const PUBLIC: &str = include_str!("../.ci/public-api.txt");
const DEFAULT: &str = include_str!("../.ci/public-api-default.txt");
const PATHS: &str = include_str!("paths.rs");

/// So many items there may be with all features, and without any. The lists have what a trait of this crate gives to a
/// type twice, at both.
const BUDGETS: [(&str, usize); 2] = [(PUBLIC, 1800), (DEFAULT, 800)];

#[test]
fn it_is_no_more_than_a_reader_can_know() {
    for (list, budget) in BUDGETS {
        let items = list.lines().collect::<BTreeSet<_>>().len();
        assert!(items <= budget, "{items} public items of {budget}");
    }
}

#[test]
fn features_only_add() {
    let all: BTreeSet<_> = PUBLIC.lines().collect();
    let missing: Vec<_> = DEFAULT.lines().filter(|item| !all.contains(item)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What may wait is no `async fn` beside a function that blocks, but one for all modes. Calls are not there yet.
#[test]
fn what_waits_is_defined_for_all_modes() {
    for line in PUBLIC.lines().filter(|line| line.starts_with("pub async fn ")) {
        assert!(line.contains("typed_pipe::Client"), "for tasks alone: {line}");
    }
}

/// What only the crate's own framings and codecs need stands behind them.
#[test]
fn a_framing_or_a_codec_of_ones_own_has_at_most_five_methods() {
    for (item, most) in [("wire::Framing", 5), ("wire::Codec", 4)] {
        let method = format!("pub fn typed_pipe::{item}::");
        let methods = PUBLIC.lines().filter(|line| line.starts_with(&method)).count();
        assert_eq!(methods, most, "{item}");
    }
}

#[test]
fn what_waits_is_named_by_its_path_in_a_test() {
    let waits = |line: &&str| line.contains(" fn ") && line.contains("Ret");
    let mut names = 0;
    for line in PUBLIC.lines().filter(waits) {
        let name = name_of_function(line);
        let named =
            PATHS.contains(&format!("::{name}(")) || PATHS.contains(&format!("::{name}::<"));
        assert!(named, "tests/paths.rs lacks {line}");
        names += 1;
    }
    assert!(names > 40, "{names}");
}

/// What stands before the parentheses, without what stands in angle brackets.
fn name_of_function(line: &str) -> String {
    let mut depth = 0;
    let mut path = String::new();
    for c in line.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            '(' if depth == 0 => break,
            c if depth == 0 => path.push(c),
            _ => {}
        }
    }
    path.rsplit("::").next().unwrap_or_default().to_owned()
}
