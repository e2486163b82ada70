//! The service of threads in all orders: the reading of a client is taken away from a thread whose handler lasts. With the
//! very files of the crate, and with mutants of them.

/// A stand-in for `std::thread`.
pub(crate) mod thread {
    use std::io;
    use std::marker::PhantomData;
    use std::sync::Mutex;
    use std::time::Duration;

    use loom::thread::JoinHandle;

    pub(crate) fn sleep(_: Duration) {
        loom::thread::yield_now();
    }

    #[derive(Default)]
    pub(crate) struct Scope<'scope, 'env> {
        threads: Mutex<Vec<JoinHandle<()>>>,
        of: PhantomData<(&'scope (), &'env ())>,
    }

    impl Scope<'static, 'static> {
        /// Lends it to threads that end before it does.
        pub(crate) fn lend<T>(run: impl FnOnce(&'static Self) -> T) -> T {
            let scope = Self::default();
            // SAFETY: what borrows it are threads, which are waited for, and what `run` has dropped.
            let result = run(unsafe { &*&raw const scope });
            loop {
                let Some(thread) = scope.threads.lock().unwrap().pop() else { return result };
                thread.join().unwrap();
            }
        }
    }

    pub(crate) struct Builder;

    impl Builder {
        pub(crate) fn new() -> Self {
            Self
        }

        pub(crate) fn name(self, _: String) -> Self {
            self
        }

        pub(crate) fn stack_size(self, _: usize) -> Self {
            self
        }

        pub(crate) fn spawn_scoped<'scope>(
            self,
            scope: &'scope Scope<'scope, '_>,
            run: impl FnOnce() + Send + 'scope,
        ) -> io::Result<()> {
            let run: Box<dyn FnOnce() + Send + 'scope> = Box::new(run);
            // SAFETY: `lend` waits for it, and lends for ever alone.
            let run: Box<dyn FnOnce() + Send> = unsafe { std::mem::transmute(run) };
            scope.threads.lock().unwrap().push(loom::thread::spawn(run));
            Ok(())
        }
    }
}

