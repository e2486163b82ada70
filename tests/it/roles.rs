//! What the other process does on a two-way pipe.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use typed_pipe::{Connection, Listener, TypedConnection, WithHandles};

use crate::peer::{READY, await_go, count, number, step};

pub(crate) fn play(role: &str, name: &Path) {
    match role {
        // Connects, and looks at who listens.
        "connect" => {
            let connection = Connection::connect(name).unwrap();
            connection.require_same_user().unwrap();
            step(READY);
            await_go();
        }
        "greet-and-leave" => {
            let mut connection = Connection::connect(name).unwrap();
            connection.write_all(b"hello").unwrap();
        }
        "ask" => {
            let mut connection = Connection::connect(name).unwrap();
            connection.write_all(b"and I").unwrap();
            let mut answer = String::new();
            connection.finish().unwrap().read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "and I!");
        }
        // Listens, and greets one client.
        "listen" => {
            let listener = Listener::bind(name).unwrap();
            step(READY);
            let mut client = listener.accept().unwrap();
            client.write_all(b"x").unwrap();
            await_go();
        }
        // Again and again, until it is killed.
        "listen-and-leave" => {
            drop(Listener::bind(name).unwrap());
            step(READY);
            loop {
                drop(Listener::bind(name).unwrap());
            }
        }
        "a-thousand-connections" => a_thousand_connections(name),
        // Answers each number with the next one.
        "count-up" => {
            let server = TypedConnection::<u64, u64>::connect(name).unwrap();
            let (mut sender, receiver) = server.split();
            for number in receiver {
                sender.send(&(number.unwrap() + 1)).unwrap();
            }
        }
        // Reads the files that come with a message, which says what is in them.
        "read-files" => {
            type Files = WithHandles<Vec<(u32, String)>>;
            let mut server = TypedConnection::<u32, Files>::connect(name).unwrap();
            while let Ok((told, mut handles)) = server.recv_with_handles() {
                let mut read = 0;
                for (number, words) in told {
                    let mut text = String::new();
                    handles.take::<File>(number).unwrap().read_to_string(&mut text).unwrap();
                    assert_eq!(text, words);
                    read += 1;
                }
                server.send(&read).unwrap();
            }
        }
        // Sends one message, and half of another.
        "half-a-message-both-ways" => {
            let server = TypedConnection::<String, u64>::connect(name).unwrap();
            let (mut sender, _receiver) = server.split();
            sender.send(&"whole".into()).unwrap();
            let mut half = sender.into_inner();
            half.write_all(&[0, 0, 0, 100, 1, 2, 3]).unwrap();
            step(READY);
            await_go();
        }
        "own-and-read-some"
        | "read-some"
        | "reuse-and-read-some"
        | "own-and-note"
        | "read-between-ends" => {
            crate::owners::roles::play(role, name, number());
        }
        _ if role.starts_with("fitting ") => crate::fitting::play(role, name),
        #[cfg(all(target_os = "linux", feature = "shared-memory"))]
        "give-frames" | "take-frames" | "give-what-is-not-sealed" | "change-what-is-sealed" => {
            crate::sealed_bytes::linux::play(role, name);
        }
        #[cfg(all(target_os = "linux", feature = "shared-memory"))]
        "echo-in-memory" | "pour-in-memory" | "take-in-memory" | "come-and-go"
        | "hold-in-memory" | "hand-in-memory" | "take-no-handles" | "double-in-memory"
        | "offer-in-want" | "call-in-memory" | "serve-in-memory" => {
            crate::shared_memory::linux::play(role, name)
        }
        #[cfg(feature = "shared-memory")]
        role if role.starts_with("view-") => crate::views::play(role, name),
        #[cfg(feature = "session")]
        role if role.starts_with("session-") => crate::sessions::play(role, name),
        #[cfg(unix)]
        _ => unix::play(role, name),
        #[cfg(not(unix))]
        _ => panic!("no role {role}"),
    }
}

