//! PipeCom's messages: among ourselves, and with Python on the other side, which does what PipeCom does.

use std::io::Write;
use std::thread;
use std::time::Duration;

use typed_pipe::pipecom::{self, Listener};
use typed_pipe::{ErrorKind, Operation, WriteEnd};
#[cfg(unix)]
use typed_pipe::{OnHangup, ReadEnd};

#[cfg(target_os = "linux")]
use crate::peer;
#[cfg(unix)]
use crate::support::Waiters;
use crate::support::{Folder, watched, wine_lets_a_name_have_two_owners};

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn a_sender_gets_the_answer_to_its_message() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let mut listener = Listener::new(&name).unwrap();
        let sender = thread::spawn(move || {
            for number in 0..100 {
                let answer = pipecom::send(&name, &format!("näme {number}")).unwrap();
                assert_eq!(answer, if number % 2 == 0 { "ACK" } else { "" });
            }
        });
        for number in 0..100 {
            assert_eq!(listener.recv().unwrap(), format!("näme {number}"));
            if number % 2 == 0 {
                listener.acknowledge().unwrap();
            } else {
                listener.answer("").unwrap();
            }
        }
        sender.join().unwrap();
        drop(listener);
        assert!(folder.entries().is_empty());
    });
}

/// Elsewhere they may take each other's answers, as the docs say.
#[cfg(target_os = "linux")]
#[test]
fn senders_in_several_processes_get_their_own_answers() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let mut listener = Listener::new(&name).unwrap();
        let peers: Vec<_> = (0..4).map(|n| peer::start_with("pipecom-senders", &name, n)).collect();
        for _ in 0..100 {
            let text = listener.recv().unwrap();
            listener.answer(&format!("answer to {text}")).unwrap();
        }
        peers.into_iter().for_each(peer::Peer::join);
    });
}

#[test]
fn what_pipecom_tells_in_codes_is_told() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let kind = |error: typed_pipe::Error| error.kind();
        assert_eq!(pipecom::send("", "x").map_err(kind), Err(ErrorKind::InvalidName));
        let error = pipecom::send_timeout(&name, "x", SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_ne!(error.operation(), Operation::Receive, "it was not delivered");

        let mut listener = Listener::new(&name).unwrap();
        if !wine_lets_a_name_have_two_owners() {
            assert_eq!(Listener::new(&name).map(drop).map_err(kind), Err(ErrorKind::InUse));
        }
        let error = pipecom::send_timeout(&name, "unanswered", SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.operation(), Operation::Receive, "it was delivered");
        assert!(error.path().unwrap().to_str().unwrap().ends_with("orders_ack"));
        assert_eq!(listener.recv().unwrap(), "unanswered");
        // A process that another test is starting may hold the sender's end for a moment. On Windows the sender has
        // come for its answer, and has left.
        if let Err(error) = listener.answer_timeout("nobody", SHORT) {
            let left = cfg!(windows) && error.is_disconnected();
            assert!(left || error.kind() == ErrorKind::TimedOut, "{error}");
        }
        let error = listener.recv_timeout(SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn bad_lines_do_not_end_a_listener() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let mut listener = Listener::new(&name).unwrap();
        let mut end = WriteEnd::at(&name).unwrap().open().unwrap();
        end.write_all(b"what?\n/w==\nb2s=\nb2").unwrap();
        assert_eq!(listener.recv().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(listener.recv().unwrap_err().kind(), ErrorKind::Decode);
        assert_eq!(listener.recv().unwrap(), "ok");
        drop(end);
        assert_eq!(listener.recv().unwrap_err().kind(), ErrorKind::Truncated);
        let sender = thread::spawn(move || pipecom::send(name, "next"));
        assert_eq!(listener.recv().unwrap(), "next");
        listener.acknowledge().unwrap();
        assert_eq!(sender.join().unwrap().unwrap(), pipecom::ACK);
    });
}

/// Elsewhere nothing keeps two senders apart.
#[cfg(target_os = "linux")]
#[test]
fn a_sender_whose_turn_does_not_come_is_out_of_time() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let _listener = Listener::new(&name).unwrap();
        let _other = ReadEnd::at(folder.name("orders_ack")).unwrap().open().unwrap();
        let error = pipecom::send_timeout(&name, "x", SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.operation(), Operation::OpenReader, "it was not delivered");
        assert!(error.to_string().contains("another sender"), "{error}");
    });
}

