//! The service of threads: a thread reads for each client that is not silent, and runs short handlers itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use super::busy::Busy;
use super::failure::Lost;
use super::lifecycle::Lifecycle;
use super::link::{Job, Link, Order, State};
use super::mux::Reason;
use super::panics::panicked;
use super::pool::{Duty, Pool};
use super::silent::{Rests, Silent};
use super::waiting::{Reply, forget_read_buffer};
use super::watch::{LONG, Watch, Watched};
use crate::state::Blocking;
use crate::sys::{self, Readiness, WaitLimit};
use crate::wait::{sooner, within};

/// The handlers of a service of threads.
pub(super) trait Handle: Sync {
    fn handle(&self, link: &Arc<Link<Blocking>>, job: &Job) -> Reply;
}

/// What all clients of a service share.
pub(super) struct Crew<'scope, 'env> {
    pub(super) lifecycle: &'env Lifecycle,
    pub(super) handler: &'env dyn Handle,
    order: Order,
    pool: Arc<Pool<'scope, 'env>>,
    silent: Silent<'scope, 'env>,
    watch: Watch<'scope>,
    /// The clients, and the thread that accepts them.
    members: AtomicUsize,
    /// The microseconds that a handler takes, smoothed, times 8.
    cost: AtomicU64,
    /// Whether a thread waits for the first word of a client.
    expects: AtomicBool,
    /// The clients for which a thread reads.
    reading: AtomicUsize,
    begun: Instant,
}

impl<'scope, 'env> Crew<'scope, 'env> {
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        lifecycle: &'env Lifecycle,
        handler: &'env dyn Handle,
    ) -> Arc<Self> {
        let pool = Pool::new(scope, MOST_THREADS);
        let crew = Arc::new(Self {
            lifecycle,
            handler,
            order: lifecycle.order(),
            silent: Silent::new(scope, &pool, lifecycle.closing()),
            pool,
            watch: Watch::default(),
            members: AtomicUsize::new(0),
            cost: AtomicU64::new(0),
            expects: AtomicBool::new(false),
            reading: AtomicUsize::new(0),
            begun: Instant::now(),
        });
        let watching = Arc::clone(&crew);
        let thread = Builder::new().name("typed-pipe watch".into()).stack_size(128 << 10);
        let watching = thread.spawn_scoped(scope, move || watching.watch.run());
        if watching.is_err() {
            // Without it, no handler runs in a thread that reads.
            crew.cost.store(u64::MAX / 2, Ordering::Relaxed);
        }
        crew
    }

    /// Enters something that needs the crew.
    pub(super) fn join(self: &Arc<Self>) -> Member<'scope, 'env> {
        self.members.fetch_add(1, Ordering::AcqRel);
        Member(Arc::clone(self))
    }

    /// Whether a client can be silent without a thread that reads for it.
    pub(super) fn lets_rest(&self) -> bool {
        Readiness::KEEPS_ALL && self.lifecycle.client_idle_timeout().is_none()
    }

    /// Lets a client be silent from its beginning on, if a thread need not read for it. `false` where the system has none.
    pub(super) fn rest(&self, client: Arc<Served<'scope, 'env>>) -> bool {
        // For who waits, another thread still reads.
        client.link.lock().turns.leading = true;
        self.silent.take(client.clone()) || self.read(move || client.read_again())
    }

    /// Lets a thread read. `false` where the system has none.
    pub(super) fn read(&self, task: impl FnOnce() + Send + 'scope) -> bool {
        self.pool.submit(Duty::Read, task)
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX) + 1
    }

    fn smooth(&self, took: u64) {
        let old = self.cost.load(Ordering::Relaxed);
        self.cost.store(old - old / 8 + took.min(1 << 40), Ordering::Relaxed);
    }

    /// Handlers that take as long as others did run in the thread that reads.
    fn is_short(&self) -> bool {
        self.cost.load(Ordering::Relaxed) < SHORT * 8
    }
}

/// Something that needs the threads of a service. With the last one they all end.
pub(super) struct Member<'scope, 'env>(Arc<Crew<'scope, 'env>>);

impl<'env> Member<'_, 'env> {
    pub(super) fn lifecycle(&self) -> &'env Lifecycle {
        self.0.lifecycle
    }
}

impl Drop for Member<'_, '_> {
    fn drop(&mut self) {
        if self.0.members.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.pool.close();
            self.0.silent.close();
            self.0.watch.close();
        }
    }
}

/// The threads that run handlers of a service, at most.
const MOST_THREADS: usize = 512;

/// A handler that takes more microseconds gets a thread of its own.
const SHORT: u64 = 20;

/// How often a thread that reads looks whether the last handlers have ended, and whether another thread left something to
/// write.
const DRAIN: Duration = Duration::from_millis(20);

