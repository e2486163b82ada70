//! What the system says of the machine and the limits of this process.
//!
//! A sandbox may refuse these calls, which is no reason to fail: then nothing is known. The functions of rustix for them
//! return no error, and what they return of a call that was refused was never written.
#![allow(unsafe_code, reason = "rustix takes for granted that these calls succeed")]

use std::mem::MaybeUninit;

/// The largest file that this process may write (`ulimit -f`): beyond it the system raises a signal.
pub(super) fn file_size_limit() -> Option<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the call writes one limit, for which there is room.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: it is zeroed, and made of integers, for which all bytes are valid.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    #[allow(clippy::useless_conversion, reason = "the type differs by system")]
    (limit != libc::RLIM_INFINITY).then(|| u64::try_from(limit).unwrap_or(u64::MAX))
}

/// The memory of the machine and the room for what is moved out of it, in bytes.
#[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
pub(super) fn memory() -> Option<u64> {
    let mut told = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: the call writes one such structure, for which there is room.
    if unsafe { libc::sysinfo(told.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: it is zeroed, and made of integers, for which all bytes are valid.
    let told = unsafe { told.assume_init() };
    // The numbers have other types on other processors.
    #[allow(clippy::useless_conversion, trivial_numeric_casts, reason = "they are `u64` on some")]
    let [ram, swap] = [u64::from(told.totalram), u64::from(told.totalswap)];
    Some(ram.saturating_add(swap).saturating_mul(u64::from(told.mem_unit)))
}

/// The number of the processor on which this thread runs. The C library knows it without a call of the system.
#[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
pub(super) fn processor() -> Option<u32> {
    // SAFETY: the call takes nothing.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}
