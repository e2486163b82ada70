//! Whatever the other side of a connection of calls says: a service goes on, and a call ends with an answer or an error.
#![no_main]

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use typed_pipe::{
    Client, ClientOptions, Connection, Context, ErrorKind, Listener, PipePath, ReadHalf, Service,
    WriteHalf,
};
use typed_pipe_fuzz::Value;

/// Longer than anything here takes: what is not over by then never is.
const LONG: Duration = Duration::from_secs(20);

/// What both sides of a true call say, up to the call and up to its answer.
struct Said {
    client: Vec<u8>,
    service: Vec<u8>,
}

struct Sides {
    /// A service that does with a call whatever can be done.
    service: PipePath,
    /// A listener that says to each client what stands in `says`.
    listener: PipePath,
    says: Arc<Mutex<Vec<u8>>>,
    said: Said,
}

fn handle(value: Value, context: &Context<Value>) -> Result<Value, String> {
    match value {
        Value::Nothing => Ok(Value::Nothing),
        Value::Text(text) => Err(text),
        Value::Number(items, ..) => {
            for _ in 0..items % 100 {
                if context.send(&Value::Bytes(vec![7; 1000])).is_err() {
                    break;
                }
            }
            Ok(Value::Nothing)
        }
        // The items of the caller, as long as they come.
        other => match std::iter::from_fn(|| context.recv::<Value>()).find_map(Result::err) {
            None => Ok(other),
            Some(error) => Err(error.to_string()),
        },
    }
}

/// Copies what comes, and keeps it.
fn relay(mut from: ReadHalf, mut to: WriteHalf, kept: &Mutex<Vec<u8>>) {
    let mut bytes = [0; 4096];
    while let Ok(got @ 1..) = from.read(&mut bytes) {
        kept.lock().unwrap().extend_from_slice(&bytes[..got]);
        if to.write_all(&bytes[..got]).is_err() {
            break;
        }
    }
}

/// Listens to a client and a service that understand each other.
fn overhear(service: &PipePath) -> Said {
    let between = Listener::temporary().expect("a listener");
    let path = between.path().clone();
    let calling = thread::spawn(move || {
        let client = Client::<Value, Value>::connect(path).expect("a service");
        assert_eq!(client.call(&Value::Nothing).expect("an answer"), Value::Nothing);
    });
    let (from_client, to_client) = between.accept().expect("a client").split();
    let (from_service, to_service) = Connection::connect(service).expect("a service").split();
    let (client, said) = (Mutex::default(), Mutex::default());
    thread::scope(|scope| {
        scope.spawn(|| relay(from_client, to_service, &client));
        relay(from_service, to_client, &said);
    });
    calling.join().expect("a client");
    // The frames of the first call, and of its answer.
    let before = |bytes: Vec<u8>, frame: &[u8]| {
        let at = bytes.windows(frame.len()).rposition(|found| found == frame);
        bytes[..at.expect("a frame of a call")].to_vec()
    };
    Said {
        client: before(client.into_inner().unwrap(), &[0, 0, 0, 5, 1]),
        service: before(said.into_inner().unwrap(), &[0, 0, 0, 3, 0x82]),
    }
}

fn sides() -> &'static Sides {
    static SIDES: OnceLock<Sides> = OnceLock::new();
    SIDES.get_or_init(|| {
        let serving = Service::<Value, Result<Value, String>>::temporary();
        let serving = serving.expect("a service").handshake_timeout(LONG);
        let service = serving.path().clone();
        thread::spawn(move || {
            serving.serve_with_context(|value, context: Context<Value>| handle(value, &context))
        });
        let echo = Service::<Value, Value>::temporary().expect("a service").shutdown_after(1);
        let echo_path = echo.path().clone();
        thread::spawn(move || echo.serve(|value| value));
        let said = overhear(&echo_path);
        let listening = Listener::temporary().expect("a listener");
        let listener = listening.path().clone();
        let says = Arc::<Mutex<Vec<u8>>>::default();
        let what = Arc::clone(&says);
        thread::spawn(move || {
            while let Ok(client) = listening.accept() {
                let what = what.lock().unwrap().clone();
                thread::spawn(move || say(client, &what));
            }
        });
        Sides { service, listener, says, said }
    })
}

/// Says it all, and that this was all; then listens until the other side has left.
fn say(connection: Connection, bytes: &[u8]) {
    let (mut reader, mut writer) = connection.split();
    let saying = bytes.to_vec();
    let saying = thread::spawn(move || {
        let mut left = saying.as_slice();
        while !left.is_empty() {
            match writer.write_timeout(left, LONG) {
                Ok(written @ 1..) => left = &left[written..],
                Err(error) if error.kind() == ErrorKind::TimedOut => panic!("it is not read"),
                Ok(0) | Err(_) => break,
            }
        }
        let _ = writer.finish_timeout(Duration::ZERO);
    });
    let mut taken = [0; 4096];
    loop {
        match reader.read_timeout(&mut taken, LONG) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => panic!("it goes on for ever"),
            Ok(0) | Err(_) => break,
        }
    }
    saying.join().expect("a writer");
}

/// The first byte chooses who hears it, and how far the other side keeps to what is agreed: at all, in its handshake, in
/// its frames.
fn hear(data: &[u8]) {
    let [how, rest @ ..] = data else { return };
    let rest = &rest[..rest.len().min(50_000)];
    let sides = sides();
    let to_service = how & 1 == 0;
    let mut said = if to_service { sides.said.client.clone() } else { sides.said.service.clone() };
    match how >> 1 & 3 {
        0 => said.extend_from_slice(rest),
        1 => {
            // Frames of calls, each with its length before it.
            let mut rest = rest;
            while let [len, more @ ..] = rest {
                let (frame, behind) = more.split_at(more.len().min(usize::from(*len)));
                said.extend(u32::try_from(frame.len()).unwrap_or(0).to_be_bytes());
                said.extend_from_slice(frame);
                rest = behind;
            }
        }
        2 => {
            // A handshake with some bytes changed.
            for change in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
                if let Some(byte) = said.get_mut(at) {
                    *byte ^= change[2];
                }
            }
        }
        _ => said = rest.to_vec(),
    }
    if to_service {
        return say(Connection::connect(&sides.service).expect("a service"), &said);
    }
    *sides.says.lock().unwrap() = said;
    let client = ClientOptions::new().max_attempts(1).reply_timeout(LONG);
    let client = client.connect_timeout::<Value, Value>(&sides.listener, LONG);
    let Ok(client) = client else { return };
    let _ = client.call(&Value::Nothing);
    let _ = client.notify(&Value::Nothing);
    if let Ok(mut items) = client.stream::<Value>(&Value::Nothing) {
        while let Some(Ok(_)) = items.recv() {}
        let _ = items.finish();
    }
}

fuzz_target!(|data: &[u8]| hear(data));