/// A client from which nothing comes for so long is silent.
const SILENT: Duration = Duration::from_millis(100);

/// One from which nothing has come at all is silent after so long; at once, if a thread waits for another such one: of many
/// that connect one after the other, one has a thread.
const SILENT_AT_FIRST: Duration = Duration::from_millis(2);

/// While something is going on, its end is looked for after twice the time each time, up to this.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// While threads read for more clients than these, each is silent as soon.
const MANY: usize = 64;

/// Answers wait for each other so many microseconds.
const EAGER_MICROS: u64 = 50;

/// A client that is served.
pub(super) struct Served<'scope, 'env> {
    pub(super) link: Arc<Link<Blocking>>,
    crew: Arc<Crew<'scope, 'env>>,
    _member: Member<'scope, 'env>,
    busy: Busy,
    /// Whether no thread reads for it while it is silent.
    rests: AtomicBool,
    /// Whether anything has come from it.
    heard: AtomicBool,
    /// Whether its loss is counted.
    counted: AtomicBool,
}

impl<'scope, 'env> Served<'scope, 'env> {
    pub(super) fn new(link: Arc<Link<Blocking>>, member: Member<'scope, 'env>) -> Arc<Self> {
        Arc::new(Self {
            link,
            crew: Arc::clone(&member.0),
            _member: member,
            busy: Busy::default(),
            rests: AtomicBool::new(true),
            heard: AtomicBool::new(false),
            counted: AtomicBool::new(false),
        })
    }

    /// A thread reads for it even while it is silent.
    pub(super) fn always_reads(&self) {
        self.rests.store(false, Ordering::Relaxed);
    }

    /// Reads and handles, until the client has left, or the service is to end; or until another thread reads on, because the
    /// client is silent, or a handler of this thread took long.
    pub(super) fn read_on(self: &Arc<Self>, expects: Option<Expects<'scope, 'env>>) {
        self.crew.reading.fetch_add(1, Ordering::Relaxed);
        // Code of the user's that no handler contains, such as its framing, may panic.
        if catch_unwind(AssertUnwindSafe(|| self.read_all(expects))).is_err() {
            self.link.disconnect(Lost::Garbled);
        }
        self.crew.reading.fetch_sub(1, Ordering::Relaxed);
    }

    fn read_all(self: &Arc<Self>, mut expected: Option<Expects<'scope, 'env>>) {
        let link = &self.link;
        let idle_timeout = self.crew.lifecycle.client_idle_timeout();
        let mut last = Instant::now();
        let mut next_look = SILENT_AT_FIRST;
        loop {
            if !self.run_jobs() {
                return;
            }
            let mut state = link.lock();
            let draining = state.serving.ending;
            if draining {
                drop(state);
                link.left_for_callers();
                state = link.lock();
            }
            let mut longest = link.stall_timeout.unwrap_or(Duration::MAX);
            // A thread that writes may leave something behind.
            if draining || state.writing || state.has_output() {
                longest = DRAIN;
            }
            let may_rest = idle_timeout.is_none() && self.rests.load(Ordering::Relaxed);
            let rests = may_rest && state.is_at_rest();
            state.note_handled(&mut last);
            let mut expects = expected.take();
            if may_rest {
                longest = longest.min(match self.heard.load(Ordering::Relaxed) {
                    _ if !rests => next_look,
                    false => {
                        expects = expects.or_else(|| Expects::of(&self.crew));
                        expects.as_ref().map_or(Duration::ZERO, |_| SILENT_AT_FIRST)
                    }
                    true if self.crew.reading.load(Ordering::Relaxed) > MANY => SILENT_AT_FIRST,
                    true => SILENT,
                });
            }
            drop(state);
            if let (Some(limit), false) = (idle_timeout, draining) {
                longest = longest.min(limit.saturating_sub(last.elapsed()));
            }
            let soon = within(longest);
            if link.wait_while_full() {
                let mut reader = link.lock_reader();
                reader.forgive();
                if self.crew.lifecycle.is_closing() {
                    // No read tells.
                    link.close_reading(&mut reader);
                }
                continue;
            }
            let mut reader = link.lock_reader();
            let left = link.time_of_part(&reader);
            let soon = left.map_or(soon, |left| sooner(soon, left));
            let mut state = link.lock();
            if state.may_begin(self.crew.order) {
                // A thread that wrote has taken it in.
                continue;
            }
            state.turns.leading = true;
            drop(state);
            let read = link.read(&mut reader, soon);
            drop(expects);
            let left = link.time_of_part(&reader);
            drop(reader);
            let mut state = link.lock();
            state.turns.leading = false;
            let is_silent = rests && matches!(read, Ok(false)) && left.is_none();
            // What is going on may end without a word of the client: most of it soon.
            next_look = match read {
                Ok(false) if !rests => LAST_LOOK.min(2 * next_look),
                _ => SILENT_AT_FIRST,
            };
            if !is_silent {
                self.heard.store(true, Ordering::Relaxed);
            }
            let mut state = self.note_read(state, read, left, &mut last);
            let serving = &state.serving;
            let done = serving.ending && (serving.running == 0 || serving.ended);
            if state.lost.is_some() || done {
                drop(state);
                self.go_on();
                // Nothing reads their answers any more.
                link.end_calls(Lost::Cancelled);
                return;
            }
            if is_silent && state.is_at_rest() {
                // For who waits, another thread still reads.
                state.turns.leading = true;
                drop(state);
                if self.crew.silent.take(Arc::<Self>::clone(self)) {
                    return;
                }
                self.always_reads();
                link.lock().turns.leading = false;
            }
        }
    }

