//! Real programs on the other side: Python with its standard library, and those of a shell.
//!
//! A test whose program is not there says so, and does nothing.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use typed_pipe::wire::foreign::Lines;
#[cfg(feature = "foreign")]
use typed_pipe::wire::foreign::Npipes;
use typed_pipe::wire::{Codec, Framing, Plain, Wire};
use typed_pipe::{CancelToken, CodecError, ErrorKind, OnHangup, Pipe, WriteEnd};

use crate::support::{skipped, started, watched};

const LONG: Duration = Duration::from_secs(30);

/// A program that is killed when the test is done with it.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Option<Self> {
        match started(command) {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                skipped(format_args!("{:?}: {error}", command.get_program()));
                None
            }
        }
    }

    /// Its standard input and output, which are pipes.
    pub(crate) fn pipes(&mut self) -> (ChildStdin, ChildStdout) {
        (self.0.stdin.take().unwrap(), self.0.stdout.take().unwrap())
    }

    pub(crate) fn join(mut self) {
        let status = self.0.wait().unwrap();
        assert!(status.success(), "the program failed: {status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn shell(script: &str, pipes: &[&Pipe<typed_pipe::state::Allocated>]) -> Program {
    let paths = pipes.iter().map(|pipe| pipe.path());
    Program::start(Command::new("sh").args(["-c", script, "sh"]).args(paths)).unwrap()
}

/// Messages that every one of these wires can carry, if its peer takes text.
fn texts(ascii: bool) -> Vec<String> {
    let last = if ascii { "hello world" } else { "héllo 世界" };
    ["one", "", &"long ".repeat(30_000), last].map(str::to_owned).to_vec()
}

/// Sends to Python, which sends back what it has read: on this wire both times.
///
/// `speak` is the Python that has `read(file)`, which is `None` at the end, and `write(file, text)`.
fn python_sends_back<F, C>(wire: Wire<F, C>, texts: &[String], speak: &str)
where
    F: Framing + Clone + Send,
    C: Codec + Clone + Send,
{
    let (to, from) = (Pipe::temporary().unwrap(), Pipe::temporary().unwrap());
    let script = format!(
        "import base64, json, struct, sys, zlib\n{speak}
with open(sys.argv[1], 'rb') as source, open(sys.argv[2], 'wb', buffering=0) as sink:
    while (text := read(source)) is not None:
        write(sink, text)
"
    );
    let mut python = Command::new("python3");
    python.arg("-c").arg(script).arg(to.path()).arg(from.path());
    let Some(python) = Program::start(&mut python) else { return };

    let back = from.into_reader().open().unwrap();
    let there = to.into_writer().open_with(&python.0).unwrap();
    let mut receiver = back.into_receiver_with::<String, _, _>(wire.clone());
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut sender = there.into_sender_with::<String, _, _>(wire);
            sender.send_all(texts).unwrap();
        });
        for text in texts {
            assert_eq!(&receiver.recv().unwrap(), text);
        }
        assert!(receiver.recv().unwrap_err().is_disconnected());
    });
    python.join();
}

#[test]
fn python_speaks_lines() {
    watched(|| {
        let speak = "
def read(file):
    line = file.readline()
    return line[:-1].decode() if line else None
def write(file, text):
    file.write(text.encode() + b'\\r\\n')
";
        python_sends_back(Wire::new(Lines::default(), Plain), &texts(false), speak);
    });
}

#[cfg(feature = "json")]
#[test]
fn python_speaks_lines_of_json() {
    watched(|| {
        let speak = "
def read(file):
    line = file.readline()
    return json.loads(line) if line else None
def write(file, text):
    file.write(json.dumps(text).encode() + b'\\n')
";
        let mut texts = texts(false);
        texts.push("line\r\n".to_owned());
        python_sends_back(Wire::new(Lines::default(), typed_pipe::wire::Json), &texts, speak);
    });
}

#[cfg(feature = "foreign")]
const NPIPES: &str = "
def read(file):
    header = file.read(8)
    if not header:
        return None
    total, length = struct.unpack('>II', header)
    assert total == length + 8
    data = file.read(length)
    assert struct.unpack('>I', file.read(4))[0] == crc(data)
    return data.decode('ascii')
