//! The spans of calls, as a subscriber of the whole program sees them.
#![cfg(all(feature = "service", feature = "tracing"))]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use typed_pipe::{Client, Service};

type Fields = BTreeMap<&'static str, String>;

/// What spans say, and the events inside of them.
#[derive(Default)]
struct Log {
    spans: Mutex<HashMap<u64, (&'static str, Fields)>>,
    ended: Mutex<Vec<(&'static str, Fields)>>,
    last: AtomicU64,
}

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "it is; not seen on some systems")]
    static ENTERED: std::cell::RefCell<Vec<u64>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(Log::default)
}

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.target().starts_with("typed_pipe") || about.target() == "spans"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = log().last.fetch_add(1, Ordering::SeqCst) + 1;
        let mut fields = Fields::new();
        span.record(&mut Into(&mut fields));
        log().spans.lock().unwrap().insert(id, (span.metadata().name(), fields));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = log().spans.lock().unwrap();
        values.record(&mut Into(&mut spans.get_mut(&span.into_u64()).unwrap().1));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // An event of a handler is told of in its span.
        let Some(span) = ENTERED.with_borrow(|entered| entered.last().copied()) else { return };
        let mut fields = Fields::new();
        event.record(&mut Into(&mut fields));
        let mut spans = log().spans.lock().unwrap();
        spans.get_mut(&span).unwrap().1.insert("event", fields.remove("message").unwrap());
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, _: &Id) {
        ENTERED.with_borrow_mut(Vec::pop);
    }

    fn try_close(&self, span: Id) -> bool {
        let Some(ended) = log().spans.lock().unwrap().remove(&span.into_u64()) else { return true };
        log().ended.lock().unwrap().push(ended);
        true
    }
}

/// Waits for the end of a span with these fields.
#[track_caller]
fn ended(name: &str, fields: &[(&str, &str)]) -> Fields {
    let is_it = |(of, its): &(&str, Fields)| {
        *of == name
            && fields.iter().all(|(name, value)| its.get(name).is_some_and(|it| it == value))
    };
    let end = Instant::now() + Duration::from_secs(50);
    loop {
        if let Some((_, fields)) = log().ended.lock().unwrap().iter().find(|it| is_it(it)) {
            return fields.clone();
        }
        let all = log().ended.lock().unwrap().clone();
        assert!(Instant::now() < end, "no span {name} with {fields:?}: {all:#?}");
        thread::sleep(Duration::from_millis(1)); // between two looks
    }
}

#[derive(Serialize, Deserialize)]
enum Ask {
    Double { number: u32 },
    Fail,
    Wait,
}

#[test]
fn each_call_has_a_span_on_both_sides() {
    tracing::subscriber::set_global_default(Listener).unwrap();
    threads();
    #[cfg(feature = "tokio")]
    tasks();
}

fn handled(ask: &Ask) -> Result<u32, &'static str> {
    match ask {
        Ask::Double { number } => {
            tracing::info!("doubles {number}");
            Ok(number * 2)
        }
        Ask::Fail => Err("it fails"),
        Ask::Wait => Ok(0),
    }
}

#[track_caller]
fn are_told(event: &str) {
    let pid = std::process::id().to_string();
    let pid = pid.as_str();
    for name in ["call", "handle"] {
        let answered = ended(name, &[("method", "Double"), ("outcome", "answered"), ("peer", pid)]);
        assert!(answered.contains_key("id") && answered.contains_key("duration"), "{answered:?}");
        ended(name, &[("method", "Fail"), ("outcome", "failed"), ("peer", pid)]);
        ended(name, &[("method", "Wait"), ("outcome", "cancelled"), ("peer", pid)]);
    }
    // What a handler tells is told inside of its call.
    ended("handle", &[("method", "Double"), ("event", event)]);
    log().ended.lock().unwrap().clear();
}

fn threads() {
    let service = Service::<Ask, u32>::temporary().unwrap().shutdown_after(3);
    let path = service.path().clone();
    let (begin, begun) = std::sync::mpsc::channel();
    let serving = thread::spawn(move || {
        service.serve_with_context(move |ask, context: typed_pipe::Context| {
            if matches!(ask, Ask::Wait) {
                begin.send(()).unwrap();
            }
            while matches!(ask, Ask::Wait) && !context.is_cancelled() {
                thread::yield_now();
            }
            handled(&ask)
        })
    });
    let client = Client::<Ask, u32>::connect(path).unwrap();
    assert_eq!(client.call(&Ask::Double { number: 21 }).unwrap(), 42);
    client.call(&Ask::Fail).unwrap_err();
    let waits = client.start(&Ask::Wait).unwrap();
    begun.recv().unwrap();
    drop(waits);
    serving.join().unwrap().unwrap();
    are_told("doubles 21");
}

#[cfg(feature = "tokio")]
fn tasks() {
    use std::sync::Arc;

    use tokio::sync::Notify;
    use typed_pipe::wire::Postcard;
    use typed_pipe::{ClientOptions, Context, Tokio};

    let test = async {
        let service = Service::<Ask, u32>::temporary().unwrap().shutdown_after(3);
        let path = service.path().clone();
        let begun = Arc::new(Notify::new());
        let begin = Arc::clone(&begun);
        let handler = move |ask, context: Context<(), Postcard, Tokio>| {
            let begin = Arc::clone(&begin);
            async move {
                if matches!(ask, Ask::Wait) {
                    begin.notify_one();
                }
                while matches!(ask, Ask::Wait) && !context.is_cancelled() {
                    tokio::task::yield_now().await;
                }
                tokio::task::yield_now().await;
                handled(&ask)
            }
        };
        let service = service.into_tokio().unwrap();
        let serving = tokio::spawn(service.serve_with_context(handler));
        let options = ClientOptions::new().into_tokio();
        let client = options.connect::<Ask, u32>(path).await.unwrap();
        assert_eq!(client.call(&Ask::Double { number: 4 }).await.unwrap(), 8);
        client.call(&Ask::Fail).await.unwrap_err();
        let waits = client.start(&Ask::Wait).await.unwrap();
        begun.notified().await;
        drop(waits);
        serving.await.unwrap().unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.enable_all().build().unwrap().block_on(test);
    are_told("doubles 4");
}