/// On Windows each answer goes to a connection of its own.
#[cfg(unix)]
#[test]
fn an_answer_that_is_cut_off_is_not_mixed_up_with_the_next() {
    use typed_pipe::wire::foreign::Base64Lines;
    use typed_pipe::wire::{Plain, Wire};

    watched(|| {
        let folder = Folder::new();
        let mut listener = Listener::new(folder.name("orders")).unwrap();
        let end = ReadEnd::at(folder.name("orders_ack")).unwrap();
        let end = end.on_hangup(OnHangup::NextWriter).open().unwrap();
        let mut answers =
            end.into_receiver_with::<String, _, _>(Wire::new(Base64Lines::default(), Plain));
        listener.answer("one").unwrap();
        assert_eq!(answers.recv().unwrap(), "one");
        let error = listener.answer_timeout(&"two".repeat(1 << 20), SHORT).unwrap_err();
        assert_eq!((error.kind(), error.is_half_sent()), (ErrorKind::TimedOut, true));
        assert_eq!(answers.recv().unwrap_err().kind(), ErrorKind::Truncated);
        listener.answer("three").unwrap();
        assert_eq!(answers.recv().unwrap(), "three");
    });
}

/// On Windows each answer goes to a connection of its own.
#[cfg(unix)]
#[test]
fn an_answer_that_nobody_has_fetched_is_no_answer_to_the_next_message() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let mut listener = Listener::new(&name).unwrap();
        let reader = ReadEnd::at(folder.name("orders_ack")).unwrap().open().unwrap();
        listener.answer("for another one").unwrap();
        drop(reader);
        let sender = thread::spawn(move || pipecom::send(name, "news"));
        assert_eq!(listener.recv().unwrap(), "news");
        listener.answer("for you").unwrap();
        assert_eq!(sender.join().unwrap().unwrap(), "for you");
    });
}

#[cfg(unix)]
#[test]
fn the_late_end_of_the_answer_before_is_no_end_of_the_next() {
    use typed_pipe::Pipe;

    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let messages = Pipe::new(&name).unwrap().mkfifo().unwrap();
        let answers = Pipe::new(folder.name("orders_ack")).unwrap().mkfifo().unwrap();
        let path = answers.path().clone();
        let waiters = Waiters::default();
        let sender = thread::spawn(waiters.with(|| pipecom::send(name, "news")));
        // It has the answers open, or this would wait. It is what the answer before was written to.
        let before = WriteEnd::at(&path).unwrap().open().unwrap();
        let mut line = [0; 9];
        let mut messages = messages.into_reader().open().unwrap();
        std::io::Read::read_exact(&mut messages, &mut line).unwrap();
        assert_eq!(&line, b"bmV3cw==\n");
        drop(before);
        // The sender sees that before the next one comes, and waits again.
        waiters.asleep();
        WriteEnd::at(&path).unwrap().open().unwrap().write_all(b"QUNL\n").unwrap();
        assert_eq!(sender.join().unwrap().unwrap(), pipecom::ACK);
        drop(answers);
    });
}

/// On Windows each answer goes to a connection of its own.
#[cfg(unix)]
#[test]
fn an_acknowledgement_does_not_wait_for_ever_for_a_sender_that_gave_up() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let mut listener = Listener::new(&name).unwrap().ack_timeout(SHORT);
        let error = pipecom::send_timeout(&name, "impatient", SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(listener.recv().unwrap(), "impatient");
        // A process that another test is starting may hold the sender's end for a moment, and be answered.
        if let Err(error) = listener.acknowledge() {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        let mut listener = listener.ack_timeout(Duration::from_secs(50));
        let sender = thread::spawn(move || pipecom::send(name, "patient"));
        assert_eq!(listener.recv().unwrap(), "patient");
        listener.acknowledge().unwrap();
        assert_eq!(sender.join().unwrap().unwrap(), pipecom::ACK);
    });
}

