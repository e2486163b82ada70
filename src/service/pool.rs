//! The threads of a service: as many as there is work for, and fewer when it is done.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::Duration;

use super::panics::contain;

struct Task<'scope> {
    run: Box<dyn FnOnce() + Send + 'scope>,
    duty: Duty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// It runs in its turn.
    Work,
    /// It reads for a client, most of the time in vain.
    Read,
    /// The same for a client whose reading thread has something else to do, and comes back to it if no other one does.
    ReadOn,
}

/// Threads that work on what is submitted.
pub(super) struct Pool<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    queue: Mutex<Queue<'scope>>,
    work: Condvar,
    most: usize,
    /// Whether the system is to have no room for a thread.
    #[cfg(test)]
    has_no_room: std::sync::atomic::AtomicBool,
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

impl<'scope> Queue<'scope> {
    /// The threads that come to another task: they do not read.
    fn workers(&self) -> usize {
        let waiting = self.tasks.iter().filter(|task| task.duty != Duty::Work).count();
        self.threads - self.first.saturating_sub(waiting).min(self.threads)
    }

    /// Takes what no thread will come to.
    fn give_up(&mut self) -> Vec<Task<'scope>> {
        let tasks = std::mem::take(&mut self.tasks).into_iter();
        let (kept, given_up): (Vec<_>, Vec<_>) = tasks.partition(|task| task.duty == Duty::ReadOn);
        self.tasks = kept.into();
        self.first -= given_up.iter().filter(|task| task.duty == Duty::Read).count();
        given_up
    }
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
        Arc::new(Self {
            scope,
            queue: Mutex::new(queue),
            work: Condvar::new(),
            most,
            #[cfg(test)]
            has_no_room: Default::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue<'scope>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a thread do something: at once, whatever waits, unless it is [work](Duty::Work). Returns `false` where the system
    /// has no thread for it, or for what waits: then that is dropped, but for what a thread comes back to.
    pub(super) fn submit(
        self: &Arc<Self>,
        duty: Duty,
        task: impl FnOnce() + Send + 'scope,
    ) -> bool {
        let pool = Arc::clone(self);
        let mut queue = self.lock();
        if duty == Duty::Work {
            queue.tasks.push_back(Task { duty, run: Box::new(task) });
            return self.employ(queue, self.most);
        }
        queue.first += 1;
        let run = Box::new(move || {
            contain(task);
            pool.lock().first -= 1;
        });
        queue.tasks.push_front(Task { duty, run });
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
        if self.thread().spawn_scoped(self.scope, move || pool.work()).is_ok() {
            return true;
        }
        let mut queue = self.lock();
        queue.threads -= 1;
        if queue.workers() > 0 {
            // One of them takes it later.
            return true;
        }
        let given_up = queue.give_up();
        // What they hold may close the pool, and tells of it.
        drop(queue);
        let is_given_up = !given_up.is_empty();
        given_up.into_iter().for_each(|task| contain(move || drop(task)));
        !is_given_up
    }

    fn thread(&self) -> Builder {
        let thread = Builder::new().name("typed-pipe service".into()).stack_size(STACK);
        #[cfg(test)]
        if self.has_no_room.load(std::sync::atomic::Ordering::SeqCst) {
            return thread.stack_size(usize::MAX >> 1);
        }
        thread
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(task) = queue.tasks.pop_front() {
                drop(queue);
                contain(task.run);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Says when it is dropped.
    struct Dropped(mpsc::Sender<&'static str>, &'static str);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }

    #[test]
    fn what_no_thread_will_come_to_is_dropped_and_not_left_to_wait() {
        thread::scope(|scope| {
            let pool = Pool::new(scope, 10);
            let (tell, told) = mpsc::channel();
            let task = |name| {
                let dropped = Dropped(tell.clone(), name);
                move || drop(dropped)
            };
            // One that reads, and nothing else.
            let (leave, left) = mpsc::channel::<()>();
            let (begun, has_begun) = mpsc::channel();
            assert!(pool.submit(Duty::Read, move || {
                begun.send(()).unwrap();
                let _ = left.recv();
            }));
            has_begun.recv().unwrap();
            pool.has_no_room.store(true, Ordering::SeqCst);
            assert!(!pool.submit(Duty::Work, task("work")));
            assert_eq!(told.recv(), Ok("work"));
            assert!(!pool.submit(Duty::Read, task("a client")));
            assert_eq!(told.recv(), Ok("a client"));
            // The thread that reads comes back to it.
            assert!(pool.submit(Duty::ReadOn, task("a client whose thread is busy")));
            assert!(told.try_recv().is_err());
            assert!(!pool.submit(Duty::Work, task("more work")));
            assert_eq!(told.recv(), Ok("more work"));
            leave.send(()).unwrap();
            assert_eq!(told.recv(), Ok("a client whose thread is busy"));
            // It has nothing to do any more, and is there.
            while pool.lock().idle == 0 {
                thread::yield_now();
            }
            assert!(pool.submit(Duty::Work, task("then")));
            assert_eq!(told.recv(), Ok("then"));
            pool.close();
        });
    }
}
