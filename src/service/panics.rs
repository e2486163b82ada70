//! Panics of the user's code.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::mux::Reason;
use super::waiting::Reply;

/// The reply of a handler that panicked.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Reply {
    Err((Reason::Panicked, text(panic).into_bytes()))
}

/// What a panic says. Its value is dropped, even if that panics too.
fn text(panic: Box<dyn Any + Send>) -> String {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "no reason is given".to_owned(),
    };
    contain(move || drop(panic));
    text
}

/// Runs what may panic, and goes on.
pub(crate) fn contain(run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        // Its drop may panic as well, and so on: it is better leaked.
        mem::forget(panic);
    }
}
