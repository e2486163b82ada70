//! A name that is moved or removed under a reader, a listener or a service: the other processes cannot come any more.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use typed_pipe::state::{Allocated, Open};
use typed_pipe::{
    Connection, Error, ErrorKind, IfExists, Listener, ListenerOptions, OnHangup, Pipe, PipeOptions,
    ReadEnd, TypedReceiver, WriteEnd,
};

use crate::support::{Folder, keep_private, short, watched};

const SHORT: Duration = Duration::from_millis(50);

/// As a program that rotates logs does it.
fn rotate(name: &Path) {
    fs::rename(name, name.with_extension("1")).unwrap();
    mkfifo(name);
}

fn mkfifo(name: &Path) {
    assert!(Command::new("mkfifo").arg(name).status().unwrap().success());
}

/// What a writer at the name says, who may wait for its reader.
fn say(name: &Path, word: &'static str) -> thread::JoinHandle<()> {
    let name = name.to_owned();
    thread::spawn(move || {
        let mut end = WriteEnd::at(name).unwrap().open().unwrap();
        end.write_all(word.as_bytes()).unwrap();
    })
}

/// Repeats what takes no longer than its timeout until it comes to something else.
fn repeat<T>(mut operation: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        match operation() {
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                thread::sleep(Duration::from_millis(5)); // what else the program does
            }
            done => return done,
        }
    }
}

/// How a client is accepted.
const ACCEPTS: [fn(&Listener) -> Result<Connection, Error>; 3] = [
    |listener| listener.accept(),
    |listener| repeat(|| listener.accept_timeout(SHORT)),
    |listener| repeat(|| listener.try_accept()),
];

fn fifo(folder: &Folder) -> PathBuf {
    let name = folder.name("log");
    mkfifo(&name);
    name
}

#[test]
fn a_reader_follows_its_name_when_its_fifo_is_moved_away() {
    watched(|| {
        type Reads = fn(&mut ReadEnd, &mut [u8]) -> Result<usize, Error>;
        let reads: [Reads; 3] = [
            |end, buf| end.read(buf),
            |end, buf| repeat(|| end.read_timeout(buf, SHORT)),
            |end, buf| repeat(|| end.try_read(buf)),
        ];
        for (number, read) in reads.into_iter().enumerate() {
            let folder = Folder::new();
            let name = fifo(&folder);
            let end = ReadEnd::at(&name).unwrap().on_hangup(OnHangup::NextWriter);
            let mut end = end.open().unwrap();
            rotate(&name);
            let saying = say(&name, "news");
            let mut buf = [0; 4];
            assert_eq!(read(&mut end, &mut buf).unwrap(), 4, "{number}");
            saying.join().unwrap();
            // Once more, between two writers.
            rotate(&name);
            let saying = say(&name, "more");
            while read(&mut end, &mut buf).unwrap() == 0 {}
            assert_eq!(&buf, b"more", "{number}");
            saying.join().unwrap();
        }
    });
}

#[test]
fn a_reader_whose_fifo_is_moved_away_for_good_is_told() {
    watched(|| {
        let folder = Folder::new();
        let name = fifo(&folder);
        let mut end = ReadEnd::at(&name).unwrap().open().unwrap();
        fs::rename(&name, folder.name("log.1")).unwrap();
        let error = repeat(|| end.read_timeout(&mut [0; 8], SHORT)).unwrap_err();
        assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::NotFound, true), "{error}");
        fs::write(&name, "a file").unwrap();
        let error = end.read(&mut [0; 8]).unwrap_err();
        assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::NotAPipe, true), "{error}");
    });
}

