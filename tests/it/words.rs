//! What errors say: the true cause, and what to do.

use std::collections::BTreeMap;
use std::{io, thread};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::{Codec, MultiWriter, Plain, Postcard, Wire};
use typed_pipe::{Connection, Error, ErrorKind, TypedReceiver, TypedSender};

#[cfg(unix)]
use crate::support::Folder;
use crate::support::watched;

/// The text of an error, which must not say a wrong thing.
#[track_caller]
fn says(error: &Error, right: &[&str], wrong: &[&str]) {
    let text = error.to_string();
    for word in right {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
    for word in wrong {
        assert!(!text.contains(word), "`{word}` leads astray: {text}");
    }
}

fn received<T: DeserializeOwned, C: Codec>(payload: &[u8], codec: C) -> Error {
    let wire = Wire::default().with_codec(codec);
    let frame = [&u32::try_from(payload.len()).unwrap().to_be_bytes()[..], payload].concat();
    TypedReceiver::<T, _, _, _>::with_wire(frame.as_slice(), wire).recv().map(drop).unwrap_err()
}

/// Sends a value with postcard, and receives it: the error of either.
fn through_postcard<T: Serialize + DeserializeOwned>(value: &T) -> Error {
    let mut payload = Vec::new();
    match Postcard.encode(value, &mut payload) {
        Ok(()) => received::<T, _>(&payload, Postcard),
        Err(_) => TypedSender::<T, _>::new(Vec::new()).send(value).unwrap_err(),
    }
}

#[test]
fn latin_1_is_no_matter_of_types_but_of_utf_8() {
    let error = received::<String, _>(b"caf\xE9", Plain);
    assert_eq!(error.kind(), ErrorKind::Decode);
    says(&error, &["UTF-8", "receive bytes"], &["same type"]);
}

#[cfg(feature = "json")]
#[test]
fn bad_json_is_not_told_from_another_type_by_the_same_words() {
    use std::error::Error as _;
    use typed_pipe::wire::Json;

    let error = received::<Vec<u8>, _>(b"[1,\n 2;]", Json);
    says(&error, &["no JSON", "at line 2 column 3"], &["same type"]);
    assert!(error.source().unwrap().to_string().contains("at line 2 column 3"), "{error:?}");
    says(&received::<Vec<u8>, _>(b"[1, 2", Json), &["no JSON"], &["same type"]);
    says(&received::<Vec<u8>, _>(b"\"text\"", Json), &["same type"], &["no JSON"]);
}

#[derive(Serialize, Deserialize)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u8>,
    number: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Job { number: u32 },
}

#[derive(Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    rest: BTreeMap<String, u32>,
}

#[test]
fn what_postcard_cannot_carry_is_named_by_its_attribute() {
    let sparse = through_postcard(&Sparse { left_out: None, number: 7 });
    says(&sparse, &["`skip_serializing_if`"], &[]);
    says(&through_postcard(&Untagged::Number(7)), &["`untagged`", "`Json`"], &["same type"]);
    says(&through_postcard(&Tagged::Job { number: 7 }), &["`tag`", "`Json`"], &["same type"]);
    let flat = Flat { rest: BTreeMap::from([("a".to_owned(), 1)]) };
    says(&through_postcard(&flat), &["`flatten`", "`Json`"], &[]);
    #[cfg(feature = "json")]
    says(&through_postcard(&serde_json::json!([1])), &["`Value`", "`Json`"], &["same type"]);
}

#[cfg(feature = "foreign")]
#[test]
fn text_that_npipes_cannot_read_is_not_sent() {
    use typed_pipe::wire::foreign::Npipes;

    let wire = Wire::new(Npipes::default(), Plain);
    let mut sender = TypedSender::<str, _, _, _>::with_wire(Vec::new(), wire);
    let error = sender.send("héllo").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    says(&error, &["ASCII"], &["end the message"]);
    sender.send("hello").unwrap();
}