fn a_thousand_connections(name: &Path) {
    let listener = Listener::bind(name).unwrap();
    let before = count("/proc/self/fd");
    for round in 0..1000 {
        let mut client = Connection::connect(name).unwrap();
        let server = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        match round % 4 {
            0 => drop((client, server)),
            1 => drop((server, client)),
            2 => drop((client.split(), server.finish().unwrap())),
            _ => {
                let mut server = server;
                server.read_exact(&mut [0]).unwrap();
                drop((client.finish().unwrap(), server));
            }
        }
        assert_eq!(listener.clients(), 0);
    }
    assert_eq!(count("/proc/self/fd"), before);
}

#[cfg(unix)]
pub(crate) use unix::become_nobody;

#[cfg(unix)]
mod unix {
    #[cfg(all(target_os = "linux", feature = "service"))]
    use std::collections::BTreeMap;
    #[cfg(all(target_os = "linux", feature = "service"))]
    use std::ffi::OsString;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    #[cfg(feature = "tokio")]
    use tokio::runtime::Builder;
    #[cfg(feature = "service")]
    use typed_pipe::Service;
    use typed_pipe::{ErrorKind, Handles, IfExists, ListenerOptions, Pipe};

    use super::*;
    #[cfg(all(feature = "service", any(target_os = "linux", feature = "tokio")))]
    use crate::by_hand::ByHand;
    #[cfg(all(target_os = "linux", feature = "service"))]
    use crate::by_hand::answer;
    #[cfg(all(feature = "service", feature = "tokio"))]
    use crate::by_hand::call;
    use crate::peer::unix::{await_round, processor_time};
    use crate::peer::{LOST, WON};
    #[cfg(all(target_os = "linux", feature = "service"))]
    use crate::support::comes_true;
    #[cfg(all(feature = "service", feature = "tokio"))]
    use crate::support::settled;