#[test]
fn a_reader_that_waits_for_a_program_is_told_that_its_name_is_gone() {
    watched(|| {
        let folder = Folder::new();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        for at_once in [true, false] {
            let pipe = Pipe::create(folder.name("log")).unwrap();
            let name = pipe.path().clone();
            let mut end = pipe.into_reader().open().unwrap();
            if !at_once {
                end.wait_for_peer_timeout(&child, SHORT).unwrap_err();
            }
            fs::remove_file(&name).unwrap();
            let error = end.wait_for_peer(&child).unwrap_err();
            assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::NotFound, true), "{error}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_that_waits_for_a_program_is_told_that_its_name_is_gone() {
    watched(|| {
        let folder = Folder::new();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pipe = Pipe::create(folder.name("log")).unwrap();
            let name = pipe.path().clone();
            let mut end = pipe.into_reader().into_tokio().open().await.unwrap();
            fs::remove_file(&name).unwrap();
            let error = end.wait_for_peer(&child).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        });
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn a_reader_that_waits_for_a_program_takes_its_name_again() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("log");
        let options = PipeOptions::new().if_exists(IfExists::TakeAgain);
        let mut end = options.at(&name).unwrap().mkfifo().unwrap().into_reader().open().unwrap();
        fs::remove_file(&name).unwrap();
        let script = "until [ -p \"$0\" ]; do sleep 0.01; done; echo news > \"$0\"; exec sleep 60";
        let mut child = Command::new("sh").args(["-c", script]).arg(&name).spawn().unwrap();
        end.wait_for_peer(&child).unwrap();
        let mut news = [0; 5];
        end.read_exact(&mut news).unwrap();
        assert_eq!(&news, b"news\n");
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[cfg(feature = "fanout")]
#[test]
fn a_broadcast_says_once_that_no_further_reader_can_connect() {
    use typed_pipe::{Broadcast, SlowReader, TypedConnection};
    watched(|| {
        let folder = Folder::new();
        let listener = Listener::bind(folder.name("news")).unwrap();
        let news = Broadcast::<u32>::new(listener, SlowReader::DropOldest).unwrap();
        let mut reader = TypedConnection::<(), u32>::connect(news.listener().path()).unwrap();
        fs::remove_file(folder.name("news")).unwrap();
        let mut number = 0;
        let error = loop {
            if let Err(error) = news.send(&number) {
                break error;
            }
            assert_eq!(reader.recv().unwrap(), number);
            number += 1;
        };
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        // The reader has got that value, and gets all others.
        news.send(&(number + 1)).unwrap();
        assert_eq!((reader.recv().unwrap(), reader.recv().unwrap()), (number, number + 1));
    });
}

#[test]
fn a_reader_of_a_moved_fifo_hears_the_writers_that_have_it_open() {
    watched(|| {
        let folder = Folder::new();
        let name = fifo(&folder);
        let mut end = ReadEnd::at(&name).unwrap().open().unwrap();
        let mut writer = WriteEnd::at(&name).unwrap().open().unwrap();
        rotate(&name);
        let error = end.read_timeout(&mut [0; 8], Duration::from_millis(2500)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        writer.write_all(b"last").unwrap();
        assert_eq!(end.read(&mut [0; 8]).unwrap(), 4);
    });
}

#[test]
fn an_owner_is_told_that_its_fifo_has_lost_its_name() {
    watched(|| {
        type Loses = fn(&Path);
        let loses: [(Loses, ErrorKind); 3] = [
            (|name| fs::remove_file(name).unwrap(), ErrorKind::NotFound),
            (|name| fs::rename(name, name.with_extension("1")).unwrap(), ErrorKind::NotFound),
            (|name| rotate(name), ErrorKind::NotAPipe),
        ];
        for (lose, kind) in loses {
            let folder = Folder::new();
            let name = folder.name("jobs");
            let mut pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
            let mut end = pipe.reader().on_hangup(OnHangup::NextWriter).open().unwrap();
            let saying = say(&name, "one");
            assert_eq!(end.read(&mut [0; 8]).unwrap(), 3);
            saying.join().unwrap();
            lose(&name);
            let error = repeat(|| match end.read_timeout(&mut [0; 8], SHORT)? {
                0 => end.read_timeout(&mut [0; 8], SHORT), // the writer has left
                more => panic!("{more} bytes of nobody"),
            })
            .unwrap_err();
            assert_eq!((error.kind(), error.is_fatal()), (kind, true), "{error}");
            let messages = TypedReceiver::<u32, _>::new(end);
            assert_eq!(messages.count(), 1, "a loop over messages ends as well");
        }
    });
}

#[test]
fn a_listener_is_told_that_it_has_lost_its_name() {
    watched(|| {
        for accept in ACCEPTS {
            let folder = Folder::new();
            let name = folder.name("door");
            let listener = Listener::bind(&name).unwrap();
            let early = Connection::connect(&name).unwrap();
            fs::remove_file(&name).unwrap();
            // Who came before is let in.
            drop((accept(&listener).unwrap(), early));
            let error = accept(&listener).unwrap_err();
            assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::NotFound, true), "{error}");
            let _other = UnixListener::bind(short(&name)).unwrap();
            let error = accept(&listener).unwrap_err();
            assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::NotAPipe, true), "{error}");
            // It leaves the other one's name alone, and may be made again elsewhere.
            drop(listener);
            assert!(name.exists());
        }
    });
}