def write(file, text):
    data = text.encode('ascii')
    file.write(struct.pack('>II', len(data) + 8, len(data)) + data + struct.pack('>I', crc(data)))
";

#[cfg(feature = "foreign")]
#[test]
fn python_speaks_frames_of_npipes() {
    watched(|| {
        let with = format!("{NPIPES}\ncrc = zlib.crc32");
        python_sends_back(Wire::new(Npipes::default(), Plain), &texts(true), &with);
        let without = format!("{NPIPES}\ncrc = lambda data: 0");
        let wire = Wire::new(Npipes::default().without_crc(), Plain);
        python_sends_back(wire, &texts(true), &without);
    });
}

#[cfg(feature = "foreign")]
mod base64 {
    use typed_pipe::wire::foreign::{Base64Datagrams, Base64Lines};

    use super::*;

    #[test]
    fn python_speaks_base64_datagrams() {
        watched(|| {
            let speak = "
rest = b''
def read(file):
    global rest
    while b'\\0' not in rest:
        piece = file.read1(7)
        if not piece:
            assert not rest
            return None
        rest += piece
    datagram, rest = rest.split(b'\\0', 1)
    return base64.b64decode(datagram, validate=True).decode()
def write(file, text):
    file.write(base64.b64encode(text.encode()) + b'\\0')
";
            let mut texts = texts(false);
            texts[2].truncate(5000); // Python puts it together in pieces of 7
            python_sends_back(Wire::new(Base64Datagrams::default(), Plain), &texts, speak);
        });
    }

    #[test]
    fn python_speaks_base64_lines() {
        watched(|| {
            let speak = "
def read(file):
    line = file.readline()
    return base64.b64decode(line[:-1], validate=True).decode() if line else None
def write(file, text):
    file.write(base64.b64encode(text.encode()) + b'\\n')
";
            python_sends_back(Wire::new(Base64Lines::default(), Plain), &texts(false), speak);
        });
    }
}

#[test]
fn gzip_and_its_inverse_give_the_same_bytes() {
    watched(|| {
        let packed = through("gzip -c < \"$1\" > \"$2\"");
        assert!(packed.starts_with(&[0x1F, 0x8B]) && packed.len() < 100_000);
        let (to, from) = (Pipe::temporary().unwrap(), Pipe::temporary().unwrap());
        let program = shell("gzip -dc < \"$1\" > \"$2\"", &[&to, &from]);
        assert_eq!(exchange(to, from, &program.0, &packed), text());
        program.join();
    });
}

#[test]
fn sha256sum_reads_a_pipe_like_a_file() {
    use sha2::Digest;

    watched(|| {
        let sum = String::from_utf8(through("sha256sum \"$1\" > \"$2\"")).unwrap();
        let digest = sha2::Sha256::digest(text());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(sum.starts_with(&digest), "{sum}");
    });
}

#[test]
fn sort_opens_its_output_when_it_has_read_all() {
    watched(|| {
        let sorted = through("sort -o \"$2\" \"$1\"");
        let text = String::from_utf8(text()).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert!(String::from_utf8(sorted).unwrap().lines().eq(lines));
    });
}

/// What a script makes of a text, read from one pipe and written to another.
fn through(script: &str) -> Vec<u8> {
    let (to, from) = (Pipe::temporary().unwrap(), Pipe::temporary().unwrap());
    let program = shell(&format!("export LC_ALL=C; {script}"), &[&to, &from]);
    let out = exchange(to, from, &program.0, &text());
    program.join();
    out
}

fn exchange(
    to: Pipe<typed_pipe::state::Allocated>,
    from: Pipe<typed_pipe::state::Allocated>,
    child: &Child,
    input: &[u8],
) -> Vec<u8> {
    let mut output = from.into_reader().open().unwrap();
    let mut end = to.into_writer().open_with(child).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || end.write_all(input).unwrap());
        output.wait_for_peer(child).unwrap();
        let mut all = Vec::new();
        output.read_to_end(&mut all).unwrap();
        all
    })
}

/// More than a pipe holds.
fn text() -> Vec<u8> {
    (0..30_000).map(|number| format!("{}\n", number * 7919 % 30_011)).collect::<String>().into()
}

