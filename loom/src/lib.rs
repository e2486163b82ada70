//! Parts of the crate in all orders that the memory model allows: the very files, and mutants of them, each of which must
//! fail.
#![cfg(test)]

mod lead;
mod serving;
mod shared_memory;

/// Runs a model in all orders with so many preemptions at most.
fn within(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// The file as it is, and its mutants.
const MODELS: [(&str, &[(&str, fn())]); 3] = [
    ("lead", lead::MUTANTS),
    ("serving", serving::MUTANTS),
    ("shared_memory", shared_memory::MUTANTS),
];

const MUTANT: &str = "TYPED_PIPE_LOOM_MUTANT";

/// What a process of its own tries, as loom ends one that fails. Not a test by itself.
#[test]
fn play() {
    let Ok(played) = std::env::var(MUTANT) else { return };
    let mut mutants = MODELS.iter().flat_map(|(file, mutants)| {
        mutants.iter().map(move |(name, run)| (format!("{file} {name}"), run))
    });
    let (_, run) = mutants.find(|(name, _)| *name == played).expect("there is no such mutant");
    run();
}

#[test]
fn each_mutant_is_found() {
    let passes = |name: &str| {
        let mut this = std::process::Command::new(std::env::current_exe().unwrap());
        let output = this.args(["--exact", "play"]).env(MUTANT, name).output().unwrap();
        output.status.success()
    };
    for (file, mutants) in MODELS {
        for (mutant, _) in mutants {
            let name = format!("{file} {mutant}");
            assert_eq!(passes(&name), *mutant == "as_it_is", "{name}");
            println!("as it should be: {name}");
        }
    }
}
