//! The architecture: which module knows which. Strictly downward.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each module with those that it may use, from the top to the bottom.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "tokio",
        &[
            "session",
            "service",
            "typed_connection",
            "channel",
            "connection",
            "handles",
            "end",
            "source",
            "path",
            "state",
            "wire",
            "permits",
            "adaptive_read",
            "wait",
            "sys",
            "error",
        ],
    ),
    ("tool", &["service", "typed_connection", "wire", "sys"]),
    ("os_handles", &["connection", "end", "handles", "state", "sys", "path", "error"]),
    (
        "service",
        &[
            "carried",
            "typed_connection",
            "channel",
            "connection",
            "handles",
            "path",
            "state",
            "wire",
            "wait",
            "sys",
            "error",
        ],
    ),
    ("session", &["typed_connection", "connection", "state", "wire", "sys", "error"]),
    ("pipecom", &["channel", "pipe", "end", "path", "state", "wire", "wait", "sys", "error"]),
    (
        "process",
        &[
            "watching",
            "typed_connection",
            "channel",
            "connection",
            "state",
            "wire",
            "wait",
            "sys",
            "error",
        ],
    ),
    (
        "carried",
        &["channel", "connection", "handles", "end", "path", "state", "wire", "sys", "error"],
    ),
    (
        "broadcast",
        &["backlog", "typed_connection", "channel", "connection", "wire", "wait", "sys", "error"],
    ),
    (
        "reconnect",
        &[
            "backlog",
            "typed_connection",
            "channel",
            "connection",
            "path",
            "wire",
            "wait",
            "sys",
            "error",
        ],
    ),
    ("select", &["channel", "connection", "end", "state", "wire", "wait", "sys", "error"]),
    ("backlog", &["wire", "wait", "sys", "error"]),
    ("oneshot", &["channel", "pipe", "end", "state", "wire", "wait", "error"]),
    ("owner_channels", &["channel", "pipe", "end", "state", "error"]),
    ("text", &["channel", "end", "state", "wire"]),
    ("foreign_handles", &["connection", "handles", "state", "sys", "error"]),
    ("whole_streams", &["end", "source", "state", "wait", "sys", "error"]),
    (
        "typed_connection",
        &[
            "watching",
            "channel",
            "connection",
            "handles",
            "path",
            "state",
            "wire",
            "wait",
            "sys",
            "error",
        ],
    ),
    (
        "channel",
        &[
            "connection",
            "handles",
            "end",
            "source",
            "path",
            "state",
            "wire",
            "wait",
            "sys",
            "error",
        ],
    ),
    ("watching", &["connection", "end", "state", "sys", "error"]),
    ("connection", &["end", "path", "state", "permits", "wait", "sys", "error"]),
    ("sealed_bytes", &["handles", "sys", "error"]),
    ("handles", &["sys", "error"]),
    ("pipe", &["end", "path", "state", "wait", "sys", "error"]),
    ("end", &["source", "adaptive_read", "path", "state", "wait", "sys", "error"]),
    ("source", &["state", "sys"]),
    ("wire", &["error"]),
    ("path", &["sys", "error"]),
    ("state", &["permits", "adaptive_read", "wait", "sys", "error"]),
    ("permits", &["wait", "sys", "error"]),
    ("adaptive_read", &["sys"]),
    ("wait", &["sys", "error"]),
    ("sys", &["error"]),
    ("error", &[]),
];

/// The modules that may tell systems apart.
const OF_SYSTEMS: [&str; 2] = ["sys", "os_handles"];

#[test]
fn every_module_is_in_the_table() {
    let there: BTreeSet<String> =
        sources().into_iter().map(|source| source.module).filter(|name| name != "lib").collect();
    let listed: BTreeSet<String> = LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, listed);
}

/// Of `tokio`, which has a file for each kind of thing, of the wires of others and of `sys` the folders are enough.
#[test]
fn every_file_is_on_the_map() {
    let map = include_str!("../CONTRIBUTING.md");
    let (map, _) = map.split_once("\ntests/\n").unwrap();
    for source in sources() {
        let folder = source.path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        if ["tokio", "multi_writer", "json", "foreign", "sys", "unix", "windows", "shared_memory"]
            .contains(&folder)
        {
            continue;
        }
        let name = source.path.file_name().unwrap().to_str().unwrap();
        let name = if name == "mod.rs" { format!(" {folder}/ ") } else { format!(" {name}") };
        assert!(map.contains(&name), "the map of CONTRIBUTING.md lacks {}", source.path.display());
    }
}

#[test]
fn the_table_goes_downward() {
    for (place, (name, uses)) in LAYERS.iter().enumerate() {
        for used in *uses {
            let below = LAYERS.iter().position(|(other, _)| other == used).unwrap();
            assert!(below > place, "{name} must stand above {used}");
        }
    }
}

#[test]
fn modules_use_what_is_below_them() {
    for source in sources() {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == source.module) else {
            continue;
        };
        for used in source.uses() {
            assert!(
                used == source.module || allowed.contains(&used.as_str()),
                "{} uses {used}, which is not below it",
                source.path.display(),
            );
        }
    }
}

