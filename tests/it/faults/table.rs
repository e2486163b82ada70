//! Which faults each system call can have.

#![allow(non_upper_case_globals, reason = "the names of calls are those of the system's headers")]

use libc::{c_int, c_long};

/// The name of a call that is made to fail, and the codes that it can fail with, as its manual page and those of file
/// systems have them; `None` for calls that are left alone.
///
/// Calls that the crate ends something with are done before they fail, as the system does it.
pub(super) fn faults(number: c_long) -> Option<(&'static str, &'static [c_int])> {
    use libc::*;
    Some(match number {
        SYS_accept4 => {
            ("accept4", &[EINTR, EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM])
        }
        SYS_bind => ("bind", &[EACCES, ENOMEM, ENOSPC, EPERM, EIO]),
        SYS_chmod | SYS_fchmodat => ("fchmodat", &[EINTR, ENOMEM, EPERM, EIO]),
        SYS_clone | SYS_clone3 => ("clone3", &[EAGAIN, ENOMEM]),
        SYS_close => ("close", &[EINTR, EIO]),
        SYS_connect => ("connect", &[EINTR, EAGAIN, EACCES, ENOMEM, EPERM]),
        SYS_epoll_ctl => ("epoll_ctl", &[ENOMEM, ENOSPC, EPERM]),
        SYS_epoll_create1 => ("epoll_create1", &[EMFILE, ENFILE, ENOMEM]),
        SYS_epoll_wait | SYS_epoll_pwait | SYS_epoll_pwait2 => ("epoll_wait", &[EINTR]),
        SYS_eventfd2 => ("eventfd2", &[EMFILE, ENFILE, ENOMEM]),
        SYS_fallocate => ("fallocate", &[EINTR, ENOMEM, ENOSPC]),
        SYS_fchmod => ("fchmod", &[EINTR, ENOMEM, EPERM, EIO]),
        SYS_fcntl => ("fcntl", &[EMFILE, ENOMEM, EPERM]),
        // That somebody else has the lock is no fault, and what is there then is theirs.
        SYS_flock => ("flock", &[EINTR, ENOLCK, ENOMEM, EIO]),
        SYS_fstat => ("fstat", &[ENOMEM, EIO]),
        // Whether the system takes advice or not makes no difference.
        SYS_madvise => ("madvise", &[EINVAL, EPERM]),
        SYS_ftruncate => ("ftruncate", &[EINTR, ENOSPC, EPERM, EIO]),
        SYS_getpeername => ("getpeername", &[ENOBUFS]),
        SYS_getrandom => ("getrandom", &[EINTR, EAGAIN, EIO]),
        SYS_getsockname => ("getsockname", &[ENOBUFS]),
        SYS_getsockopt => ("getsockopt", &[ENOMEM]),
        SYS_ioctl => ("ioctl", &[ENOMEM, EIO]),
        SYS_listen => ("listen", &[ENOBUFS, EIO]),
        SYS_memfd_create => ("memfd_create", &[EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM]),
        SYS_mkdir | SYS_mkdirat => ("mkdirat", &[EINTR, ENOMEM, ENOSPC, EPERM, EIO]),
        SYS_mknodat => ("mknodat", &[EINTR, ENOMEM, ENOSPC, EPERM, EIO]),
        // Of a file, or of addresses alone: the allocator's are left out.
        SYS_mmap => ("mmap", &[EAGAIN, EACCES, ENOMEM, EPERM]),
        SYS_newfstatat => ("newfstatat", &[EINTR, ENOMEM, EIO]),
        SYS_open | SYS_openat => {
            ("openat", &[EINTR, EACCES, EMFILE, ENFILE, ENOMEM, ENOSPC, EPERM, EIO])
        }
        SYS_pidfd_open => ("pidfd_open", &[EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM]),
        SYS_pipe2 => ("pipe2", &[EMFILE, ENFILE]),
        // A sandbox refuses them.
        SYS_prlimit64 => ("prlimit64", &[ENOSYS, EPERM]),
        SYS_sysinfo => ("sysinfo", &[ENOSYS, EPERM]),
        SYS_poll | SYS_ppoll => ("ppoll", &[EINTR, ENOMEM]),
        SYS_pwritev2 => ("pwritev2", &[EINTR, EAGAIN, ENOMEM, EPERM, EIO]),
        SYS_read => ("read", &[EINTR, EAGAIN, ENOMEM, EIO]),
        SYS_recvfrom => ("recvfrom", &[EINTR, EAGAIN, ENOMEM, EIO]),
        SYS_recvmsg => ("recvmsg", &[EINTR, EAGAIN, ENOMEM, EIO]),
        SYS_renameat2 => ("renameat2", &[EINTR, ENOMEM, ENOSPC, EPERM, EIO]),
        SYS_rmdir => ("rmdir", &[EINTR, ENOMEM, EPERM, EIO]),
        SYS_sendmsg => ("sendmsg", &[EINTR, EAGAIN, ENOBUFS, ENOMEM, EPERM, EIO]),
        SYS_sendto => ("sendto", &[EINTR, EAGAIN, ENOBUFS, ENOMEM, EPERM, EIO]),
        // `setsockopt` sets an option that has room in the socket: it fails for those that a system does not know.
        SYS_shutdown => ("shutdown", &[ENOMEM]),
        SYS_socket => ("socket", &[EMFILE, ENFILE, ENOBUFS, ENOMEM]),
        SYS_socketpair => ("socketpair", &[EMFILE, ENFILE, ENOBUFS, ENOMEM]),
        SYS_stat => ("stat", &[EINTR, ENOMEM, EIO]),
        SYS_tee => ("tee", &[EINTR, EAGAIN, ENOMEM, ENOSYS, EPERM]),
        SYS_unlinkat => ("unlinkat", &[EINTR, ENOMEM, EPERM, EIO]),
        SYS_vmsplice => ("vmsplice", &[EINTR, EAGAIN, EINVAL, ENOMEM, ENOSYS, EPERM]),
        SYS_waitid => ("waitid", &[EINTR]),
        SYS_write => ("write", &[EINTR, EAGAIN, ENOMEM, ENOSPC, EPERM, EIO]),
        SYS_writev => ("writev", &[EINTR, EAGAIN, ENOMEM, ENOSPC, EPERM, EIO]),
        _ => return None,
    })
}

