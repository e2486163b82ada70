//! libuv on the other side: programs of Node.js that speak lines of JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};
use typed_pipe::{Connection, Listener};

use crate::support::{Folder, short, skipped, watched};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Number(u64),
    Bye(bool),
}

/// Starts a program of Node.js, where there is one.
pub(crate) fn node(program: &str, path: &Path, args: &[&str]) -> Option<Child> {
    if cfg!(windows) {
        skipped("under Wine there is no Node.js");
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node").join(program);
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/node/node_modules");
    let started = Command::new("node")
        .env("NODE_PATH", modules)
        .arg(file)
        .arg(short(path))
        .args(args)
        .stdout(Stdio::piped())
        .spawn();
    match started {
        Ok(child) => Some(child),
        Err(error) => {
            skipped(format_args!("there is no Node.js here: {error}"));
            None
        }
    }
}

fn write(line: &Line, to: &mut impl Write) {
    let mut text = serde_json::to_string(line).unwrap();
    text.push('\n');
    to.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_server_of_libuv_is_spoken_to() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("node");
        let Some(mut server) = node("server.js", &name, &[]) else { return };
        let (reader, mut writer) = Connection::connect(&name).unwrap().split();
        let mut lines = BufReader::new(reader).lines();
        for number in 0..100 {
            write(&Line::Number(number), &mut writer);
            let answer = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            assert!(matches!(answer, Line::Number(answer) if answer == number + 1));
        }
        // More than there is room for, before anything is read.
        let writing = std::thread::spawn(move || {
            (0..100_000).for_each(|number| write(&Line::Number(number), &mut writer));
            writer.finish().unwrap();
        });
        let mut last = Line::Number(0);
        let mut count = 0;
        for line in lines {
            last = serde_json::from_str(&line.unwrap()).unwrap();
            count += 1;
        }
        writing.join().unwrap();
        assert_eq!(count, 100_001);
        assert!(matches!(last, Line::Bye(true)));
        assert!(server.wait().unwrap().success());
    });
}

#[test]
fn a_client_of_libuv_is_served() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let Some(mut client) = node("client.js", listener.path().as_path(), &["1000"]) else {
            return;
        };
        let (reader, mut writer) = listener.accept().unwrap().split();
        for line in BufReader::new(reader).lines() {
            let Line::Number(number) = serde_json::from_str(&line.unwrap()).unwrap() else {
                panic!("the client says no number");
            };
            write(&Line::Number(number + 1), &mut writer);
        }
        // The client has finished, and still reads.
        write(&Line::Bye(true), &mut writer);
        writer.finish().unwrap();
        let mut sum = String::new();
        client.stdout.take().unwrap().read_to_string(&mut sum).unwrap();
        assert_eq!(sum.trim(), "500500");
        assert!(client.wait().unwrap().success());
    });
}

/// The wire has no goodbye: only the end of the direction tells libuv that this was all.
#[cfg(all(feature = "json", feature = "tokio"))]
#[test]
fn a_task_that_finishes_is_answered_by_libuv() {
    use typed_pipe::wire::foreign::Lines;
    use typed_pipe::wire::{Json, Wire};
    use typed_pipe::{Delivery, ErrorKind};

    watched(|| {
        let folder = Folder::new();
        let name = folder.name("node");
        let Some(mut server) = node("server.js", &name, &[]) else { return };
        let connection = Connection::connect(&name).unwrap();
        let talk = async {
            let (reader, writer) = connection.into_tokio().unwrap().split();
            let wire = Wire::new(Lines::default(), Json);
            let mut sender = writer.into_sender_with::<Line, _, _>(wire.clone());
            let mut receiver = reader.into_receiver_with::<Line, _, _>(wire);
            sender.send(&Line::Number(6)).await.unwrap();
            let words = sender.finish().await.unwrap();
            assert_eq!(words == Delivery::Drained, cfg!(target_os = "linux"));
            assert!(matches!(receiver.recv().await.unwrap(), Line::Number(7)));
            assert!(matches!(receiver.recv().await.unwrap(), Line::Bye(true)));
            assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Disconnected);
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(talk);
        assert!(server.wait().unwrap().success());
    });
}
