//! What still goes on of connections that the program has dropped, so that closing can wait for it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Busy {
    runtime: Handle,
    going_on: AtomicUsize,
    open: AtomicUsize,
    lost: AtomicUsize,
    done: Notify,
}

impl Busy {
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            going_on: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            done: Notify::new(),
        })
    }

    /// The runtime, for who polls something of it elsewhere.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs in the runtime, from any thread.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Turn {
        self.going_on.fetch_add(1, Ordering::SeqCst);
        Turn(Arc::clone(self))
    }

    /// Counts a connection that the program has, until its drop.
    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn dropped(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn going_on(&self) -> usize {
        self.going_on.load(Ordering::SeqCst)
    }

    /// Counts a connection of which the last bytes may not have arrived.
    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }

    /// Waits until nothing goes on.
    pub(crate) async fn drained(&self) {
        loop {
            let done = self.done.notified();
            if self.going_on() == 0 {
                return;
            }
            done.await;
        }
    }
}

/// Something goes on until the drop of this.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Busy>);

impl Drop for Turn {
    fn drop(&mut self) {
        if self.0.going_on.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.done.notify_waiters();
        }
    }
}