/// The files of a folder may use each other by `super::`, and not in a circle.
#[test]
fn files_of_a_module_go_in_no_circle() {
    let sources = sources();
    let folders: BTreeSet<&Path> =
        sources.iter().filter_map(|source| source.path.parent()).collect();
    for folder in folders {
        let uses = uses_of_siblings(&sources, folder);
        for name in uses.keys() {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut next: Vec<&str> = uses[name].iter().map(String::as_str).collect();
            while let Some(used) = next.pop() {
                if reached.insert(used) {
                    next.extend(uses.get(used).into_iter().flatten().map(String::as_str));
                }
            }
            let circle = reached.contains(name.as_str());
            assert!(!circle, "{} uses itself by {reached:?}", folder.join(name).display());
        }
    }
}

#[test]
fn systems_are_told_apart_at_the_bottom() {
    for source in sources() {
        for (number, line) in (1..).zip(source.text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            let of_system = ["cfg(unix", "cfg(windows", "target_os", "target_vendor"];
            let found = of_system.iter().any(|word| code.contains(word));
            assert!(
                !found || OF_SYSTEMS.contains(&source.module.as_str()),
                "{}:{number} tells systems apart",
                source.path.display(),
            );
        }
    }
}

#[test]
fn without_its_feature_nothing_depends_on_tokio() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal,build", "--target", "all", "--prefix", "none"])
        .args(["--no-default-features", "--features", "json,bincode,tracing"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("postcard"), "{tree}");
    assert!(!tree.contains("tokio v") && !tree.contains("futures"), "{tree}");
}

#[test]
fn unsafe_code_is_at_the_bottom() {
    for source in sources() {
        let allows = source.text.contains("allow(unsafe_code");
        assert!(!allows || source.module == "sys", "{}", source.path.display());
    }
}

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

impl Source {
    /// The first names after a way up, outside of comments and of tests.
    fn names_after(&self, up: &str) -> BTreeSet<String> {
        let code: String = self
            .text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split("//").next())
            .collect();
        let mut names = BTreeSet::new();
        for (place, _) in code.match_indices(up) {
            let (before, after) = (&code[..place], &code[place + up.len()..]);
            if before.ends_with("super::") || after.starts_with("super::") {
                continue;
            }
            // `{a::B, C}` names two.
            let (mut depth, mut word) = (0, String::new());
            for c in after.chars() {
                match c {
                    '{' => depth += 1,
                    '}' | ';' if depth <= 1 => break,
                    '}' => depth -= 1,
                    _ if is_of_name(c) => word.push(c),
                    ',' if depth == 1 => names.extend([std::mem::take(&mut word)]),
                    ':' if depth <= 1 && !word.is_empty() && !word.ends_with(' ') => word.push(' '),
                    _ if depth == 0 => break,
                    _ => {}
                }
            }
            names.extend([word]);
        }
        let first = |name: String| name.split(' ').next().unwrap_or_default().to_owned();
        names.into_iter().map(first).filter(|name| !name.is_empty()).collect()
    }

    /// The modules of this crate that the source names, outside of its comments.
    fn uses(&self) -> BTreeSet<String> {
        let mut uses = BTreeSet::new();
        for line in self.text.lines() {
            // What a macro names, its user's code names.
            let code = line.split("//").next().unwrap_or_default().replace("$crate::", "");
            for after in code.split("crate::").skip(1) {
                let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                // What begins with a capital is re-exported, and only the docs of `lib` may use it.
                uses.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
            }
        }
        uses
    }
}

/// Which files, and folders, of a folder use which, by `super::`: by their names, or by what `mod.rs` has from them.
fn uses_of_siblings(sources: &[Source], folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let name_of = |source: &Source| {
        let rest = source.path.strip_prefix(folder).ok()?;
        let depth = rest.components().count();
        let name = Path::new(rest.components().next()?.as_os_str()).file_stem()?;
        (depth <= 2).then(|| (name.to_str().unwrap().to_owned(), depth))
    };
    let siblings: BTreeSet<String> =
        sources.iter().filter_map(|source| Some(name_of(source)?.0)).collect();
    let top = sources.iter().find(|source| source.path == folder.join("mod.rs"));
    let from_top = |item: &str| {
        let named = |line: &&str| {
            line.contains("use ") && line.split(|c: char| !is_of_name(c)).any(|word| word == item)
        };
        let line = top?.text.split(';').map(str::trim).find(named)?;
        let after = line.rsplit_once("use ")?.1;
        after.split_once("::").map(|(sibling, _)| sibling.to_owned())
    };
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let Some((name, depth)) = name_of(source) else { continue };
        // From a file in a folder of this one, the way up is one longer.
        let in_file = source.path.file_name().is_some_and(|file| file != "mod.rs");
        let up = if depth == 2 && in_file { "super::super::" } else { "super::" };
        if name == "mod" || name.starts_with("test") {
            continue;
        }
        for used in source.names_after(up) {
            let used = if siblings.contains(&used) { Some(used) } else { from_top(&used) };
            let used = used.filter(|used| *used != name && siblings.contains(used));
            uses.entry(name.clone()).or_default().extend(used);
        }
    }
    uses
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
            let module = Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap();
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { module: module.to_owned(), path, text });
        }
    }
    assert!(sources.len() > 10);
    sources
}
