//! Counts how often a thread has slept.
#![allow(unsafe_code, reason = "what the system counts for a thread has no safe wrapper")]

/// How often this thread has waited in the kernel; `None` where the system does not tell.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn sleeps() -> Option<usize> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes to `usage` alone, a place of the right type.
    let asked = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: all zeros is a valid `rusage`, and the call has at most overwritten it with another.
    let usage = unsafe { usage.assume_init() };
    if asked == 0 { usize::try_from(usage.ru_nvcsw).ok() } else { None }
}

/// How often this thread has waited in the kernel; `None` where the system does not tell.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn sleeps() -> Option<usize> {
    None
}