#[test]
fn a_reason_that_only_the_system_knows_is_told() {
    struct Broken;

    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("the tape is torn"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let error = TypedSender::<u8, _>::new(Broken).send(&7).unwrap_err();
    says(&error, &["the tape is torn"], &[]);
}

#[test]
fn who_connects_to_nobody_is_told_of_a_listener() {
    #[cfg(unix)]
    let nobody = tempfile::tempdir().unwrap().path().join("nobody");
    #[cfg(windows)]
    let nobody = "nobody-listens-at-this-name";
    let error = Connection::try_connect(nobody).unwrap_err();
    says(&error, &["listener", "`connect`"], &["`open`", "pipe of this name"]);
}

#[cfg(unix)]
#[test]
fn a_fifo_in_the_place_of_a_connection_is_told_where_it_belongs() {
    use std::os::fd::OwnedFd;
    use typed_pipe::state::Open;
    use typed_pipe::{Pipe, ReadEnd, Unnamed};

    let pipe = Pipe::temporary().unwrap();
    let end = ReadEnd::at(pipe.path()).unwrap().open().unwrap();
    let failed = Connection::try_from(OwnedFd::from(end)).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::NotAPipe);
    says(failed.error(), &["`ReadEnd`"], &["as an end"]);
    // A socket in the place of an end.
    let (_one, other) = Connection::pair().unwrap();
    let socket = OwnedFd::from(other);
    if let Err(failed) = ReadEnd::<Open, Unnamed>::try_from(socket) {
        says(failed.error(), &["`Connection`"], &["as an end"]);
    }
    let file = OwnedFd::from(tempfile::tempfile().unwrap());
    says(Connection::try_from(file).unwrap_err().error(), &["a regular file"], &["`ReadEnd`"]);
}

#[cfg(unix)]
#[test]
fn a_file_in_the_place_of_a_pipe_is_told_how_it_is_read() {
    use typed_pipe::wire::foreign::Lines;
    use typed_pipe::wire::{Plain, Wire};
    use typed_pipe::{ReadEnd, TypedReceiver, WriteEnd};

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "one\ntwo").unwrap();
    let read = ReadEnd::at(file.path()).unwrap().open().unwrap_err();
    let written = WriteEnd::at(file.path()).unwrap().open().unwrap_err();
    for failed in [read.error(), written.error()] {
        assert_eq!(failed.kind(), ErrorKind::NotAPipe);
        says(failed, &["a regular file", "`std::fs::File`"], &[]);
    }
    // And so it is.
    let file = std::fs::File::open(&file).unwrap();
    let wire = Wire::new(Lines::default(), Plain);
    let lines = TypedReceiver::<String, _, _, _>::with_wire(file, wire);
    let lines: Result<Vec<String>, _> = lines.collect();
    assert_eq!(lines.unwrap(), ["one", "two"]);
}

#[cfg(unix)]
#[test]
fn taking_over_what_was_left_by_persist_leads_to_reuse() {
    use typed_pipe::{IfExists, Pipe, PipeOptions};

    let folder = Folder::new();
    let path = Pipe::new(folder.name("jobs")).unwrap().mkfifo().unwrap().persist();
    let take_over = PipeOptions::new().if_exists(IfExists::TakeOver);
    let failed = take_over.at(&path).unwrap().mkfifo().unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::AlreadyExists);
    says(failed.error(), &["`IfExists::Reuse`", "`persist`"], &[]);
    PipeOptions::new().if_exists(IfExists::Reuse).at(&path).unwrap().mkfifo().unwrap();
}

#[cfg(unix)]
#[test]
fn a_path_through_a_file_is_not_one_that_is_missing() {
    use typed_pipe::{Listener, Pipe};

    let folder = Folder::new();
    std::fs::write(folder.name("file"), "").unwrap();
    let path = folder.name("file").join("jobs");
    let error = Pipe::create(&path).unwrap_err();
    says(&error, &["part of the path", "no folder"], &["make it first"]);
    let error = Listener::bind(&path).unwrap_err();
    says(&error, &["part of the path", "no folder"], &["make it first"]);
    let error = Connection::try_connect(&path).unwrap_err();
    says(&error, &["part of the path", "no folder"], &["start it first"]);
}

/// Where each write fails so.
struct Refuses(io::ErrorKind);

