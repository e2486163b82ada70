//! The threads of a service: as many as there is work for, and fewer when it is done.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::Duration;

use super::panics::contain;

type Task<'scope> = Box<dyn FnOnce() + Send + 'scope>;

/// Threads that work on what is submitted.
pub(super) struct Pool<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    queue: Mutex<Queue<'scope>>,
    work: Condvar,
    most: usize,
}

struct Queue<'scope> {
    tasks: VecDeque<Task<'scope>>,
    threads: usize,
    /// How many of them do what could not wait: they read for clients, most of the time in vain.
    first: usize,
    idle: usize,
    /// How many idle threads were woken and do not run yet.
    called: usize,
    closed: bool,
}

/// How long a thread without work stays.
const STAY: Duration = Duration::from_secs(5);

/// Handlers and connections need little; what a handler of the user's needs more for is not known.
const STACK: usize = 2 << 20;

impl<'scope, 'env> Pool<'scope, 'env> {
    /// At most so many threads work on what can wait.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, most: usize) -> Arc<Self> {
        let queue = Queue {
            tasks: VecDeque::new(),
            threads: 0,
            first: 0,
            idle: 0,
            called: 0,
            closed: false,
        };
        Arc::new(Self { scope, queue: Mutex::new(queue), work: Condvar::new(), most })
    }

    fn lock(&self) -> MutexGuard<'_, Queue<'scope>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a thread do something, in its turn.
    pub(super) fn submit(self: &Arc<Self>, task: impl FnOnce() + Send + 'scope) {
        let mut queue = self.lock();
        queue.tasks.push_back(Box::new(task));
        self.employ(queue, self.most);
    }

    /// Lets a thread do something at once, whatever waits. `false` if the system has no thread for it.
    pub(super) fn submit_first(self: &Arc<Self>, task: impl FnOnce() + Send + 'scope) -> bool {
        let pool = Arc::clone(self);
        let mut queue = self.lock();
        queue.first += 1;
        queue.tasks.push_front(Box::new(move || {
            contain(task);
            pool.lock().first -= 1;
        }));
        self.employ(queue, usize::MAX)
    }

    fn employ(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue<'scope>>, most: usize) -> bool {
        if queue.idle > 0 {
            // It counts as at work from here on, so that each task wakes a thread of its own.
            queue.idle -= 1;
            queue.called += 1;
            drop(queue);
            self.work.notify_one();
            return true;
        }
        if queue.threads.saturating_sub(queue.first) >= most {
            return true;
        }
        queue.threads += 1;
        drop(queue);
        let pool = Arc::clone(self);
        let thread = Builder::new().name("typed-pipe service".into()).stack_size(STACK);
        if thread.spawn_scoped(self.scope, move || pool.work()).is_ok() {
            return true;
        }
        let mut queue = self.lock();
        queue.threads -= 1;
        if queue.threads > 0 {
            // A thread that works takes it later.
            return true;
        }
        queue.first = 0;
        let tasks = std::mem::take(&mut queue.tasks);
        // What they hold may close the pool.
        drop(queue);
        drop(tasks);
        false
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(task) = queue.tasks.pop_front() {
                drop(queue);
                contain(task);
                queue = self.lock();
                continue;
            }
            if queue.closed {
                break;
            }
            queue.idle += 1;
            let mut stays = true;
            while queue.called == 0 && !queue.closed && stays {
                let waited = self.work.wait_timeout(queue, STAY);
                let timed;
                (queue, timed) = waited.unwrap_or_else(PoisonError::into_inner);
                stays = !timed.timed_out();
            }
            if queue.called > 0 {
                queue.called -= 1;
            } else {
                queue.idle -= 1;
                if !stays {
                    break;
                }
            }
        }
        queue.threads -= 1;
    }

    /// Lets all threads go that have no work.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        drop(queue);
        self.work.notify_all();
    }
}