#[test]
fn a_loop_ends_by_its_handler_its_token_its_count_and_when_nobody_comes() {
    use std::ops::ControlFlow;
    use typed_pipe::CancelToken;

    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let go_on = |_| ControlFlow::Continue(());
        let token = CancelToken::new().unwrap();
        let mut listener = Listener::new(&name).unwrap().idle_timeout(SHORT).cancelled_by(&token);
        listener.serve(go_on).unwrap(); // nobody has come

        let mut listener = listener.idle_timeout(Duration::MAX).shutdown_after(2);
        let sending = |texts: &'static [&'static str]| {
            let name = name.clone();
            thread::spawn(move || {
                texts.iter().for_each(|text| {
                    assert_eq!(pipecom::send(&name, text).unwrap(), pipecom::ACK);
                });
            })
        };
        let mut heard = Vec::new();
        let sender = sending(&["one", "two"]);
        listener
            .serve(|text| {
                heard.push(text.unwrap());
                ControlFlow::Continue(())
            })
            .unwrap();
        sender.join().unwrap();
        assert_eq!(heard, ["one", "two"]);

        let sender = sending(&[pipecom::DIE]);
        let die = |text: Result<String, _>| match text.unwrap() == pipecom::DIE {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        listener.serve(die).unwrap();
        sender.join().unwrap(); // and is acknowledged

        let serving = thread::spawn(move || listener.serve(go_on));
        token.cancel();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_sender_tries_again_within_its_limits() {
    use typed_pipe::CancelToken;
    use typed_pipe::pipecom::SendOptions;

    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let mut listener = Listener::new(&name).unwrap();
        // The first attempt is received and not answered.
        let options = SendOptions::new().timeout(Duration::from_millis(500)).max_attempts(100);
        let to = name.clone();
        let sender = thread::spawn(move || options.send(to, "again"));
        assert_eq!(listener.recv().unwrap(), "again");
        assert_eq!(listener.recv().unwrap(), "again");
        loop {
            match listener.answer_timeout(pipecom::ACK, SHORT) {
                Ok(()) if sender.is_finished() => break,
                // The answer may have come too late for this attempt.
                _ => {
                    let _ = listener.recv_timeout(SHORT);
                    if sender.is_finished() {
                        break;
                    }
                }
            }
        }
        assert_eq!(sender.join().unwrap().unwrap(), pipecom::ACK);

        let error = SendOptions::new().limit(3).send(&name, "four").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let token = CancelToken::new().unwrap();
        token.cancel();
        let error = SendOptions::new().cancelled_by(&token).send(&name, "late").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    });
}

#[cfg(unix)]
mod with_python {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::programs::Program;

    const LONG: Duration = Duration::from_secs(30);

    /// What a sender of PipeCom does with its pipes, some times.
    const SENDER: &str = "
import base64, sys
name, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    with open(name, 'w', 1) as out:
        out.write(base64.b64encode(f'nümber {number}'.encode()).decode() + '\\n')
    with open(name + '_ack') as answers:
        assert base64.b64decode(answers.readline().strip()) == b'ACK'
";

    /// What a listener of PipeCom does with its pipes, some times.
    const LISTENER: &str = "
import base64, os, sys
name, count = sys.argv[1], int(sys.argv[2])
os.mkfifo(name)
os.mkfifo(name + '_ack')
for number in range(count):
    line = ''
    while not line:
        with open(name) as messages:
            line = messages.readline().strip()
    assert base64.b64decode(line).decode() == f'nümber {number}', line
    with open(name + '_ack', 'w', 1) as answers:
        answers.write(base64.b64encode(b'ACK').decode() + '\\n')
";

    fn python(script: &str, name: &Path, count: usize) -> Option<Program> {
        Program::start(
            Command::new("python3").args(["-c", script]).arg(name).arg(count.to_string()),
        )
    }

    #[test]
    fn a_listener_hears_senders_like_those_of_pipecom() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            let mut listener = Listener::new(&name).unwrap();
            let Some(sender) = python(SENDER, &name, 20) else { return };
            for number in 0..20 {
                assert_eq!(listener.recv().unwrap(), format!("nümber {number}"));
                listener.acknowledge().unwrap();
            }
            sender.join();
            drop(listener);
            assert!(folder.entries().is_empty());
        });
    }

    #[test]
    fn messages_reach_a_listener_like_that_of_pipecom() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            let Some(listener) = python(LISTENER, &name, 20) else { return };
            for number in 0..20 {
                let answer = pipecom::send_timeout(&name, &format!("nümber {number}"), LONG);
                assert_eq!(answer.unwrap(), pipecom::ACK);
            }
            listener.join();
        });
    }

    #[test]
    fn a_listener_uses_the_pipes_that_a_sender_of_pipecom_has_made() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            let script = format!(
                "import os, sys\nos.mkfifo(sys.argv[1])\nos.mkfifo(sys.argv[1] + '_ack')\n{SENDER}"
            );
            let Some(sender) = python(&script, &name, 1) else { return };
            while folder.entries().len() < 2 {
                thread::yield_now();
            }
            let mut listener = Listener::new(&name).unwrap();
            assert_eq!(listener.recv().unwrap(), "nümber 0");
            listener.acknowledge().unwrap();
            sender.join();
        });
    }

    /// One that reads two answers at once would keep both, and another sender would wait for ever.
    #[cfg(target_os = "linux")]
    #[test]
    fn no_acknowledgement_is_lost_among_senders_of_pipecom_that_overlap() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            let mut listener = Listener::new(&name).unwrap();
            let mut senders = Vec::new();
            for _ in 0..4 {
                let Some(sender) = python(SENDER, &name, 25) else { return };
                senders.push(sender);
            }
            for _ in 0..100 {
                listener.recv().unwrap();
                listener.acknowledge().unwrap();
            }
            senders.into_iter().for_each(Program::join);
        });
    }
}
