//! `tpipe who`

use std::collections::BTreeMap;

use serde_json::{Value, json};
use typed_pipe::PipePath;
use typed_pipe::tool::{self, Does, Found, Kind, Locked};

use crate::args::Who;
use crate::failure::{Failure, NOT_FREE};
use crate::screen::Screen;

pub(crate) fn run(how: &Who, screen: &Screen) -> Result<u8, Failure> {
    let path = PipePath::new(&how.path)?;
    let name = path.as_path().display().to_string();
    let found = tool::look(path.as_path()).map_err(Failure::file(path.as_path()))?;
    if screen.is_json() {
        screen.value(&as_json(&name, &found))?;
    } else {
        in_words(&name, &found, screen)?;
    }
    Ok(if found.kind == Kind::Nothing { NOT_FREE } else { 0 })
}

/// The processes, each with what it does.
fn processes(found: &Found) -> BTreeMap<u32, (&str, Vec<&'static str>)> {
    let mut all = BTreeMap::<_, (&str, Vec<_>)>::new();
    for holder in found.processes.iter().flatten() {
        let does = &mut all.entry(holder.process).or_insert((&holder.name, Vec::new())).1;
        does.push(match holder.does {
            Does::Owns => "owns",
            Does::Reads => "reads",
            Does::Writes => "writes",
            Does::ReadsAndWrites => "reads and writes",
            Does::Listens => "listens",
            _ => "has it open",
        });
    }
    all
}

fn kind(found: &Found) -> &'static str {
    match found.kind {
        Kind::Nothing => "nothing",
        Kind::Pipe => "pipe",
        Kind::Listener => "listener",
        Kind::Other(other) => other,
        _ => "something else",
    }
}

fn as_json(name: &str, found: &Found) -> Value {
    let all: Vec<Value> = processes(found)
        .into_iter()
        .map(|(process, (name, does))| json!({"process": process, "name": name, "does": does}))
        .collect();
    json!({
        "path": name,
        "kind": kind(found),
        "mode": found.mode.map(|mode| format!("{mode:04o}")),
        "user": found.user,
        "lock": match &found.lock {
            Locked::No => "none",
            Locked::Held => "held",
            Locked::Left(_) => "left",
            _ => "no lock",
        },
        "waiting": found.waiting,
        "clients": found.clients,
        "processes": found.processes.as_ref().map(|_| all),
        "unseen": found.unseen,
    })
}

fn in_words(name: &str, found: &Found, screen: &Screen) -> Result<(), Failure> {
    screen.line(&format!("{name}: {}", kind(found)))?;
    if let Some((mode, user)) = found.mode.zip(found.user) {
        screen.about("rights", &format!("{mode:04o}, of user {user}"))?;
    }
    let lock = match &found.lock {
        Locked::No => "none: no owner of typed-pipe",
        Locked::Held => "held: its owner is alive",
        // A process that cannot be looked into cannot hold it, unless it is root or in another container.
        Locked::Left(true) => "left behind: `tpipe clean` removes it",
        Locked::Left(false) => "left behind, and another program made what is under the name",
        Locked::Not(why) => why,
        _ => "unknown",
    };
    screen.about("lock", lock)?;
    if let Some(bytes) = found.waiting {
        screen.about("waiting", &format!("{bytes} bytes"))?;
    }
    if let Some(clients) = found.clients {
        screen.about("clients", &clients.to_string())?;
    }
    let Some(_) = &found.processes else {
        return screen.about("processes", "this system does not tell");
    };
    if found.unseen > 0 {
        screen.about("unseen", &format!("{} processes of other users", found.unseen))?;
    }
    let all = processes(found);
    if all.is_empty() {
        return screen.about("processes", "none");
    }
    let head = ["PROCESS", "NAME", "DOES"].map(str::to_owned).to_vec();
    let rows = all
        .into_iter()
        .map(|(process, (name, does))| vec![process.to_string(), name.to_owned(), does.join(", ")]);
    screen.table(&[head].into_iter().chain(rows).collect::<Vec<_>>())
}
