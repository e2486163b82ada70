//! A thread of another process, stopped at each of its system calls, any of which can be made to fail.
#![allow(unsafe_code, reason = "`ptrace` has no safe interface")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::ptr;

use libc::{c_int, c_long, pid_t, user_regs_struct as Registers};

/// A thread that is held at its system calls. When its tracer ends, so does its process.
pub(super) struct Tracer(pid_t);

/// Where the thread is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Before the system has done anything.
    Entry,
    /// After it has done it, or not.
    Exit,
    /// Behind a trap of its own.
    Mark,
}

/// A system call, as the thread asked for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) number: c_long,
    pub(super) arguments: [u64; 3],
    /// Whether it maps memory that the allocator may have asked for: a fault there ends the process.
    pub(super) allocates: bool,
}

/// What is to happen in place of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not done, and fails with this code.
    Instead(c_int),
    /// It is done, and fails with this code all the same.
    After(c_int),
    /// It is given so many bytes at most.
    Short(u64),
}

impl Tracer {
    /// Takes hold of a thread of a child of this thread.
    pub(super) fn seize(thread: pid_t) -> io::Result<Self> {
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        // SAFETY: the request takes flags and no memory.
        done(unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, 0, c_long::from(options)) })?;
        // SAFETY: the request takes nothing.
        done(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0) })?;
        let tracer = Self(thread);
        tracer.wait()?;
        Ok(tracer)
    }

    /// Lets the thread run up to the next system call, out of it, or up to the next trap.
    pub(super) fn next(&self) -> io::Result<Held> {
        self.resume(libc::PTRACE_SYSCALL)
    }

    /// Lets the thread run up to the next trap.
    pub(super) fn next_mark(&self) -> io::Result<Held> {
        self.resume(libc::PTRACE_CONT)
    }

    fn resume(&self, request: libc::c_uint) -> io::Result<Held> {
        let mut signal = 0;
        loop {
            // SAFETY: both requests take the number of a signal, which is given to the thread.
            done(unsafe { libc::ptrace(request, self.0, 0, c_long::from(signal)) })?;
            match self.wait()? {
                CALL => return self.held(),
                libc::SIGTRAP => return Ok(Held::Mark),
                // What stands above a signal is an event of the tracing.
                other => signal = if other > 0xFF { 0 } else { other },
            }
        }
    }

    /// The call that the thread is held at, or the same registers at a trap.
    pub(super) fn call(&self) -> io::Result<Call> {
        let registers = self.registers()?;
        let number = c_long::try_from(registers.orig_rax).unwrap_or(-1);
        let (access, file) = (registers.rdx, registers.r8 as c_int);
        let allocates = number == libc::SYS_mmap && file < 0 && access != libc::PROT_NONE as u64;
        let arguments = [registers.rdi, registers.rsi, registers.rdx];
        Ok(Call { number, arguments, allocates })
    }

    /// Does a fault in place of the call at whose entry the thread is held.
    pub(super) fn fail(&self, fault: Fault) -> io::Result<()> {
        let before = self.registers()?;
        match fault {
            Fault::Instead(code) => {
                // There is no call of this number, so that nothing is done.
                self.set_registers(&Registers { orig_rax: u64::MAX, ..before })?;
                self.expect(Held::Exit)?;
                self.answer(-i64::from(code))
            }
            Fault::After(code) => {
                self.expect(Held::Exit)?;
                self.answer(-i64::from(code))
            }
            Fault::Short(bytes) => self.shorten(&before, bytes),
        }
    }

    /// Says what the call returns at whose exit the thread is held, or the trap.
    pub(super) fn answer(&self, value: i64) -> io::Result<()> {
        let registers = self.registers()?;
        self.set_registers(&Registers { rax: u64::from_ne_bytes(value.to_ne_bytes()), ..registers })
    }

    /// How many bytes a call gives or takes, and where the number stands: in a register, or at a place in memory.
    fn length(&self, call: Call) -> io::Result<Option<(Option<u64>, u64)>> {
        let [_, second, third] = call.arguments;
        let buffers = match call.number {
            libc::SYS_read | libc::SYS_write | libc::SYS_recvfrom | libc::SYS_sendto => {
                return Ok(Some((None, third)));
            }
            libc::SYS_readv | libc::SYS_writev => second,
            libc::SYS_recvmsg | libc::SYS_sendmsg => self.peek(second + 16)?,
            _ => return Ok(None),
        };
        let place = buffers + 8;
        Ok(Some((Some(place), self.peek(place)?)))
    }

    /// How many bytes a call gives or takes, in its first buffer.
    pub(super) fn bytes(&self, call: Call) -> io::Result<Option<u64>> {
        Ok(self.length(call)?.map(|(_, bytes)| bytes))
    }

    /// Lets a call have a part of what it asked for.
    fn shorten(&self, before: &Registers, bytes: u64) -> io::Result<()> {
        let call = self.call()?;
        let Some((place, length)) = self.length(call)? else {
            return self.expect(Held::Exit);
        };
        let bytes = bytes.min(length);
        // Of several buffers, the first one alone.
        let count = match call.number {
            libc::SYS_readv | libc::SYS_writev => Some(None),
            libc::SYS_recvmsg | libc::SYS_sendmsg => Some(Some(call.arguments[1] + 24)),
            _ => None,
        };
        match (place, count) {
            (None, _) => self.set_registers(&Registers { rdx: bytes, ..*before })?,
            (Some(place), Some(Some(count))) => {
                let buffers = self.peek(count)?;
                self.poke(place, bytes)?;
                self.poke(count, 1)?;
                self.expect(Held::Exit)?;
                self.poke(count, buffers)?;
                return self.poke(place, length);
            }
            (Some(place), _) => {
                self.poke(place, bytes)?;
                self.set_registers(&Registers { rdx: 1, ..*before })?;
                self.expect(Held::Exit)?;
                self.poke(place, length)?;
                return self.restore(before);
            }
        }
        self.expect(Held::Exit)?;
        self.restore(before)
    }

    /// Gives the thread the argument back that it takes for unchanged.
    fn restore(&self, before: &Registers) -> io::Result<()> {
        let now = self.registers()?;
        self.set_registers(&Registers { rdx: before.rdx, ..now })
    }

    fn expect(&self, held: Held) -> io::Result<()> {
        assert_eq!(self.next()?, held);
        Ok(())
    }

    /// The text that the thread has at a place.
    pub(super) fn text(&self, place: u64, length: u64) -> io::Result<String> {
        let mut bytes = vec![0_u8; usize::try_from(length).unwrap()];
        let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let there = libc::iovec {
            iov_base: ptr::with_exposed_provenance_mut(usize::try_from(place).unwrap()),
            iov_len: bytes.len(),
        };
        // SAFETY: `here` is a buffer of ours of this length; `there` is only read, in the other process.
        let read =
            unsafe { libc::process_vm_readv(self.0, &raw const here, 1, &raw const there, 1, 0) };
        done(c_long::try_from(read).unwrap())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn held(&self) -> io::Result<Held> {
        let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        let size = c_long::try_from(size_of::<libc::ptrace_syscall_info>()).unwrap();
        // SAFETY: the request writes no more than `size` bytes to `info`, a place of the right type.
        let told =
            unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, self.0, size, info.as_mut_ptr()) };
        done(told)?;
        // SAFETY: zeros are a valid value, and the call has at most overwritten them with another.
        let info = unsafe { info.assume_init() };
        Ok(if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY { Held::Entry } else { Held::Exit })
    }

    fn registers(&self) -> io::Result<Registers> {
        let mut registers = MaybeUninit::<Registers>::zeroed();
        // SAFETY: the request writes the registers to a place of their type.
        let told = unsafe { libc::ptrace(libc::PTRACE_GETREGS, self.0, 0, registers.as_mut_ptr()) };
        done(told)?;
        // SAFETY: zeros are a valid value, and the call has overwritten them with another.
        Ok(unsafe { registers.assume_init() })
    }

    fn set_registers(&self, registers: &Registers) -> io::Result<()> {
        // SAFETY: the request reads registers, which live over the call.
        done(unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.0, 0, &raw const *registers) })
    }

    fn peek(&self, place: u64) -> io::Result<u64> {
        let mut word = 0_u64;
        let here = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: size_of::<u64>() };
        let there = libc::iovec {
            iov_base: ptr::with_exposed_provenance_mut(usize::try_from(place).unwrap()),
            iov_len: size_of::<u64>(),
        };
        // SAFETY: `here` is a word of ours; `there` is only read, in the other process.
        let read =
            unsafe { libc::process_vm_readv(self.0, &raw const here, 1, &raw const there, 1, 0) };
        done(c_long::try_from(read).unwrap())?;
        Ok(word)
    }

    fn poke(&self, place: u64, word: u64) -> io::Result<()> {
        // SAFETY: the request takes a place in the other process and a word; this process's memory is not touched.
        done(unsafe { libc::ptrace(libc::PTRACE_POKEDATA, self.0, place, word) })
    }

    /// Waits for the end of a thread that was killed: its process is there until that was seen.
    pub(super) fn bury(&self) {
        while self.wait().is_ok() {}
    }

    /// Waits until the thread is held: the signal that tells why, and an event above it.
    fn wait(&self) -> io::Result<c_int> {
        let mut status = 0;
        // SAFETY: the status is written to a place of the right type.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) };
        done(waited.into())?;
        if libc::WIFSTOPPED(status) {
            return Ok(status >> 8);
        }
        Err(io::Error::other("the thread has ended"))
    }
}

/// The thread is held at a system call.
const CALL: c_int = libc::SIGTRAP | 0x80;

fn done(result: c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