/// How a name is lost.
const LOSES: [fn(&Path); 3] = [
    |name| fs::remove_file(name).unwrap(),
    |name| fs::rename(name, name.with_extension("1")).unwrap(),
    |name| {
        // The whole folder is tidied up, with the lock.
        fs::remove_file(name).unwrap();
        fs::remove_file(format!("{}.lock", name.display())).unwrap();
    },
];

/// Of a name that was lost in one of these ways.
fn nothing_is_left(folder: &Folder, name: &Path) {
    let _ = fs::remove_file(name.with_extension("1"));
    assert!(folder.entries().is_empty(), "{:?}", folder.entries());
}

fn mode(name: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(name).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_owner_takes_the_lost_name_of_its_fifo_again() {
    watched(|| {
        type Reads = fn(&mut ReadEnd<Open, Pipe<Allocated>>, &mut [u8]) -> Result<usize, Error>;
        let reads: [Reads; 3] = [
            |end, buf| end.read(buf),
            |end, buf| repeat(|| end.read_timeout(buf, SHORT)),
            |end, buf| repeat(|| end.try_read(buf)),
        ];
        for (read, lose) in reads.into_iter().zip(LOSES) {
            let folder = Folder::new();
            let name = folder.name("jobs");
            let options = PipeOptions::new().if_exists(IfExists::TakeAgain).mode(0o660);
            let pipe = options.at(&name).unwrap().mkfifo().unwrap();
            let end = pipe.into_reader().on_hangup(OnHangup::NextWriter);
            let mut end = end.open().unwrap();
            for round in ["one", "two"] {
                lose(&name);
                let saying = say(&name, round);
                let mut buf = [0; 3];
                while read(&mut end, &mut buf).unwrap() == 0 {}
                assert_eq!((&buf, mode(&name)), (round.as_bytes().try_into().unwrap(), 0o660));
                saying.join().unwrap();
            }
            assert!(!end.is_unlinked());
            let busy = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
            assert_eq!(busy.kind(), ErrorKind::InUse);
            drop(end);
            nothing_is_left(&folder, &name);
        }
    });
}

#[test]
fn an_owner_takes_the_lost_name_of_its_fifo_again_when_it_opens_an_end() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("jobs");
        let options = PipeOptions::new().if_exists(IfExists::TakeAgain);
        let mut pipe = options.at(&name).unwrap().mkfifo().unwrap();
        fs::remove_file(&name).unwrap();
        let reading = {
            let name = name.clone();
            thread::spawn(move || {
                let mut text = String::new();
                ReadEnd::at(name).unwrap().open().unwrap().read_to_string(&mut text).unwrap();
                text
            })
        };
        pipe.open_writer().unwrap().write_all(b"hello").unwrap();
        assert_eq!(reading.join().unwrap(), "hello");
        fs::remove_file(&name).unwrap();
        let mut end = pipe.reader().open().unwrap();
        let saying = say(&name, "one");
        assert_eq!(end.read(&mut [0; 8]).unwrap(), 3);
        saying.join().unwrap();
    });
}

#[test]
fn a_listener_takes_its_lost_name_again() {
    watched(|| {
        for (accept, lose) in ACCEPTS.into_iter().zip(LOSES) {
            let folder = Folder::new();
            let name = folder.name("door");
            let options = ListenerOptions::new().if_exists(IfExists::TakeAgain);
            let listener = options.mode(0o666).bind(&name).unwrap();
            for _ in 0..2 {
                let early = Connection::connect(&name).unwrap();
                lose(&name);
                let coming = {
                    let name = name.clone();
                    thread::spawn(move || Connection::connect(name).unwrap())
                };
                // The one that came before the loss, and the one that waits for the name.
                let served = [(); 2].map(|()| accept(&listener).unwrap());
                drop((served, early, coming.join().unwrap()));
                assert_eq!(mode(&name), 0o666);
            }
            assert!(!listener.is_unlinked());
            assert_eq!(Listener::bind(&name).unwrap_err().kind(), ErrorKind::InUse);
            drop(listener);
            nothing_is_left(&folder, &name);
        }
    });
}