    /// Draws the consequences of a read: `left` is the time for the rest of a frame, and `last` that of the last sign of the
    /// client.
    fn note_read<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        read: Result<bool, Lost>,
        left: Option<Duration>,
        last: &mut Instant,
    ) -> MutexGuard<'a, State> {
        let (link, lifecycle) = (&self.link, &self.crew.lifecycle);
        match read {
            // Nothing more of it was here just now.
            Ok(false) if left.is_some_and(|left| left.is_zero()) => {
                drop(state);
                link.note_too_slow();
                link.disconnect(Lost::Disconnected);
            }
            Ok(true) => {
                if left.is_some() || state.is_active() {
                    *last = Instant::now();
                }
                return state;
            }
            Ok(false) => {
                forget_read_buffer();
                state.note_handled(last);
                if state.is_active() {
                    *last = Instant::now();
                }
                if lifecycle.client_idle_timeout().is_some_and(|limit| last.elapsed() >= limit) {
                    state.serving.ending = true;
                    lifecycle.note_idle();
                }
                return state;
            }
            // Nothing more is taken. What was taken is answered, and its items still come.
            Err(Lost::Cancelled) => {
                drop(state);
                link.close_reading(&mut link.lock_reader());
            }
            // It may still take answers.
            Err(lost @ (Lost::Disconnected | Lost::Finished | Lost::Refused(_))) => {
                (state.serving.ending, state.serving.ended) = (true, true);
                drop(state);
                link.cancel_handlers();
                link.end_calls(lost);
            }
            Err(lost @ (Lost::Flooded | Lost::Garbled)) => {
                drop(state);
                link.disconnect(lost);
            }
        }
        link.lock()
    }

    /// Runs what has come. `false` if another thread reads by now.
    fn run_jobs(self: &Arc<Self>) -> bool {
        let (link, crew) = (&self.link, &self.crew);
        // When the first answer that waits to be written was begun, and when the last one was ready.
        let (mut since, mut last) = (None, None);
        let mut state = link.lock();
        loop {
            let Some(job) = state.next_job(crew.order) else {
                if !state.has_output() || state.writing {
                    return true;
                }
                // Answers that wait to be sent may be what the next one waits for.
                self.flush(state);
                // That may have taken long.
                (since, last) = (None, None);
                state = link.lock();
                continue;
            };
            drop(state);
            if !crew.lifecycle.take() {
                // It is not taken, and neither is any after it.
                state = link.lock();
                state.take_no_more();
                continue;
            }
            job.begin();
            if job.call.is_some() && !crew.is_short() {
                crew.pool.submit(Duty::Work, self.apart(job));
                last = None;
                state = link.lock();
                continue;
            }
            let begun = last.unwrap_or_else(|| crew.micros());
            if self.busy.begin(begun) {
                let this: Arc<dyn Watched + 'scope> = Arc::<Self>::clone(self);
                crew.watch.add(this);
            }
            let reply = self.handle(&job);
            let ended = crew.micros();
            let reads_on = self.busy.end(begun);
            crew.smooth(ended - begun);
            state = link.lock();
            link.finish_job(&mut state, &job, reply);
            if !reads_on {
                drop(state);
                self.go_on();
                return false;
            }
            last = Some(ended);
            if state.outbox.is_much() || ended - *since.get_or_insert(begun) > EAGER_MICROS {
                self.flush(state);
                (since, last) = (None, None);
                state = link.lock();
            }
        }
    }

    /// What runs one handler in a thread of the pool. Where there is none for it, its caller is told.
    fn apart(self: &Arc<Self>, job: Job) -> impl FnOnce() + Send + use<'scope, 'env> {
        let mut apart = Apart { served: Arc::clone(self), job: Some(job) };
        move || {
            if let Some(job) = apart.job.take() {
                apart.served.run_apart(job);
            }
        }
    }

    fn run_apart(self: &Arc<Self>, job: Job) {
        let begun = self.crew.micros();
        let reply = self.handle(&job);
        self.crew.smooth(self.crew.micros() - begun);
        let mut state = self.link.lock();
        self.link.finish_job(&mut state, &job, reply);
        drop(state);
        self.go_on();
    }

    /// Writes what is queued, begins what waited for a handler to end, and says goodbye after the last one.
    fn go_on(self: &Arc<Self>) {
        let (link, crew) = (&self.link, &self.crew);
        loop {
            self.flush(link.lock());
            let mut state = link.lock();
            while let Some(job) = state.next_job(crew.order) {
                drop(state);
                if crew.lifecycle.take() {
                    job.begin();
                    crew.pool.submit(Duty::Work, self.apart(job));
                    state = link.lock();
                } else {
                    state = link.lock();
                    state.take_no_more();
                }
            }
            let serving = &mut state.serving;
            if !serving.ending || serving.running > 0 || serving.over || !state.jobs.is_empty() {
                return;
            }
            if state.lost.is_none() && state.outbox.has_answers() {
                // Another thread writes, and may have no time for them. They go before the goodbye.
                drop(state);
                drop(link.lock_writer());
                continue;
            }
            link.part(&mut state);
            let ended = state.lost;
            drop(state);
            if ended.is_none() {
                self.say_goodbye();
            }
            return;
        }
    }

    /// A caller that waits for an answer learns that its request was not taken. After an error that may not be true.
    fn say_goodbye(&self) {
        let until = within(self.link.stall_timeout.unwrap_or(Duration::MAX));
        let mut writer = self.link.lock_writer();
        writer.outgoing.stage_goodbye();
        let _ = self.link.write_out(&mut writer, until);
    }

    /// Writes, and counts a client that takes no answers.
    fn flush(&self, state: MutexGuard<'_, State>) {
        self.link.flush(state, WaitLimit::Done, None);
        self.count_lost();
    }

    fn count_lost(&self) {
        if self.link.has_failed() && !self.counted.swap(true, Ordering::AcqRel) {
            self.crew.lifecycle.count_lost();
        }
    }

    /// Runs the user's code, whatever it does.
    fn handle(&self, job: &Job) -> Reply {
        let handled = catch_unwind(AssertUnwindSafe(|| self.crew.handler.handle(&self.link, job)));
        self.crew.lifecycle.done();
        handled.unwrap_or_else(panicked)
    }
}

