//! Handles beside requests and answers.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::thread;

use typed_pipe::{
    Carried, Client, ClientOptions, Connection, Context, ErrorKind, Handles, Service,
};

use crate::support::watched;

fn file(words: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(words.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn read(mut file: File) -> String {
    let mut words = String::new();
    file.read_to_string(&mut words).unwrap();
    words
}

type Files = (u32, Vec<Carried<File>>);

/// Gives the files back in the other order.
fn turn<C, M: typed_pipe::Calls>((number, files): Files, context: &Context<(), C, M>) -> Files
where
    C: typed_pipe::wire::Codec,
{
    let mut handles = context.take_handles();
    let mut back = Handles::new();
    let files = files.into_iter().rev().map(|file| {
        let mut file = handles.claim(file).unwrap();
        file.rewind().unwrap();
        back.carry(file).unwrap()
    });
    let files = files.collect();
    context.give_handles(back).unwrap();
    (number, files)
}

#[test]
fn each_answer_has_the_handles_of_its_own_request() {
    watched(|| {
        let service = Service::<Files, Files>::temporary().unwrap().with_handles();
        let service = service.shutdown_after(8 * 25);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|files, context: Context| turn(files, &context))
        });
        let client: Client<Files, Files> =
            ClientOptions::new().with_handles().connect(path).unwrap();
        thread::scope(|scope| {
            for thread in 0..8 {
                let client = &client;
                scope.spawn(move || {
                    for round in 0..25 {
                        let number = thread * 100 + round;
                        let mut handles = Handles::new();
                        let count = round % 4;
                        let files = (0..count)
                            .map(|n| handles.carry(file(&format!("{number} {n}"))).unwrap())
                            .collect();
                        let request = (number, files);
                        let (answer, mut handles) =
                            client.call_with_handles(&request, &mut handles).unwrap();
                        assert_eq!(answer.0, number);
                        for (n, file) in (0..count).rev().zip(answer.1) {
                            let words = read(handles.claim(file).unwrap());
                            assert_eq!(words, format!("{number} {n}"));
                        }
                    }
                });
            }
        });
        assert_eq!(serving.join().unwrap().unwrap().answered, 200);
    });
}

#[test]
fn handles_go_nowhere_where_the_other_side_lets_none_in() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(2);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|number, context: Context| {
                let mut handles = Handles::new();
                handles.add(file(""));
                let error = context.give_handles(handles).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.to_string().contains("with_handles"), "{error}");
                number
            })
        });
        let client = Client::<u32, u32>::connect(path).unwrap();
        let mut handles = Handles::new();
        handles.add(file(""));
        let error = client.call_with_handles(&1, &mut handles).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(!error.is_delivered());
        assert_eq!(handles.len(), 1, "they are still there");
        let (answer, none) = client.call_with_handles(&1, &mut Handles::new()).unwrap();
        assert_eq!((answer, none.len()), (1, 0));
        assert_eq!(client.call(&2).unwrap(), 2);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn handles_that_nobody_takes_are_closed() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().with_handles().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|number| number));
        let client = Client::<u32, u32>::connect(path).unwrap();
        let (mine, theirs) = Connection::pair().unwrap();
        let mut handles = Handles::new();
        let _: Carried<Connection> = handles.carry(theirs).unwrap();
        client.call_with_handles(&1, &mut handles).unwrap();
        let mut mine = mine;
        assert_eq!(mine.read(&mut [0]).unwrap(), 0, "its other side is closed");
        serving.join().unwrap().unwrap();
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_pass_handles_in_calls_of_both_ways() {
    use typed_pipe::Tokio;
    use typed_pipe::wire::{LengthPrefixed, Postcard};

    type Side = Client<Files, Files, LengthPrefixed, Postcard, Tokio>;
    watched(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = Connection::pair().unwrap();
            let serve = |connection| async {
                let service = Service::<Files, Files>::over(connection).with_handles();
                let service = service.into_tokio().unwrap();
                let handler = |files, context: Context<(), Postcard, Tokio>| async move {
                    turn(files, &context)
                };
                service.both_ways_with_context(|_: Side| handler).await.unwrap()
            };
            let (one, other) = tokio::join!(serve(ours), serve(theirs));
            for (number, client) in (0..50).zip([&one.0, &other.0].into_iter().cycle()) {
                let mut handles = Handles::new();
                let files = vec![
                    handles.carry(file("first")).unwrap(),
                    handles.carry(file("second")).unwrap(),
                ];
                let answer = client.call_with_handles(&(number, files), &mut handles).await;
                let ((same, files), mut handles) = answer.unwrap();
                assert_eq!(same, number);
                let words = files.into_iter().map(|file| read(handles.claim(file).unwrap()));
                assert_eq!(words.collect::<Vec<_>>(), ["second", "first"]);
            }
        });
    });
}