#[test]
fn a_client_that_comes_just_before_the_name_is_lost_is_let_in() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let options = ListenerOptions::new().if_exists(IfExists::TakeAgain);
        let listener = options.bind(&name).unwrap();
        let rounds = 100;
        let serving = thread::spawn(move || {
            // It looks at its name all the time.
            for _ in 0..rounds {
                let accepted = loop {
                    match listener.try_accept() {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        accepted => break accepted,
                    }
                };
                accepted.unwrap().writer().write_all(b"x").unwrap();
            }
            // Its last name is there until the test has removed it.
            listener
        });
        for round in 0..rounds {
            let mut client = Connection::connect(&name).unwrap();
            fs::remove_file(&name).unwrap();
            assert_eq!(client.reader().read(&mut [0]).unwrap(), 1, "{round}");
        }
        drop(serving.join().unwrap());
    });
}

#[test]
fn a_name_that_another_process_has_by_now_is_not_taken_again() {
    watched(|| {
        let folder = Folder::new();
        let [door, jobs, other] = ["door", "jobs", "other"].map(|name| folder.name(name));
        let listener = ListenerOptions::new().if_exists(IfExists::TakeAgain).bind(&door).unwrap();
        let options = PipeOptions::new().if_exists(IfExists::TakeAgain);
        let pipe = options.at(&jobs).unwrap().mkfifo().unwrap();
        let mut end = pipe.into_reader().open().unwrap();
        for name in [&door, &jobs] {
            fs::remove_file(name).unwrap();
            fs::write(name, "a file").unwrap();
        }
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::NotAPipe);
        assert_eq!(end.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::NotAPipe);
        // One that another owner of this crate has.
        let mut late = options.at(&other).unwrap().mkfifo().unwrap();
        fs::remove_file(&other).unwrap();
        fs::remove_file(folder.name("other.lock")).unwrap();
        let theirs = Pipe::new(&other).unwrap().mkfifo().unwrap();
        assert_eq!(late.reader().open().unwrap_err().kind(), ErrorKind::NotAPipe);
        drop((listener, end, late));
        for name in [&door, &jobs] {
            assert_eq!(fs::read_to_string(name).unwrap(), "a file");
        }
        assert!(!theirs.is_unlinked());
        // And a folder that is gone is gone.
        let deep = folder.name("deep");
        fs::create_dir(&deep).unwrap();
        keep_private(&deep);
        let options = ListenerOptions::new().if_exists(IfExists::TakeAgain);
        let listener = options.bind(deep.join("door")).unwrap();
        fs::remove_dir_all(&deep).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[cfg(feature = "fanout")]
#[test]
fn what_waits_for_many_goes_on_by_a_name_that_was_taken_again() {
    use typed_pipe::{Select, TypedSender};
    watched(|| {
        let folder = Folder::new();
        let [door, jobs] = ["door", "jobs"].map(|name| folder.name(name));
        let mut select = Select::new().unwrap();
        let listener = ListenerOptions::new().if_exists(IfExists::TakeAgain).bind(&door).unwrap();
        select.add_listener(listener, |client| client.map(|_| 0)).unwrap();
        let options = PipeOptions::new().if_exists(IfExists::TakeAgain);
        let pipe = options.at(&jobs).unwrap().mkfifo().unwrap();
        select.add_receiver(pipe.receiver::<u32>().unwrap(), |number| number).unwrap();
        for name in [&door, &jobs] {
            fs::remove_file(name).unwrap();
        }
        let coming = thread::spawn(move || {
            drop(Connection::connect(door).unwrap());
            TypedSender::<u32>::connect(jobs).unwrap().send(&7).unwrap();
        });
        let mut came = [(); 2].map(|()| select.wait().unwrap().unwrap().unwrap());
        came.sort_unstable();
        assert_eq!(came, [0, 7]);
        coming.join().unwrap();
    });
}

#[cfg(feature = "service")]
#[test]
fn a_service_ends_when_a_second_one_binds_beside_it() {
    use typed_pipe::{CancelToken, Client, Service};
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("service");
        let first = Service::<u32, u32>::bind(&name).unwrap();
        let serving = thread::spawn(move || first.serve(|number| number + 1));
        let client = Client::<u32, u32>::connect(&name).unwrap();
        assert_eq!(client.call(&1).unwrap(), 2);
        // The lock is what keeps a second one away. Somebody clears the whole folder.
        fs::remove_file(&name).unwrap();
        assert_eq!(Service::<u32, u32>::bind(&name).unwrap_err().kind(), ErrorKind::InUse);
        fs::remove_file(folder.name("service.lock")).unwrap();
        let token = CancelToken::new().unwrap();
        let second = Service::<u32, u32>::bind(&name).unwrap().cancelled_by(&token);
        let error = serving.join().unwrap().unwrap_err();
        // It may have looked when there was nothing yet.
        assert!(matches!(error.kind(), ErrorKind::NotAPipe | ErrorKind::NotFound), "{error}");
        // The second one has it all now, and the first one's clients find it.
        let serving = thread::spawn(move || second.serve(|number| number + 2));
        let client = Client::<u32, u32>::connect(&name).unwrap();
        assert_eq!(client.call(&1).unwrap(), 3);
        drop(client);
        token.cancel();
        assert_eq!(serving.join().unwrap().unwrap().answered, 1);
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::pin::Pin;

    use futures_core::Stream;
    use typed_pipe::Tokio;

    use super::*;

    fn in_runtime<T>(test: impl AsyncFnOnce() -> T + Send + 'static) {
        watched(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        });
    }

    async fn repeat<T>(mut operation: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match operation().await {
                Err(error)
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) =>
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                done => return done,
            }
        }
    }

    #[test]
    fn a_task_follows_its_name_when_its_fifo_is_moved_away() {
        in_runtime(async || {
            for way in 0..3 {
                let folder = Folder::new();
                let name = fifo(&folder);
                let end = ReadEnd::at(&name).unwrap().on_hangup(OnHangup::NextWriter);
                let mut end = end.into_tokio().open().await.unwrap();
                for word in ["news", "more"] {
                    rotate(&name);
                    let saying = say(&name, word);
                    let mut buf = [0; 4];
                    loop {
                        let read = match way {
                            0 => end.read(&mut buf).await,
                            1 => repeat(async || end.read_timeout(&mut buf, SHORT).await).await,
                            _ => repeat(async || end.try_read(&mut buf)).await,
                        };
                        if read.unwrap() > 0 {
                            break;
                        }
                    }
                    assert_eq!(&buf, word.as_bytes(), "{way}");
                    saying.join().unwrap();
                }
            }
        });
    }

    #[test]
    fn a_listener_of_tasks_is_told_that_it_has_lost_its_name() {
        in_runtime(async || {
            for way in 0..4 {
                let folder = Folder::new();
                let name = folder.name("door");
                let mut listener = Listener::bind(&name).unwrap().into_tokio().unwrap();
                fs::remove_file(&name).unwrap();
                let accept = async |listener: &mut Listener<Tokio>| match way {
                    0 => listener.accept().await,
                    1 => repeat(async || listener.accept_timeout(SHORT).await).await,
                    2 => repeat(async || listener.try_accept()).await,
                    _ => std::future::poll_fn(|cx| Pin::new(&mut *listener).poll_next(cx))
                        .await
                        .unwrap(),
                };
                let error = accept(&mut listener).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                assert!(error.is_fatal());
                let _other = UnixListener::bind(short(&name)).unwrap();
                let error = accept(&mut listener).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotAPipe, "{error}");
            }
        });
    }

    #[test]
    fn tasks_go_on_by_a_name_that_was_taken_again() {
        in_runtime(async || {
            let folder = Folder::new();
            let name = folder.name("door");
            let listener = ListenerOptions::new().if_exists(IfExists::TakeAgain).bind(&name);
            let listener = listener.unwrap().into_tokio().unwrap();
            for _ in 0..2 {
                fs::remove_file(&name).unwrap();
                let path = name.clone();
                let coming = thread::spawn(move || Connection::connect(path).unwrap());
                let served = listener.accept().await.unwrap();
                drop((coming.join().unwrap(), served));
            }
            let name = folder.name("jobs");
            let options = PipeOptions::new().if_exists(IfExists::TakeAgain);
            let pipe = options.at(&name).unwrap().mkfifo().unwrap();
            let end = pipe.into_reader().on_hangup(OnHangup::NextWriter);
            let mut end = end.into_tokio().open().await.unwrap();
            for _ in 0..2 {
                fs::remove_file(&name).unwrap();
                let saying = say(&name, "one");
                while end.read(&mut [0; 8]).await.unwrap() == 0 {}
                saying.join().unwrap();
            }
        });
    }

    #[cfg(feature = "service")]
    #[test]
    fn a_service_of_tasks_ends_when_it_has_lost_its_name() {
        use typed_pipe::Service;
        in_runtime(async || {
            let folder = Folder::new();
            let name = folder.name("service");
            let service = Service::<u32, u32>::bind(&name).unwrap().into_tokio().unwrap();
            fs::rename(&name, folder.name("old")).unwrap();
            let error = service.serve(|number| async move { number + 1 }).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        });
    }
}