macro_rules! model {
    ($name:ident: $busy:ident $watch:ident $pool:ident) => {
        #[allow(dead_code, reason = "mutants are tried with one model, and no time passes")]
        mod $name {
            use std::collections::VecDeque;
            use std::sync::Arc;
            use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

            use loom::sync::{Condvar, Mutex};

            use crate::serving::Scenario;
            /// What the files of the crate find above them.
            use crate::serving::thread;
            use loom::sync::atomic;
            mod panics {
                pub(super) fn contain(run: impl FnOnce()) {
                    run();
                }
            }
            mod busy {
                include!(concat!(env!("OUT_DIR"), "/busy_", stringify!($busy), ".rs"));
            }
            mod watch {
                include!(concat!(env!("OUT_DIR"), "/watch_", stringify!($watch), ".rs"));
            }
            mod pool {
                include!(concat!(env!("OUT_DIR"), "/pool_", stringify!($pool), ".rs"));
            }
            use busy::Busy;
            use pool::Pool;
            use thread::{Builder, Scope};
            use watch::{Watch, Watched};

            /// As `Served`, with its crew.
            struct Served {
                busy: Busy,
                pool: Arc<Pool<'static, 'static>>,
                watch: Watch<'static>,
                state: Mutex<State>,
                changed: Condvar,
                /// The thread whose turn it is to read, by when it began.
                reader: AtomicU64,
                time: AtomicU64,
                /// Whether the handler that runs lasts.
                lasts: AtomicBool,
                of: Scenario,
            }

            #[derive(Default)]
            struct State {
                requests: VecDeque<bool>,
                begun: usize,
                ended: usize,
            }

            impl Served {
                /// As `read_all` and `run_jobs`.
                fn read_on(self: Arc<Self>) {
                    let this = self.now();
                    self.reader.store(this, Relaxed);
                    loop {
                        let mut state = self.state.lock().unwrap();
                        assert_eq!(self.reader.load(Relaxed), this, "two threads read");
                        let Some(waits) = state.requests.pop_front() else { return };
                        drop(state);
                        self.lasts.store(waits || self.of.all_last, Relaxed);
                        let begun = self.now();
                        if self.busy.begin(begun) {
                            self.watch.add(Arc::<Self>::clone(&self));
                        }
                        self.handle(waits);
                        let reads_on = self.busy.end(begun);
                        self.state.lock().unwrap().ended += 1;
                        self.changed.notify_all();
                        if !reads_on {
                            return;
                        }
                    }
                }

                fn now(&self) -> u64 {
                    self.time.fetch_add(1, Relaxed) + 1
                }

                fn handle(&self, waits: bool) {
                    let mut state = self.state.lock().unwrap();
                    state.begun += 1;
                    self.changed.notify_all();
                    let begun = state.begun;
                    while waits && state.begun == begun {
                        state = self.changed.wait(state).unwrap();
                    }
                }
            }

            impl Watched for Served {
                fn look(self: Arc<Self>) -> bool {
                    let Some(since) = self.busy.since() else { return false };
                    if self.lasts.load(Relaxed) && self.busy.take(since) {
                        let this = Arc::clone(&self);
                        self.pool.submit_first(move || this.read_on());
                    }
                    true
                }

                fn let_go(&self) -> bool {
                    self.busy.let_go()
                }
            }

            fn run(of: Scenario) {
                Scope::lend(|scope| {
                    let served = Arc::new(Served {
                        busy: Busy::default(),
                        pool: Pool::new(scope, 1),
                        watch: Watch::default(),
                        state: Mutex::new(State {
                            requests: of.requests.iter().copied().collect(),
                            ..State::default()
                        }),
                        changed: Condvar::new(),
                        reader: AtomicU64::new(0),
                        time: AtomicU64::new(0),
                        lasts: AtomicBool::new(false),
                        of,
                    });
                    let watching = Arc::clone(&served);
                    Builder::new().spawn_scoped(scope, move || watching.watch.run()).unwrap();
                    let reading = Arc::clone(&served);
                    served.pool.submit_first(move || reading.read_on());
                    let mut state = served.state.lock().unwrap();
                    while state.ended < of.requests.len() {
                        state = served.changed.wait(state).unwrap();
                    }
                    assert_eq!(state.begun, of.requests.len());
                    drop(state);
                    served.pool.close();
                    served.watch.close();
                });
            }

            /// Two tasks at once, of which the first one waits for the second one, where a thread may be idle.
            fn run_pool() {
                Scope::lend(|scope| {
                    let pool = Pool::new(scope, 2);
                    let done = Arc::new((Mutex::new(0), Condvar::new()));
                    let submit = |until: i32| {
                        let done = Arc::clone(&done);
                        pool.submit(move || {
                            let (count, changed) = &*done;
                            let mut count = count.lock().unwrap();
                            *count += 1;
                            changed.notify_all();
                            while *count < until {
                                count = changed.wait(count).unwrap();
                            }
                        });
                    };
                    let wait = |until: i32| {
                        let mut count = done.0.lock().unwrap();
                        while *count < until {
                            count = done.1.wait(count).unwrap();
                        }
                    };
                    submit(0);
                    wait(1);
                    submit(3);
                    submit(0);
                    wait(3);
                    pool.close();
                });
            }

            pub(super) fn holds(of: Scenario) {
                crate::within(of.preemptions, move || run(of));
            }

            pub(super) fn pool_holds() {
                crate::within(2, run_pool);
            }
        }
    };
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Scenario {
    preemptions: usize,
    /// Whether each of them waits until the next one has begun.
    requests: &'static [bool],
    /// Whether those last as well that do not wait.
    all_last: bool,
}

const FIRST_WAITS: Scenario = Scenario { preemptions: 1, requests: &[true, false], all_last: true };
const SECOND_WAITS: Scenario =
    Scenario { preemptions: 1, requests: &[false, true, false], all_last: false };

/// In more orders than can all be tried in a moment.
const SECOND_WAITS_LONGER: Scenario = Scenario { preemptions: 2, ..SECOND_WAITS };
const OTHERS_FOLLOW: Scenario = Scenario { requests: &[true, false, false], ..SECOND_WAITS };

model!(as_it_is: as_it_is as_it_is as_it_is);
model!(ends_the_handler_of_another: ends_the_handler_of_another as_it_is as_it_is);
model!(both_read_on: both_read_on as_it_is as_it_is);
model!(begins_before_it_is_seen: begins_before_it_is_seen as_it_is as_it_is);
model!(let_go_without_a_second_look: let_go_without_a_second_look as_it_is as_it_is);
model!(let_go_by_a_store: let_go_by_a_store as_it_is as_it_is);
model!(added_while_the_watch_sleeps: as_it_is added_while_the_watch_sleeps as_it_is);
model!(closed_while_the_watch_sleeps: as_it_is closed_while_the_watch_sleeps as_it_is);
model!(one_thread_for_two_tasks: as_it_is as_it_is one_thread_for_two_tasks);
model!(no_thread_is_called: as_it_is as_it_is no_thread_is_called);

#[test]
fn requests_are_read_while_a_handler_waits_for_them() {
    as_it_is::holds(FIRST_WAITS);
}

#[test]
fn also_after_the_watch_has_let_go() {
    as_it_is::holds(SECOND_WAITS);
}

#[test]
fn also_by_who_reads_on_when_it_has_ended() {
    as_it_is::holds(OTHERS_FOLLOW);
}

#[test]
fn each_task_of_a_pool_has_a_thread() {
    as_it_is::pool_holds();
}

/// Each of them is tried in a process of its own.
pub(crate) const MUTANTS: &[(&str, fn())] = &[
    ("ends_the_handler_of_another", || ends_the_handler_of_another::holds(OTHERS_FOLLOW)),
    ("both_read_on", || both_read_on::holds(FIRST_WAITS)),
    ("begins_before_it_is_seen", || begins_before_it_is_seen::holds(SECOND_WAITS_LONGER)),
    ("let_go_without_a_second_look", || let_go_without_a_second_look::holds(SECOND_WAITS_LONGER)),
    ("let_go_by_a_store", || let_go_by_a_store::holds(SECOND_WAITS_LONGER)),
    ("added_while_the_watch_sleeps", || added_while_the_watch_sleeps::holds(FIRST_WAITS)),
    ("closed_while_the_watch_sleeps", || closed_while_the_watch_sleeps::holds(FIRST_WAITS)),
    ("one_thread_for_two_tasks", one_thread_for_two_tasks::pool_holds),
    ("no_thread_is_called", no_thread_is_called::pool_holds),
];
