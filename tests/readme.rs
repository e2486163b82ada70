//! What the README says is so.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../README.md");
const TESTS: &str = include_str!("README.md");

#[test]
fn its_first_program_is_the_quickstart() {
    let program = block("rust,no_run");
    let (about, example) = include_str!("../examples/quickstart.rs").split_once("\n\n").unwrap();
    assert!(about.starts_with("//! "));
    assert_eq!(program, example);
}

#[test]
fn the_quickstart_prints_what_it_shows() {
    let (command, shown) = block("console").split_once('\n').unwrap();
    let arguments = command.strip_prefix("$ cargo ").unwrap().split(' ');
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown);
}

#[cfg(all(unix, feature = "tokio"))]
#[test]
fn ctrl_c_ends_the_telemetry_and_no_reading_is_missing() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    use rustix::process::{Pid, Signal, kill_process};

    // Cargo becomes the program.
    let mut collector = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--features", "tokio", "--example", "telemetry"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(collector.stdout.take().unwrap());
    let mut told = String::new();
    output.read_line(&mut told).unwrap();
    assert_eq!(told, "3 sensors, until Ctrl-C\n");
    kill_process(Pid::from_child(&collector), Signal::INT).unwrap();
    output.read_to_string(&mut told).unwrap();
    assert!(collector.wait().unwrap().success(), "{told}");
    assert!(told.ends_with("readings, none is missing\n"), "{told}");
}

#[test]
fn its_message_of_the_compiler_is_the_real_one() {
    let real = include_str!("../ui-tests/fail/open_before_allocate.stderr");
    let (_, shown) = README.split_once("```text\nerror").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    for line in shown.lines() {
        assert!(real.contains(line), "the compiler does not say: {line}");
    }
}

#[test]
fn the_tests_that_it_names_exist() {
    let refused = ["ui-tests/fail", "ui-tests/session"].map(|folder| root().join(folder));
    let tests = tests();
    let mut named = 0;
    let (_, section) = TESTS.split_once("## Guarantees").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.flat_map(|row| row.trim_end_matches(" |").split(" | ").skip(1));
    // Those of names and of nothing else.
    let between =
        |cell: &str| cell.split('`').step_by(2).all(|words| ["", " ", ", "].contains(&words));
    let names =
        cells.filter(|cell| between(cell)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    for name in names {
        let case = |folder: &PathBuf| folder.join(name).with_extension("rs").exists();
        let refused = refused.iter().any(case);
        let function = name.rsplit("::").next().unwrap_or(name); // some name its module as well
        assert!(refused || tests.contains(&format!("fn {function}(")), "there is no test {name}");
        named += 1;
    }
    assert!(named > 40, "the table of what is shown by which test has changed its form");
}

#[test]
fn the_tests_of_the_list_of_what_goes_wrong_exist() {
    let tests = tests();
    let (_, lists) = TESTS.split_once("## FIFOs").unwrap();
    let list = lists.lines();
    let list = list.filter(|line| line.starts_with("| A") || line.starts_with("| B"));
    let names = list.flat_map(|row| row.split('`').skip(1).step_by(2));
    let names: Vec<&str> = names.filter(|name| name.matches('_').count() > 3).collect();
    assert!(names.len() > 70, "the list has changed its form");
    for name in names {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

/// They were measured once, and stand in the docs.
#[test]
fn its_ratios_are_those_of_the_docs() {
    let (_, section) = README.split_once("## Performance").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let costs = include_str!("../docs/COSTS.md");
    let mut compared = 0;
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, row) = row.split_once('`').unwrap();
        let told = row.trim_end_matches(" |").rsplit_once("| ").unwrap().1;
        let digits = told.split_once('.').map_or(0, |(_, digits)| digits.len());
        let (_, measured) = costs.split_once(&format!("| `{name}` | ")).unwrap();
        let measured: f64 = measured.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(told, format!("{measured:.digits$}"), "{name}");
        compared += 1;
    }
    assert!(compared >= 4, "the table has changed its form");
}

/// A face that a stranger takes in.
#[test]
fn it_is_short() {
    assert!(README.lines().count() <= 200);
    let code = block("rust,no_run").lines().map(str::trim);
    let code = code.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(code <= 30, "the quickstart has {code} lines");
}

#[test]
fn no_link_of_the_pages_leads_nowhere() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for target in targets(&text) {
            links += 1;
            let lost = broken(&page, target);
            assert!(!lost, "the link to {target} in {} leads nowhere", page.display());
        }
        for label in shortcuts(&text) {
            let defined = text.contains(&format!("\n[`{label}`]: "));
            assert!(defined, "[`{label}`] in {} leads nowhere", page.display());
        }
    }
    assert!(links > 50, "links are not found any more");
}