#[test]
fn a_program_that_ends_without_reading_is_not_waited_for() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let mut program = shell("exit 3", &[&pipe]);
        let failed = pipe.into_writer().open_with(&program.0).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::ChildExited);
        let words = failed.to_string();
        assert!(words.starts_with("cannot open for writing `/"), "{words}");
        assert!(
            words.ends_with("ended before it opened the other side (exit status: 3)"),
            "{words}"
        );
        // The end is as it was before, and so is the status of the program.
        let pipe = failed.into_state().into_pipe();
        assert_eq!(program.0.wait().unwrap().code(), Some(3));
        let program = shell("cat \"$1\" > /dev/null", &[&pipe]);
        pipe.into_writer().open_with(&program.0).unwrap();
        program.join();
    });
}

#[test]
fn a_program_that_read_the_pipe_without_waiting_is_told_of() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let program = shell("exit 0", &[&pipe]); // as gzip does, which finds a pipe without a writer at its end
        let words = pipe.into_writer().open_with(&program.0).unwrap_err().to_string();
        assert!(words.ends_with("as gzip does, takes the pipe as its standard input"), "{words}");
    });
}

#[test]
fn a_program_that_ends_without_writing_is_not_waited_for() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let program = shell("kill -9 $$", &[&pipe]);
        let mut end = pipe.open_reader().unwrap();
        let error = end.wait_for_peer(&program.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChildExited);
        let words = error.to_string();
        assert!(words.starts_with("cannot wait for a writer of `/"), "{words}");
        assert!(words.contains("signal: 9"), "{words}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::BrokenPipe);
        // The end is still open, for another program.
        let path = end.path().unwrap().clone();
        let mut program = Command::new("sh");
        let program = program.args(["-c", "echo hello > \"$1\"", "sh"]).arg(&path);
        let program = Program::start(program).unwrap();
        end.wait_for_peer(&program.0).unwrap();
        let mut hello = String::new();
        end.read_to_string(&mut hello).unwrap();
        assert_eq!(hello, "hello\n");
    });
}