/// The wait of a thread for the first word of a client, of which there is one at a time.
pub(super) struct Expects<'scope, 'env>(Arc<Crew<'scope, 'env>>);

impl<'scope, 'env> Expects<'scope, 'env> {
    pub(super) fn of(crew: &Arc<Crew<'scope, 'env>>) -> Option<Self> {
        let expects = crew.expects.swap(true, Ordering::Relaxed);
        (!expects).then(|| Self(Arc::clone(crew)))
    }
}

impl Drop for Expects<'_, '_> {
    fn drop(&mut self) {
        self.0.expects.store(false, Ordering::Relaxed);
    }
}

/// A request whose handler is to run in a thread of its own.
struct Apart<'scope, 'env> {
    served: Arc<Served<'scope, 'env>>,
    job: Option<Job>,
}

impl Drop for Apart<'_, '_> {
    fn drop(&mut self) {
        let Some(job) = self.job.take() else { return };
        let link = &self.served.link;
        let why = b"it was not handled: the system starts no thread for it".to_vec();
        self.served.crew.lifecycle.done();
        link.finish_job(&mut link.lock(), &job, Err((Reason::Failed, why)));
        self.served.flush(link.lock());
    }
}

impl Rests for Served<'_, '_> {
    fn with_watched(&self, look: &mut dyn FnMut(&mut sys::Watched<'_>)) {
        look(&mut sys::Watched::End(self.link.lock_reader().half.raw_mut()));
    }

    fn read_again(self: Arc<Self>) {
        self.link.lock().turns.leading = false;
        self.read_on(None);
    }

    fn has_stirred(&self) -> bool {
        !self.link.lock().is_at_rest()
    }
}

impl Watched for Served<'_, '_> {
    fn look(self: Arc<Self>) -> bool {
        let Some(since) = self.busy.since() else { return false };
        let long = u64::try_from(LONG.as_micros()).unwrap_or(u64::MAX);
        if self.crew.micros().saturating_sub(since) >= long && self.busy.take(since) {
            let this = Arc::clone(&self);
            // Where there is no thread for it, the one whose handler lasts reads on after it.
            self.crew.pool.submit(Duty::ReadOn, move || this.read_on(None));
        }
        true
    }

    fn let_go(&self) -> bool {
        self.busy.let_go()
    }
}

impl Drop for Served<'_, '_> {
    fn drop(&mut self) {
        self.count_lost();
    }
}