/// Whether a call that fails has done its work all the same: the system lets go of a descriptor first.
pub(super) fn is_done_first(number: c_long) -> bool {
    number == libc::SYS_close
}

/// Whether a call is one by which shared memory is made and taken: where it fails, the socket is enough.
pub(super) fn makes_memory(number: c_long) -> bool {
    matches!(
        number,
        libc::SYS_epoll_ctl
            | libc::SYS_fallocate
            | libc::SYS_fcntl
            | libc::SYS_fstat
            | libc::SYS_ftruncate
            | libc::SYS_getpeername
            | libc::SYS_getsockname
            | libc::SYS_getsockopt
            | libc::SYS_madvise
            | libc::SYS_memfd_create
            | libc::SYS_mmap
            | libc::SYS_prlimit64
            | libc::SYS_sendmsg
            | libc::SYS_socketpair
            | libc::SYS_sysinfo
    )
}

/// Whether a name may stay because of this call: it takes one away, or looks whether it is still the same that is taken
/// away. The next owner takes over what has stayed.
pub(super) fn takes_away(number: c_long) -> bool {
    matches!(number, libc::SYS_newfstatat | libc::SYS_unlinkat | libc::SYS_rmdir)
}

pub(super) fn name_of(code: c_int) -> &'static str {
    match code {
        libc::EACCES => "EACCES",
        libc::EAGAIN => "EAGAIN",
        libc::ECONNABORTED => "ECONNABORTED",
        libc::EINTR => "EINTR",
        libc::EINVAL => "EINVAL",
        libc::EIO => "EIO",
        libc::EMFILE => "EMFILE",
        libc::ENFILE => "ENFILE",
        libc::ENOBUFS => "ENOBUFS",
        libc::ENOLCK => "ENOLCK",
        libc::ENOMEM => "ENOMEM",
        libc::ENOSYS => "ENOSYS",
        libc::ENOSPC => "ENOSPC",
        libc::EPERM => "EPERM",
        _ => "another code",
    }
}