/// The tests of the docs compile and run the programs of a page that the docs contain.
#[test]
fn every_program_of_the_pages_is_tested() {
    let docs = include_str!("../src/lib.rs");
    let mut tested = 0;
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        if text.contains("```rust") {
            let page = page.display().to_string().replace('\\', "/");
            let included = docs.contains(&format!("include_str!(\"../{page}\")"));
            assert!(included, "the programs of {page} are not compiled");
            tested += 1;
        }
    }
    assert!(tested >= 5, "programs are not found any more");
}

/// Whether a file is in the package, as `Cargo.toml` says.
fn is_packaged(file: &Path) -> bool {
    let (_, list) = include_str!("../Cargo.toml").split_once("include = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let mut paths = list.split('"').skip(1).step_by(2).map(|path| path.trim_matches(['/', '*']));
    paths.any(|path| file.to_str().unwrap().starts_with(path))
}

/// The pages of prose in the package.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    let docs = docs.filter(|page| page.extension() == Some(OsStr::new("md")));
    let others =
        ["README.md", "CHANGELOG.md", "examples/README.md", "tests/README.md"].map(PathBuf::from);
    docs.chain(others).collect()
}

/// What the links and pictures of a page lead to, in the line or by a definition.
fn targets(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2).collect::<Vec<_>>();
    let after = outside.iter().flat_map(|part| part.split("](").skip(1));
    let inline = after.filter_map(|rest| Some(rest.split_once(')')?.0));
    let lines = outside.iter().flat_map(|part| part.lines());
    let defined = lines.filter_map(|line| Some(line.strip_prefix('[')?.split_once("]: ")?.1));
    inline.chain(defined).collect()
}

/// The words in code that a page links to by their definition.
fn shortcuts(text: &str) -> impl Iterator<Item = &str> {
    let outside = text.split("```").step_by(2);
    let labels = outside.flat_map(|part| part.split("[`").skip(1));
    let labels = labels.filter_map(|rest| rest.split_once("`]"));
    labels.filter(|(_, after)| !after.starts_with(['(', '['])).map(|(label, _)| label)
}

fn broken(page: &Path, target: &str) -> bool {
    const DOCS: &str = "https://docs.rs/typed-pipe";
    if let Some(item) = target.strip_prefix(DOCS) {
        let item = item.strip_prefix("/latest/typed_pipe/");
        return !target.ends_with(DOCS) && item.is_none_or(|item| !is_documented(item));
    }
    if target.contains("://") {
        return false; // not ours to know
    }
    if target.starts_with("crate::") {
        return true; // rustdoc alone knows it
    }
    let (file, section) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    !is_packaged(&file) || !root().join(&file).exists() || !has_section(&file, section)
}

/// Whether a page has a heading of this anchor.
fn has_section(page: &Path, section: &str) -> bool {
    let text = || fs::read_to_string(root().join(page)).unwrap();
    let heading = |line: &str| Some(anchor(line.strip_prefix('#')?.trim_start_matches('#')));
    section.is_empty() || text().lines().filter_map(heading).any(|heading| heading == section)
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let words = heading.trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}

/// Whether the crate has an item of which this would be the page: `struct.End.html#method.open`.
fn is_documented(page: &str) -> bool {
    let (page, part) = page.split_once('#').unwrap_or((page, ""));
    let (modules, page) = page.rsplit_once('/').unwrap_or(("", page));
    let sources = tests();
    let declared = |kind: &str, name: &str| {
        let item = format!("pub {kind} {name}");
        let mut places = sources.match_indices(&item).map(|(at, _)| &sources[at + item.len()..]);
        places.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let is_item = match page.split_once('.') {
        Some(("index", _)) => true,
        Some(("macro", name)) => {
            sources.contains(&format!("macro_rules! {} ", name.trim_end_matches(".html")))
        }
        Some((kind, name)) => declared(kind, name.trim_end_matches(".html")),
        None => false,
    };
    let is_part = match part.split_once('.') {
        None if part.is_empty() => true,
        None => {
            let mut lines = sources.lines().filter_map(|line| line.trim().strip_prefix("/// # "));
            lines.any(|heading| anchor(heading) == part)
        }
        Some(("method", name)) => declared("fn", name) || declared("unsafe fn", name),
        Some(("variant", name)) => {
            sources.lines().any(|line| line.trim().trim_end_matches([',', ' ', '{']) == name)
        }
        Some(_) => false,
    };
    let are_modules = modules.split('/').filter(|module| !module.is_empty());
    let mut are_modules = are_modules.map(|module| declared("mod", module));
    is_item && is_part && are_modules.all(|module| module)
}

/// What the first block of this kind has in it.
fn block(kind: &str) -> &'static str {
    let (_, after) = README.split_once(&format!("```{kind}\n")).unwrap();
    after.split_once("```").unwrap().0
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources in which all tests are.
fn tests() -> String {
    let mut sources = String::new();
    for folder in ["src", "tests", "loom/src"] {
        read_sources(&root().join(folder), &mut sources);
    }
    sources
}

fn read_sources(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension() == Some(OsStr::new("rs")) {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
