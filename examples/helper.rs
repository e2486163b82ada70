//! A helper that opens files for other processes, which may not open them themselves: it decides by user and by name, and
//! hands over the open file. `cargo run --features service --example helper`
//!
//! It starts two clients of its own. For other users, serve at a path that they can reach, and ask from their shells:
//! `helper serve PATH FOLDER`, `helper ask PATH NAME`.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde::{Deserialize, Serialize};
use typed_pipe::{
    Access, CancelToken, Carried, Client, ClientOptions, ConnectOptions, Context, Handles,
    ListenerOptions, Service,
};

/// What a client asks for: a file by its name alone.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    name: String,
}

type Answer = Result<Carried<File>, String>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demonstrate(),
        ["serve", path, folder] => {
            let listener = options().bind(path)?;
            serve(Service::new(listener), folder.into())
        }
        ["ask", path, name] => ask(path, name),
        _ => Err("usage: helper [serve PATH FOLDER | ask PATH NAME]".into()),
    }
}

/// Every user of this machine may connect.
fn options() -> ListenerOptions {
    ListenerOptions::new().access(Access::LocalUsers)
}

/// Opens files of a folder for clients that the rule admits.
fn serve(service: Service<Open, Answer>, folder: PathBuf) -> Result<(), Box<dyn Error>> {
    let service = service.admit(|peer| match peer.pid() {
        Some(_) => Ok(()),
        None => Err("only processes of this machine are helped".into()),
    });
    let summary = service.serve_with_context(|open, context: Context| {
        let user = context.peer().map(|peer| peer.user().to_string()).unwrap_or_default();
        println!("helper: user {user} asks for {:?}", open.name);
        hand_over(&folder, &open.name, &context)
    })?;
    println!("helper: {} answers", summary.answered);
    Ok(())
}

/// A file that others may read, or why not.
fn hand_over(folder: &Path, name: &str, context: &Context) -> Answer {
    let is_a_name = Path::new(name).file_name().is_some_and(|file| file == name);
    if !is_a_name || name.starts_with("secret") {
        return Err(format!("{name:?} is not for you"));
    }
    let opened = File::open(folder.join(name)).map_err(|error| error.to_string())?;
    let mut handles = Handles::new();
    let file = handles.carry(opened).map_err(|error| error.to_string())?;
    context.give_handles(handles).map_err(|error| error.to_string())?;
    Ok(file)
}

/// Asks for a file, and reads it.
fn ask(path: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let options = ClientOptions::new().with_handles();
    // The helper may be one of another user.
    let options = options.connecting(ConnectOptions::new().trust_any_owner());
    let client: Client<Open, Answer> = options.connect(path)?;
    let (answer, mut handles) =
        client.call_with_handles(&Open { name: name.into() }, &mut Handles::new())?;
    match answer {
        Ok(file) => {
            let mut words = String::new();
            handles.claim(file)?.read_to_string(&mut words)?;
            println!("client: {name} says {words:?}");
        }
        Err(refused) => println!("client: {refused}"),
    }
    Ok(())
}

/// Serves, and asks by two processes.
fn demonstrate() -> Result<(), Box<dyn Error>> {
    let folder = env::temp_dir().join(format!("helper-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("notes"), "remember the milk")?;
    std::fs::write(folder.join("secret"), "nobody knows")?;

    let token = CancelToken::new()?;
    let service = Service::new(options().temporary()?).cancelled_by(&token);
    let path = service.path().clone();
    let served = folder.clone();
    let serving = thread::spawn(move || serve(service, served).map_err(|error| error.to_string()));
    for name in ["notes", "secret"] {
        Command::new(env::current_exe()?).arg("ask").arg(&path).arg(name).status()?;
    }
    token.cancel();
    serving.join().map_err(|_| "the service panicked")??;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