    pub(super) fn play(role: &str, name: &Path) {
        match role {
            "race-to-listen" => race_to_listen(name),
            "stranger" => stranger(name),
            "pair-up" => pair_up(),
            "unseeing" => unseeing(name),
            "fork-connections" => fork_connections(name),
            #[cfg(target_os = "linux")]
            "fork-in-a-container" => fork_in_a_container(name),
            #[cfg(feature = "service")]
            "fork-calls" => fork_calls(),
            #[cfg(feature = "tokio")]
            "fork-tasks" => fork_tasks(name),
            "fork-and-keep" => fork_and_leave(name, false),
            "fork-and-drop" => fork_and_leave(name, true),
            "fork-server" => fork_server(name),
            "exhausted-listener" => out_of_resources_listener(name),
            #[cfg(all(feature = "service", feature = "tokio"))]
            "exhausted-service" => out_of_resources_service(name),
            #[cfg(feature = "tokio")]
            "exhausted-tasks" => out_of_resources_tasks(name),
            #[cfg(feature = "fanout")]
            "exhausted-select" => out_of_resources_select(name),
            #[cfg(target_os = "linux")]
            "exhausted-sender" => out_of_resources_sender(),
            "exhausted-receiver" => out_of_resources_receiver(name),
            #[cfg(all(target_os = "linux", feature = "service"))]
            "refused-sleep" => refused_sleep(),
            #[cfg(feature = "service")]
            "exhausted-local-client" => out_of_resources_local_client(),
            "idle-reader" => idle_reader(name),
            "temporary" => {
                let _names = (Pipe::temporary().unwrap(), Listener::temporary().unwrap());
                step(READY);
                await_go();
            }
            "persistent" => {
                Pipe::temporary().unwrap().persist();
                step(READY);
            }
            "temporary-and-again" => {
                while std::fs::read_dir(std::env::temp_dir()).unwrap().next().is_some() {
                    drop(Pipe::temporary().unwrap());
                }
                step(READY);
            }
            #[cfg(feature = "service")]
            "echo" => {
                let echo = Service::<u32, u32>::bind(name).unwrap();
                echo.serve(|number| number).unwrap();
            }
            #[cfg(all(target_os = "linux", feature = "service"))]
            "echo-until-told" => crate::silent::echo_until_told(name, number()),
            #[cfg(all(target_os = "linux", feature = "service"))]
            "call-once-each" => crate::silent::call_once_each(name),
            #[cfg(all(feature = "service", feature = "tokio"))]
            "echo-in-tasks" => {
                let runtime = Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let echo = Service::<u32, u32>::bind(name).unwrap();
                    echo.into_tokio().unwrap().serve(|number| async move { number }).await.unwrap();
                });
            }
            "no-files" => crate::signals::no_files(name),
            "deadly-writes" => crate::signals::deadly_writes(),
            "lets-nothing-in" => crate::handles::roles::lets_nothing_in(name),
            "hoard-nothing" => crate::handles::roles::hoard_nothing(name),
            role if role.starts_with("access ") => crate::access::play(role, name),
            role if role.starts_with("inherited ") => crate::inherited::play(role, name),
            role if role.starts_with("links ") => crate::links::play(role, name),
            role if role.starts_with("trust ") => crate::trust::play(role, name),
            role if role.starts_with("names ") => crate::names::play(role, name),
            role if role.starts_with("neighbours ") => crate::neighbours::roles::play(role, name),
            other => panic!("no role {other}"),
        }
    }

    /// Tries to listen at a name, when told to; does so until told to go on.
    fn race_to_listen(name: &Path) {
        while await_round() {
            match Listener::bind(name) {
                Ok(listener) => {
                    step(WON);
                    await_go();
                    drop(listener);
                    step(READY);
                }
                Err(failed) => {
                    assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
                    step(LOST);
                }
            }
        }
    }

    /// Another user: comes in where it may, and listens itself.
    fn stranger(folder: &Path) {
        become_nobody();
        let failed = Connection::connect(folder.join("private")).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::PermissionDenied, "{failed}");
        // Root may listen for everybody.
        let mut open = Connection::connect(folder.join("open")).unwrap();
        let options = ListenerOptions::new().mode(0o666).trust_any_folder();
        let listener = options.bind(folder.join("theirs")).unwrap();
        // What is there belongs to somebody else.
        let reuse = ListenerOptions::new().trust_any_folder().if_exists(IfExists::Reuse);
        let failed = reuse.bind(folder.join("open")).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
        step(READY);
        await_go();
        assert_eq!(open.read(&mut [0]).unwrap(), 0);
        drop(listener);
    }

    /// Makes both sides of a connection where no folder can be made.
    fn pair_up() {
        assert_eq!(Listener::temporary().unwrap_err().kind(), ErrorKind::NotFound);
        let (mut one, mut other) = Connection::pair().unwrap();
        one.write_all(b"x").unwrap();
        other.read_exact(&mut [0]).unwrap();
        step(READY);
    }

    /// Cannot see the process on the other side, and knows its user all the same.
    fn unseeing(folder: &Path) {
        let listener = Listener::bind(folder.join("inside")).unwrap();
        let client = Connection::connect(folder.join("outside")).unwrap();
        step(READY);
        for connection in [client, listener.accept().unwrap()] {
            let who = connection.peer().unwrap();
            assert_eq!(who.pid(), None, "{who:?}");
            assert!(who.is_same_user());
            connection.require_same_user().unwrap();
        }
        await_go();
    }

    #[allow(unsafe_code, reason = "there is no safe way for the whole process")]
    pub(crate) fn become_nobody() {
        const NOBODY: libc::uid_t = 65534;
        // SAFETY: an empty list needs no place.
        let left = unsafe { libc::setgroups(0, std::ptr::null()) };
        // SAFETY: these change what this process may do, and no memory.
        let group = unsafe { libc::setgid(NOBODY) };
        // SAFETY: as above.
        let user = unsafe { libc::setuid(NOBODY) };
        assert_eq!((left, group, user), (0, 0, 0));
    }

    /// Forks: in the child, there is no number of it.
    #[allow(unsafe_code, reason = "only a fork shows what a forked child does")]
    fn fork() -> Option<libc::pid_t> {
        // SAFETY: the child touches nothing that another thread could hold locked, and ends at once.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        Some(child).filter(|&child| child > 0)
    }

    /// Ends a forked child.
    #[allow(unsafe_code, reason = "nothing but the process is to end")]
    fn exit() -> ! {
        // SAFETY: ends this process, and nothing else.
        unsafe { libc::_exit(0) }
    }

    #[allow(unsafe_code, reason = "only a fork shows what a forked child does")]
    fn wait_for(child: libc::pid_t) {
        let mut status = 0;
        // SAFETY: waits for our own child; there is room for its status.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
    }

    /// A child that was forked off drops what the parent has.
    fn fork_connections(name: &Path) {
        let listener = Listener::bind(name).unwrap();
        let temporary = Listener::temporary().unwrap();
        let mut client = Connection::connect(name).unwrap();
        let mut server = listener.accept().unwrap();
        let (mut reader, mut writer) = Connection::connect(name).unwrap().split();
        let mut other = listener.accept().unwrap();
        let Some(child) = fork() else {
            // In both orders.
            drop(writer);
            drop(reader);
            drop(client.split());
            drop((server, other, listener, temporary));
            exit();
        };
        wait_for(child);
        assert!(name.exists() && temporary.path().as_path().exists());
        assert_eq!(Listener::bind(name).unwrap_err().kind(), ErrorKind::InUse);
        // And all directions go on.
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        writer.write_all(b"x").unwrap();
        other.read_exact(&mut [0]).unwrap();
        other.write_all(b"x").unwrap();
        reader.read_exact(&mut [0]).unwrap();
        drop((listener, temporary));
        assert!(!name.exists());
    }

    /// This process is the first one of its container, and the child is that of its own.
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code, reason = "there is no safe way")]
    fn fork_in_a_container(name: &Path) {
        assert_eq!(std::process::id(), 1);
        // SAFETY: it changes nothing but where the next children are.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
        let pipe = Pipe::new(name.with_extension("pipe")).unwrap().mkfifo().unwrap();
        let listener = Listener::bind(name).unwrap();
        let (reader, mut writer) = Connection::connect(name).unwrap().split();
        let mut server = listener.accept().unwrap();
        let Some(child) = fork() else {
            assert_eq!(std::process::id(), 1);
            drop((pipe, listener, server));
            drop(writer);
            drop(reader);
            // What it makes itself is its own.
            drop(Pipe::temporary().unwrap());
            let other = Listener::bind(name.with_extension("other")).unwrap();
            drop(other);
            assert!(!name.with_extension("other").exists());
            exit();
        };
        wait_for(child);
        assert!(name.exists() && pipe.path().as_path().exists());
        writer.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        drop((pipe, listener, reader));
        assert!(!name.exists());
    }

    /// A child that was forked off drops the calls of its parent, and what serves.
    #[cfg(feature = "service")]
    fn fork_calls() {
        use std::sync::mpsc::channel;
        use typed_pipe::{Client, Context, Service};

        let (ours, theirs) = Connection::pair().unwrap();
        let (tell, told) = channel();
        let (go, gone) = channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let serving = thread::spawn(move || {
            let service = Service::<u32, u32>::over(theirs);
            service.serve_with_context(|number, context: Context<u32>| {
                if number == 1 {
                    context.send(&number).unwrap();
                }
                tell.send(()).unwrap();
                gone.lock().unwrap().recv().unwrap();
                assert!(!context.is_cancelled());
                number + 1
            })
        });
        let client = Client::<u32, u32>::over(ours).unwrap();
        let (call, mut items) = (client.start(&2).unwrap(), client.stream::<u32>(&1).unwrap());
        for () in told.iter().take(2) {}

        let (here, there) = Connection::pair().unwrap();
        let plugin = thread::spawn(move || {
            let service = Service::<u32, u32>::over(there);
            service.both_ways(|_: Client<u32, u32>| |number: u32| number + 1).unwrap()
        });
        let host = Service::<u32, u32>::over(here);
        let (to_plugin, beside) =
            host.both_ways(|_: Client<u32, u32>| |number: u32| number + 1).unwrap();
        let (to_host, beside_too) = plugin.join().unwrap();
        // Their threads have more stacks than the C library keeps for a child that has none of them.
        let many: Vec<_> = (0..16).map(|_| serving_of_threads()).collect();
        let Some(child) = fork() else {
            for _ in 0..3 {
                thread::spawn(|| ()).join().unwrap();
            }
            drop(many);
            drop((call, items, client));
            drop((to_plugin, beside, to_host, beside_too));
            exit();
        };
        wait_for(child);
        assert_eq!(to_plugin.call(&1).unwrap() + to_host.call(&1).unwrap(), 4);
        for _ in 0..2 {
            go.send(()).unwrap();
        }
        assert_eq!(items.recv().unwrap().unwrap(), 1);
        assert_eq!(items.finish().unwrap() + call.wait().unwrap(), 2 + 3);
        drop((client, beside, many));
        assert_eq!(serving.join().unwrap().unwrap().answered, 2);
        beside_too.wait().unwrap();
    }

    /// Both sides of a connection that goes both ways.
    #[cfg(feature = "service")]
    fn serving_of_threads() -> [(typed_pipe::Client<u32, u32>, typed_pipe::Serving); 2] {
        use typed_pipe::Client;

        let serve = |side| {
            let service = Service::<u32, u32>::over(side);
            service.both_ways(|_: Client<u32, u32>| |number: u32| number + 1).unwrap()
        };
        let (ours, theirs) = Connection::pair().unwrap();
        let other = thread::spawn(move || serve(theirs));
        [serve(ours), other.join().unwrap()]
    }

    /// A child that was forked off drops what the tasks of its parent wait for.
    #[cfg(feature = "tokio")]
    fn fork_tasks(name: &Path) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let pipe = name.with_extension("pipe");
        runtime.block_on(async {
            let listener = Listener::bind(name).unwrap().into_tokio().unwrap();
            let mut client = Connection::connect(name).unwrap();
            let mut server = listener.accept().await.unwrap();
            let pipe = Pipe::new(pipe).unwrap().mkfifo().unwrap();
            let path = pipe.path().clone();
            let mut reader = pipe.into_reader().into_tokio().open().await.unwrap();
            // All of them have waited before.
            let soon = Duration::from_millis(1);
            listener.accept_timeout(soon).await.unwrap_err();
            server.reader().read_timeout(&mut [0], soon).await.unwrap_err();
            reader.read_timeout(&mut [0], soon).await.unwrap_err();
            let Some(child) = fork() else {
                drop((listener, server, reader));
                exit();
            };
            wait_for(child);
            let helper = thread::spawn({
                let name = name.to_owned();
                move || {
                    thread::sleep(soon * 50); // the others are to wait by then
                    client.write_all(b"x").unwrap();
                    let mut writer = typed_pipe::WriteEnd::at(path).unwrap().open().unwrap();
                    writer.write_all(b"x").unwrap();
                    Connection::connect(name).unwrap()
                }
            });
            assert_eq!(server.reader().read(&mut [0]).await.unwrap(), 1);
            assert_eq!(reader.read(&mut [0]).await.unwrap(), 1);
            drop(listener.accept().await.unwrap());
            drop(helper.join().unwrap());
        });
    }

    /// A child that was forked off lives on, with or without its copies of what its parent owns.
    fn fork_and_leave(name: &Path, drops: bool) {
        let owned = Pipe::new(name).unwrap().mkfifo().unwrap();
        let owned = (owned, Listener::bind(name.with_extension("door")).unwrap());
        if fork().is_some() {
            await_go(); // in vain
            return;
        }
        let kept = (!drops).then_some(owned);
        step(READY);
        // Until the test has ended.
        let _ = std::io::stdin().read(&mut [0]);
        drop(kept);
        exit();
    }

    /// A child that was forked off serves the client.
    fn fork_server(name: &Path) {
        let listener = Listener::bind(name).unwrap();
        let mut client = Connection::connect(name).unwrap();
        let mut server = listener.accept().unwrap();
        let (told, go) = Connection::pair().unwrap();
        let Some(child) = fork() else {
            let mut go = told;
            go.read_exact(&mut [0]).unwrap();
            server.read_exact(&mut [0]).unwrap();
            server.write_all(b"served").unwrap();
            let reader = server.finish().unwrap();
            go.read_exact(&mut [0]).unwrap();
            drop(reader);
            exit();
        };
        let mut go = go;
        go.write_all(b"x").unwrap();
        client.write_all(b"x").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "served");
        drop(server);
        go.write_all(b"x").unwrap();
        wait_for(child);
    }

    /// Fails if it was tried more often than every 20 ms: it rests for 50.
    fn assert_rested(refused: u32, since: Instant) {
        let most = since.elapsed().as_millis() / 20;
        assert!((1..=most).contains(&refused.into()), "{refused} tries in vain, of {most}");
    }

    /// Has no descriptor left for a client that waits.
    fn out_of_resources_listener(name: &Path) {
        let listener = Listener::bind(name).unwrap();
        let waiting: Vec<_> = (0..3).map(|_| Connection::connect(name).unwrap()).collect();
        let hoard = hoard(64);
        let (since, mut refused) = (Instant::now(), 0);
        let freeing = thread::spawn(move || {
            // The time is what is tested: how often it is tried in vain meanwhile.
            thread::sleep(Duration::from_millis(400));
            drop(hoard);
        });
        let first = loop {
            match listener.accept() {
                Ok(client) => break client,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
                    refused += 1;
                }
            }
        };
        assert_rested(refused, since);
        freeing.join().unwrap();
        let rest = [listener.accept().unwrap(), listener.accept().unwrap()];
        for mut server in rest.into_iter().chain([first]) {
            server.write_all(b"x").unwrap();
        }
        for mut client in waiting {
            client.read_exact(&mut [0]).unwrap();
        }
    }

    /// Waits for clients and for messages, and has no descriptor left for a client.
    #[cfg(feature = "fanout")]
    fn out_of_resources_select(name: &Path) {
        #[expect(clippy::large_enum_variant, reason = "there are few")]
        enum Event {
            Client(Result<Connection, typed_pipe::Error>),
            Message(u32),
        }
        let mut select = typed_pipe::Select::new().unwrap();
        select.add_listener(Listener::bind(name).unwrap(), Event::Client).unwrap();
        let (one, other) = Connection::pair().unwrap();
        let mut sender = one.split().1.into_sender::<u32>();
        let receiver = other.split().0.into_receiver::<u32>();
        select.add_receiver(receiver, |number| Event::Message(number.unwrap())).unwrap();
        let waiting: Vec<_> = (0..3).map(|_| Connection::connect(name).unwrap()).collect();
        let (since, hoard) = (Instant::now(), hoard(64));
        let freeing = thread::spawn(move || {
            // The time is what is tested: how often it is tried in vain meanwhile.
            thread::sleep(Duration::from_millis(400));
            drop(hoard);
        });
        let (mut refused, mut clients) = (0, Vec::new());
        while clients.len() < waiting.len() {
            match select.wait().unwrap().unwrap() {
                Event::Client(Ok(client)) => clients.push(client),
                Event::Client(Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
                    refused += 1;
                    // Others are heard meanwhile.
                    sender.send(&refused).unwrap();
                    let Some(Event::Message(number)) = select.wait().unwrap() else { panic!() };
                    assert_eq!(number, refused);
                }
                Event::Message(_) => unreachable!("all are read"),
            }
        }
        assert_rested(refused, since);
        freeing.join().unwrap();
    }

    /// Accepts with tasks, and has no descriptor left for a client.
    #[cfg(feature = "tokio")]
    fn out_of_resources_tasks(name: &Path) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let listener = Listener::bind(name).unwrap();
        let waiting: Vec<_> = (0..3).map(|_| Connection::connect(name).unwrap()).collect();
        let servers = runtime.block_on(async {
            let listener = listener.into_tokio().unwrap();
            let hoard = hoard(64);
            for _ in 0..2 {
                let refused = listener.try_accept().unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ResourceExhausted, "{refused}");
                let refused = listener.accept().await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ResourceExhausted, "{refused}");
                assert_eq!(listener.clients(), 0);
            }
            drop(hoard);
            // The order is that in which they came, whoever waits for them.
            let blocking = listener.into_blocking();
            let first = blocking.accept().unwrap();
            let listener = blocking.into_tokio().unwrap();
            let second = listener.accept().await.unwrap().into_blocking();
            let third = listener.accept().await.unwrap().into_blocking();
            [first, second, third]
        });
        for (number, (mut client, mut server)) in (0..).zip(waiting.into_iter().zip(servers)) {
            server.write_all(&[number]).unwrap();
            let mut got = [9];
            client.read_exact(&mut got).unwrap();
            assert_eq!(got, [number]);
        }
    }

    /// Serves with tasks, and has no descriptor left for a client.
    #[cfg(all(feature = "service", feature = "tokio"))]
    fn out_of_resources_service(name: &Path) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let service = Service::<u32, u32>::bind(name).unwrap().shutdown_after(1);
        let client = Connection::connect(name).unwrap();
        let calling = thread::spawn(move || {
            let mut client = ByHand::greet(client);
            client.send(&call(0, &7_u32));
            client.recv().answer::<u32>()
        });
        let summary = runtime.block_on(async {
            let service = service.into_tokio().unwrap();
            let mut hoard = hoard(64);
            hoard.pop(); // for the token by which it ends
            tokio::spawn(async move {
                settled().await; // until the service has tried in vain, and rests
                drop(hoard);
            });
            service.serve(|number| async move { number + 1 }).await.unwrap()
        });
        assert_eq!(calling.join().unwrap(), (0, 8));
        assert_eq!((summary.clients, summary.answered, summary.lost), (1, 1, 0));
    }

    /// Uses up all descriptors there may be.
    fn hoard(limit: u64) -> Vec<File> {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: most }).unwrap();
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        files
    }

    /// Whatever is lacking, the call that makes the client says so.
    #[cfg(feature = "service")]
    fn out_of_resources_local_client() {
        let mut hoard = hoard(128);
        let client = loop {
            match typed_pipe::Client::<u32, u32>::local(|number| number + 1) {
                Ok(client) => break client,
                Err(error) => assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}"),
            }
            // What has failed may be closed by another thread.
            drop(hoard.pop().unwrap());
        };
        assert_eq!(client.call(&1).unwrap(), 2);
    }

    /// Has as many handles on their way as its user may have.
    #[cfg(target_os = "linux")]
    fn out_of_resources_sender() {
        use rustix::thread::{Uid, set_thread_res_uid};

        let (one, other) = Connection::pair().unwrap();
        let taking = thread::spawn(|| other.into_typed::<(), WithHandles<u32>>().unwrap());
        let mut sender = one.into_typed::<WithHandles<u32>, ()>().unwrap();
        let mut receiver = taking.join().unwrap();
        // Of the superuser, any number may be.
        let nobody = Uid::from_raw(65534);
        let _ = set_thread_res_uid(nobody, nobody, nobody);
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: most }).unwrap();
        let mut send = |number| {
            let mut handles = Handles::new();
            for _ in 0..8 {
                handles.add(File::open("/dev/null").unwrap());
            }
            sender.send_with_handles(&number, &mut handles)
        };
        let (count, error) = (0..).find_map(|number| Some((number, send(number).err()?))).unwrap();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
        assert!(error.to_string().contains("handles"), "{error}");
        for number in 0..count {
            assert_eq!(receiver.recv_with_handles().unwrap().0, number);
        }
    }

    /// Calls in threads, where the system lets none of them sleep on a bit of a word.
    #[cfg(all(target_os = "linux", feature = "service"))]
    fn refused_sleep() {
        const THREADS: u32 = 8;

        if refuse_bits_of_words().is_err() {
            return step(LOST);
        }
        step(READY);
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let client = thread::spawn(move || typed_pipe::Client::<u32, u32>::connect(path).unwrap());
        let mut service = ByHand::greet(listener.accept().unwrap());
        let client = client.join().unwrap();
        thread::scope(|scope| {
            for number in 0..THREADS {
                let client = &client;
                scope.spawn(move || assert_eq!(client.call(&number).unwrap(), number));
            }
            let calls = [(); THREADS as usize].map(|()| service.recv().call::<u32>());
            // A thread that spins gives its processor away against its will alone. One of them reads, and this one looks.
            let before = rests();
            let rest = || {
                let rested = rests();
                let is_long =
                    |(thread, count): &(&_, &u64)| *count - before.get(*thread).unwrap_or(&0) >= 20;
                rested.iter().filter(is_long).count()
            };
            assert!(
                comes_true(Duration::from_secs(20), || rest() >= THREADS as usize),
                "they spin"
            );
            let answers = calls.map(|(id, number)| answer(id, &number));
            service.send(&answers.concat());
        });
        thread::scope(|scope| {
            let calls = [(); 4]
                .map(|()| scope.spawn(|| client.call_timeout(&0, Duration::from_millis(50))));
            for late in calls.map(thread::ScopedJoinHandle::join) {
                assert_eq!(late.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
            }
        });
    }

    /// How often each thread of this process has rested by itself.
    #[cfg(all(target_os = "linux", feature = "service"))]
    fn rests() -> BTreeMap<OsString, u64> {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let all = threads.filter_map(|thread| {
            let thread = thread.ok()?;
            // It may have ended by now.
            let status = std::fs::read_to_string(thread.path().join("status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
            Some((thread.file_name(), line.split_whitespace().nth(1)?.parse().ok()?))
        });
        all.collect()
    }

    /// From here on, this thread and those that it starts can neither sleep nor wake others by bits. Those of the standard
    /// library use none.
    #[cfg(all(target_os = "linux", feature = "service"))]
    #[allow(unsafe_code, reason = "a filter of system calls has no safe interface")]
    fn refuse_bits_of_words() -> std::io::Result<()> {
        const PRIVATE: i32 = libc::FUTEX_PRIVATE_FLAG;

        let load = |at| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
        let skip_unless = |value, count| {
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, count, value)
        };
        let end = |what| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, what);
        let refuse = end(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
        let allow = end(libc::SECCOMP_RET_ALLOW);
        // Of the call its number, and the lower halves of two of its arguments.
        let low = if cfg!(target_endian = "big") { 4 } else { 0 };
        let [number, second, last] = [0, 24 + low, 56 + low];
        let mut filter = [
            load(number),
            skip_unless(libc::SYS_futex as u32, 6),
            load(second),
            skip_unless((libc::FUTEX_WAKE_BITSET | PRIVATE) as u32, 1),
            refuse,
            skip_unless((libc::FUTEX_WAIT_BITSET | PRIVATE) as u32, 2),
            load(last),
            skip_unless(u32::MAX, 1),
            allow,
            refuse,
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: the call takes numbers.
        let bound = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the program lives over the call, and has the length that it says.
        let filtered = unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        if (bound, filtered) == (0, 0) { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }

    #[cfg(all(target_os = "linux", feature = "service"))]
    fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt, jf, k }
    }

    /// Has no room for all the handles of a message, and then has.
    fn out_of_resources_receiver(name: &Path) {
        let listener = Listener::bind(name).unwrap();
        let client = Connection::connect(name).unwrap();
        let sending = thread::spawn(move || {
            let mut client = client.into_typed::<WithHandles<u32>, ()>().unwrap();
            for number in 0..4 {
                let mut handles = Handles::new();
                for _ in 0..number * 2 {
                    handles.add(File::open("/dev/null").unwrap());
                }
                client.send_with_handles(&number, &mut handles).unwrap();
            }
            client
        });
        let server = listener.accept().unwrap();
        let mut server = server.into_typed::<(), WithHandles<u32>>().unwrap();
        let client = sending.join().unwrap();

        let mut hoard = hoard(128);
        let (number, handles) = server.recv_with_handles().unwrap();
        assert_eq!((number, handles.len()), (0, 0));
        let lost = server.recv_with_handles().unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::MessageLost, "{lost}");
        assert!(!lost.is_fatal() && lost.to_string().contains("too many open files"), "{lost}");
        // Now some of them come in, and not all.
        hoard.truncate(hoard.len() - 2);
        let before = count("/proc/self/fd");
        let lost = server.recv_with_handles().unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::MessageLost, "{lost}");
        assert_eq!(count("/proc/self/fd"), before);
        drop(hoard);
        let (number, mut handles) = server.recv_with_handles().unwrap();
        assert_eq!((number, handles.len()), (3, 6));
        (0..6).for_each(|number| drop(handles.take::<File>(number).unwrap()));
        drop(client);
    }

    /// Waits for bytes while one came out of band, without using the processor.
    fn idle_reader(name: &Path) {
        let listener = Listener::bind(name).unwrap();
        let client = std::os::unix::net::UnixStream::connect(crate::support::short(name)).unwrap();
        let mut server = listener.accept().unwrap();
        for round in 0..2 {
            if round == 1 && rustix::net::send(&client, b"!", rustix::net::SendFlags::OOB).is_err()
            {
                return;
            }
            let (used, since) = (processor_time(), Instant::now());
            let idle = loop {
                match server.reader().read_timeout(&mut [0], Duration::from_millis(500)) {
                    Ok(1) => {}
                    other => break other.unwrap_err(),
                }
            };
            assert_eq!(idle.kind(), ErrorKind::TimedOut);
            let used = processor_time() - used;
            assert!(used < since.elapsed() / 10, "used {used:?} while waiting");
        }
    }
}
