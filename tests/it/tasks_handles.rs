//! Handles beside messages, under tokio.

use std::fs::File;
use std::future::Future;
use std::io::{Read, Seek, Write};

use tokio::runtime::Builder;
use tokio::task::yield_now;
use typed_pipe::wire::{LengthPrefixed, Postcard};
use typed_pipe::{
    Connection, ErrorKind, Handles, Listener, ReceivingHalf, SendingHalf, Tokio, WithHandles,
};

use crate::peer;
use crate::support::{settled, watched};
use crate::tasks_both_ways::dropped_after;

type Files = WithHandles<String>;
type Giver = SendingHalf<Files, LengthPrefixed, Postcard, Tokio>;
type Taker = ReceivingHalf<Files, LengthPrefixed, Postcard, Tokio>;

fn in_runtime<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    watched(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(test()));
}

async fn giver_and_taker() -> (Giver, Taker) {
    let (client, server) = Connection::pair().unwrap();
    let (client, server) = (client.into_tokio().unwrap(), server.into_tokio().unwrap());
    let (client, server) =
        tokio::join!(client.into_typed::<Files, ()>(), server.into_typed::<(), Files>());
    (client.unwrap().split().0, server.unwrap().split().1)
}

/// A handle of a file with these words.
fn with_file(words: &str) -> Handles {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(words.as_bytes()).unwrap();
    file.rewind().unwrap();
    let mut handles = Handles::new();
    handles.add(file);
    handles
}

fn words(mut handles: Handles) -> String {
    assert_eq!(handles.len(), 1);
    let mut words = String::new();
    handles.take::<File>(0).unwrap().read_to_string(&mut words).unwrap();
    words
}

#[test]
fn files_of_a_task_reach_another_process() {
    in_runtime(|| async {
        let listener = Listener::temporary().unwrap().into_tokio().unwrap();
        let peer = peer::start("read-files", listener.path());
        let client = listener.accept().await.unwrap();
        let (mut sender, mut receiver) =
            client.into_typed::<WithHandles<Vec<(u32, String)>>, u32>().await.unwrap().split();
        for count in [0, 1, 7] {
            let mut handles = Handles::new();
            let mut told = Vec::new();
            for number in 0..count {
                let words = format!("file {number} of {count}");
                told.push((handles.add(with_file(&words).take::<File>(0).unwrap()), words));
            }
            sender.send_with_handles(&told, &mut handles).await.unwrap();
            assert!(handles.is_empty());
            assert_eq!(receiver.recv().await.unwrap(), count);
        }
        sender.finish().await.unwrap();
        drop(receiver);
        tokio::task::spawn_blocking(|| peer.join()).await.unwrap();
    });
}

/// A send that is dropped has either sent nothing, and its handles stay; or its message goes with its handles.
#[test]
fn handles_of_a_send_that_is_dropped_are_here_or_there() {
    in_runtime(|| async {
        let (mut giver, mut taker) = giver_and_taker().await;
        let taking = async {
            let mut came = Vec::new();
            loop {
                match taker.recv_with_handles().await {
                    Ok((name, handles)) => {
                        assert_eq!(words(handles), name[..name.len().min(5)]);
                        came.push(name[..5].to_owned());
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Finished, "{error}");
                        return came;
                    }
                }
                // Now and then the other side has to wait for room.
                if came.len() % 20 == 0 {
                    settled().await;
                }
            }
        };
        let giving = async move {
            let mut sent = Vec::new();
            for number in 0..300 {
                let name = format!("{number:05}");
                let mut handles = with_file(&name);
                let value = name.clone() + &"x".repeat(number * 97 % 50_000);
                let done =
                    dropped_after(number % 3, giver.send_with_handles(&value, &mut handles)).await;
                if let Some(done) = done {
                    done.unwrap();
                }
                match handles.len() {
                    0 => sent.push(name),
                    _ => assert_eq!(words(handles), name, "nothing of it was sent"),
                }
            }
            giver.finish().await.unwrap();
            sent
        };
        let (came, sent) = tokio::join!(taking, giving);
        assert!(sent.len() > 10);
        assert_eq!(came, sent);
    });
}

#[test]
fn a_receive_that_is_dropped_loses_no_handle() {
    in_runtime(|| async {
        let (mut giver, mut taker) = giver_and_taker().await;
        let giving = async move {
            for number in 0..200 {
                let name = format!("{number:05}");
                let value = name.clone() + &"x".repeat(number * 97 % 30_000);
                giver.send_with_handles(&value, &mut with_file(&name)).await.unwrap();
                yield_now().await;
            }
            giver.finish().await.unwrap();
        };
        let taking = async {
            let (mut number, mut looks) = (0, 0);
            loop {
                looks += 1;
                match dropped_after(looks % 4, taker.recv_with_handles()).await {
                    None => yield_now().await,
                    Some(Ok((name, handles))) => {
                        assert_eq!(name[..5], format!("{number:05}"));
                        assert_eq!(words(handles), name[..5]);
                        number += 1;
                    }
                    Some(Err(error)) => {
                        assert_eq!(error.kind(), ErrorKind::Finished, "{error}");
                        break;
                    }
                }
            }
            assert_eq!(number, 200);
        };
        tokio::join!(giving, taking);
    });
}

/// What one side sends with handles must be let in by the other, whether it waits in threads or in tasks.
#[test]
fn tasks_and_threads_agree_on_handles() {
    in_runtime(|| async {
        let (client, server) = Connection::pair().unwrap();
        let thread = std::thread::spawn(move || {
            let mut server = server.into_typed::<(), Files>().unwrap();
            server.receiver().recv_with_handles().map(|(name, handles)| (name, words(handles)))
        });
        let client = client.into_tokio().unwrap();
        let (mut sender, _receiver) = client.into_typed::<Files, ()>().await.unwrap().split();
        sender.send_with_handles(&"log".to_owned(), &mut with_file("its words")).await.unwrap();
        assert_eq!(thread.join().unwrap().unwrap(), ("log".to_owned(), "its words".to_owned()));

        let (client, server) = Connection::pair().unwrap();
        let thread = std::thread::spawn(move || server.into_typed::<(), String>().map(drop));
        let client = client.into_tokio().unwrap();
        let error = client.into_typed::<Files, ()>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert_eq!(thread.join().unwrap().unwrap_err().kind(), ErrorKind::Mismatch);
    });
}