impl io::Write for Refuses {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_system_that_takes_no_file_is_named_with_what_to_do() {
    for (kind, words) in [
        (io::ErrorKind::ReadOnlyFilesystem, ["read-only", "choose a folder of another one"]),
        (io::ErrorKind::StorageFull, ["is full", "make room"]),
    ] {
        let failed = TypedSender::<u32, _>::new(Refuses(kind)).send(&1).unwrap_err();
        says(&failed, &words, &["the system refused"]);
    }
}

/// What acts on a terminal, or tells a line of a log that is none.
#[cfg(any(feature = "json", feature = "service"))]
const ACTS: &str = "\u{1b}[31mred\u{9b}2J\u{202e}back\u{2066}\nroot: ok\r\u{2028}";

#[cfg(any(feature = "json", feature = "service"))]
#[track_caller]
fn is_seen(error: &(impl std::error::Error + ?Sized)) {
    let text = error.to_string();
    let acts = |c: char| c.is_control() || ('\u{2028}'..='\u{2069}').contains(&c);
    assert!(!text.contains(acts), "{text:?}");
    assert!(text.contains("\\u{1b}[31mred") && text.contains("\\nroot: ok"), "{text}");
    if let Some(source) = error.source() {
        is_seen(source);
    }
}

#[cfg(feature = "json")]
#[test]
fn what_a_codec_repeats_of_a_message_is_told_in_letters_that_can_be_seen() {
    use typed_pipe::wire::Json;

    #[derive(Debug, Serialize, Deserialize)]
    enum Only {
        This,
    }
    let error = received::<Only, _>(&serde_json::to_vec(ACTS).unwrap(), Json);
    assert_eq!(error.kind(), ErrorKind::Decode);
    is_seen(&error);
    is_seen(&io::Error::from(error));
}

#[cfg(feature = "service")]
#[test]
fn what_the_other_side_of_a_call_says_is_told_in_letters_that_can_be_seen() {
    use std::thread;

    use typed_pipe::{Client, Service};

    /// Fails, panics, or lets nobody in.
    fn outcome(what: &u8) -> Result<u8, String> {
        if *what == 1 { panic!("{ACTS}") } else { Err(ACTS.into()) }
    }

    fn service() -> Service<u8, u8> {
        Service::temporary().unwrap()
    }

    fn asked(service: Service<u8, u8>, serve: fn(Service<u8, u8>)) {
        let path = service.path().clone();
        let serving = thread::spawn(move || serve(service.shutdown_after(2)));
        let client = Client::<u8, u8>::connect(&path).unwrap();
        let failed = client.call(&0).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::HandlerFailed);
        is_seen(&failed);
        let failed = client.call(&1).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::HandlerPanicked);
        is_seen(&failed);
        serving.join().unwrap();
    }

    watched(|| {
        asked(service(), |service| {
            service.serve(|what: u8| outcome(&what)).unwrap();
        });
        #[cfg(feature = "tokio")]
        asked(service(), |service| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let service = service.into_tokio().unwrap();
                service.serve(|what: u8| async move { outcome(&what) }).await.unwrap();
            });
        });
        let service = service().admit(|_| Err(ACTS.into())).shutdown_after(1);
        let path = service.path().clone();
        thread::spawn(move || service.serve(|what: u8| what));
        let refused = Client::<u8, u8>::connect(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        is_seen(&refused);
    });
}

#[test]
fn a_mismatch_says_what_to_do() {
    watched(|| {
        let (one, other) = Connection::pair().unwrap();
        let other = thread::spawn(|| other.into_typed::<(), f64>().map(drop).unwrap_err());
        let sender = one.into_typed::<f32, ()>().map(drop).unwrap_err();
        let receiver = other.join().unwrap();
        for error in [&sender, &receiver] {
            says(error, &["build both sides from the same types", "when_types_change"], &[]);
        }

        let wire = |name| Wire::default().with_framing(MultiWriter::default().protocol(name));
        let mut bytes = Vec::new();
        TypedSender::<u8, _, _, _>::with_wire(&mut bytes, wire("one")).send(&1).unwrap();
        let mut receiver = TypedReceiver::<u8, _, _, _>::with_wire(bytes.as_slice(), wire("two"));
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        says(&error, &["are skipped", "start it with"], &[]);
    });
}