#[test]
fn a_program_that_has_written_before_its_end_is_heard() {
    watched(|| {
        for (script, written) in [("echo all > \"$1\"", "all\n"), (": > \"$1\"", "")] {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut end = pipe.into_reader().open().unwrap();
            let mut program = Command::new("sh");
            let mut program =
                Program::start(program.args(["-c", script, "sh"]).arg(&path)).unwrap();
            program.0.wait().unwrap();
            if written.is_empty() && !cfg!(target_os = "linux") {
                continue; // documented: it does not show everywhere
            }
            end.wait_for_peer(&program.0).unwrap();
            let mut text = String::new();
            end.read_to_string(&mut text).unwrap();
            assert_eq!(text, written);
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a4_a_program_that_opens_and_says_nothing_is_there() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let program = shell("exec > \"$1\"; exec sleep 1000", &[&pipe]);
        let mut end = pipe.into_reader().open().unwrap();
        end.wait_for_peer(&program.0).unwrap();
        assert_eq!(end.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_program_that_never_opens_is_waited_for_until_the_deadline() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let time = Duration::from_millis(120);
        let pipe = Pipe::temporary().unwrap();
        let program = shell("exec sleep 1000", &[&pipe]);
        let writer = pipe.into_writer().cancelled_by(&token);
        let failed = writer.open_with_timeout(&program.0, time).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
        let writer = failed.into_state();

        let mut end = Pipe::temporary().unwrap().into_reader().cancelled_by(&token).open().unwrap();
        let error = end.wait_for_peer_timeout(&program.0, time).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().ends_with("still no writer has opened it"), "{error}");

        token.cancel();
        assert_eq!(writer.open_with(&program.0).unwrap_err().kind(), ErrorKind::Cancelled);
        let error = end.wait_for_peer(&program.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn lines_of_a_shell_are_text() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let program = shell("printf 'one\\r\\n\\nb\\377d\\nlast' > \"$1\"", &[&pipe]);
        let mut lines = pipe.into_reader().open().unwrap().into_text();
        assert_eq!(lines.recv_timeout(LONG).unwrap(), "one");
        assert_eq!(lines.recv().unwrap(), "");
        let error = lines.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        let source = std::error::Error::source(&error).unwrap();
        let cause = source.downcast_ref::<CodecError>().unwrap();
        assert!(matches!(cause, CodecError::NotUtf8 { valid: 1 }), "{cause}");
        assert_eq!(lines.recv().unwrap(), "last");
        assert!(lines.recv().unwrap_err().is_disconnected());
        program.join();
    });
}

#[cfg(feature = "json")]
#[test]
fn json_of_a_shell_needs_no_last_line_feed() {
    use typed_pipe::wire::Json;

    watched(|| {
        let wire = Wire::new(Lines::default(), Json);
        for (script, ids) in [
            ("printf '{\"id\":1}' > \"$1\"", &[1][..]),
            ("{ echo '{\"id\":1}'; printf %s '{\"id\":2}'; } > \"$1\"", &[1, 2]),
        ] {
            let pipe = Pipe::temporary().unwrap();
            let program = shell(script, &[&pipe]);
            let end = pipe.into_reader().open().unwrap();
            let mut values = end.into_receiver_with::<serde_json::Value, _, _>(wire.clone());
            for id in ids {
                assert_eq!(values.recv().unwrap()["id"], *id);
            }
            assert!(values.recv().unwrap_err().is_disconnected());
            program.join();
        }
    });
}

#[cfg(feature = "json")]
#[test]
fn half_a_line_of_json_of_a_killed_program_is_truncated() {
    use typed_pipe::Hangup;
    use typed_pipe::wire::Json;

    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let program =
            shell("{ echo '{\"id\":1}'; printf '{\"id\":'; kill -9 $$; } > \"$1\"", &[&pipe]);
        let end = pipe.into_reader().open().unwrap();
        let wire = Wire::new(Lines::default(), Json);
        let mut values = end.into_receiver_with::<serde_json::Value, _, _>(wire);
        assert_eq!(values.recv().unwrap()["id"], 1);
        assert_eq!(values.recv().unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(values.last_message(), Some(&b"{\"id\":"[..]));
        assert_eq!(values.last_hangup(), Some(Hangup::Truncated));
        assert!(values.recv().unwrap_err().is_disconnected());
        drop(program);
    });
}

#[cfg(feature = "json")]
#[test]
fn json_over_several_lines_of_one_python_after_the_other() {
    use typed_pipe::wire::Json;
    use typed_pipe::wire::foreign::ConcatenatedJson;

    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().on_hangup(OnHangup::NextWriter).open().unwrap();
        let wire = Wire::new(ConcatenatedJson::default(), Json);
        let mut values = end.into_receiver_with::<serde_json::Value, _, _>(wire);
        for id in 0..3 {
            let script = format!(
                "import json, sys
with open(sys.argv[1], 'w') as pipe:
    for more in range(2):
        json.dump({{'id': {id} + more, 'text': '}}\"'}}, pipe, indent=2)
    pipe.write('{id}')
"
            );
            let mut python = Command::new("python3");
            python.arg("-c").arg(script).arg(&path);
            let Some(program) = Program::start(&mut python) else { return };
            assert_eq!(values.recv().unwrap()["id"], id);
            assert_eq!(values.recv().unwrap()["id"], id + 1);
            assert_eq!(values.recv().unwrap(), id, "at its end");
            program.join();
        }
    });
}

#[test]
fn lines_of_one_shell_after_the_other() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().on_hangup(OnHangup::NextWriter).open().unwrap();
        let mut lines = end.into_text();
        for text in ["no end", "another"] {
            let program = Command::new("sh")
                .args(["-c", "printf %s \"$1\" > \"$2\"", "sh", text])
                .arg(&path)
                .stdin(Stdio::null())
                .spawn();
            assert_eq!(lines.recv().unwrap(), text);
            assert!(program.unwrap().wait().unwrap().success());
        }
    });
}

#[test]
fn a_shell_reads_lines() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let client = thread::spawn(move || {
            let mut lines = WriteEnd::at(path).unwrap().open().unwrap().into_text();
            lines.send("one").unwrap();
            lines.send("two words").unwrap();
            assert_eq!(lines.send("a\nb").unwrap_err().kind(), ErrorKind::Encode);
        });
        let script = "{ read a; read b; } < \"$1\"; test \"$a-$b\" = \"one-two words\"";
        let program = shell(script, &[&pipe]);
        client.join().unwrap();
        program.join();
    });
}
