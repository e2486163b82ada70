//! The table of all that is measured.

use typed_pipe::wire::LengthPrefixed;
use typed_pipe::wire::foreign::{Base64Datagrams, Base64Lines, Lines};

use crate::delimited::{self, OfOnesOwn};
use crate::over_memory::{GROWS, SOCKET};
use crate::round::{Done, Round, Side};
use crate::{
    by_memory, our_calls, ours, ours_async, over_iceoryx2, over_interprocess, over_ipc_channel,
    over_memory, over_python, over_tarpc, over_tokio, raw,
};

/// Ours against another side.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) ours: &'static Side,
    /// Where there are several, the best one counts.
    pub(crate) others: &'static [&'static Side],
}

/// What a result is told in.
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    /// How much of it a message is.
    pub(crate) a_message: f64,
    /// Whether it is a time, of which less is better.
    pub(crate) is_time: bool,
}

impl Unit {
    const fn rate(name: &'static str, a_message: f64) -> Self {
        Self { name, a_message, is_time: false }
    }

    /// So many messages a second, in this unit.
    pub(crate) fn of(&self, messages: f64) -> f64 {
        if self.is_time { self.a_message / messages } else { self.a_message * messages }
    }
}

const MESSAGES: Unit = Unit::rate("messages/s", 1.0);
const ROUND_TRIPS: Unit = Unit::rate("round trips/s", 1.0);
const CALLS: Unit = Unit::rate("calls/s", 1.0);
const GB_OF_64K: Unit = Unit::rate("GB/s", 65_536.0 / 1e9);
const GB_OF_1M: Unit = Unit::rate("GB/s", 1_048_576.0 / 1e9);
const GB_OF_16M: Unit = Unit::rate("GB/s", 16_777_216.0 / 1e9);
const CONNECTIONS: Unit = Unit { name: "µs a connection", a_message: 1e6, is_time: true };
const PROCESSOR: Unit = Unit { name: "µs of processor a call", a_message: 1e6, is_time: true };
const MILLISECONDS: Unit = Unit { name: "ms a message", a_message: 1e3, is_time: true };

const K64: usize = 64 << 10;
const M1: usize = 1 << 20;
const M16: usize = 16 << 20;
const MB1: usize = 1_000_000;
const MB5: usize = 5_000_000;
const MB50: usize = 50_000_000;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "send_vs_raw", unit: MESSAGES, ours: &SEND, others: &[&RAW_SEND] },
    Scenario { name: "batch_vs_raw", unit: MESSAGES, ours: &BATCH, others: &[&RAW_BATCH] },
    Scenario { name: "batch_vs_tokio", unit: MESSAGES, ours: &BATCH, others: &[&TOKIO_BATCH] },
    Scenario { name: "send_vs_ipc_channel", unit: MESSAGES, ours: &SEND, others: &[&IPC_SEND] },
    Scenario { name: "batch_vs_ipc_channel", unit: MESSAGES, ours: &BATCH, others: &[&IPC_SEND] },
    Scenario {
        name: "send_vs_interprocess",
        unit: MESSAGES,
        ours: &SEND,
        others: &[&INTERPROCESS_SEND],
    },
    Scenario { name: "send_vs_python", unit: MESSAGES, ours: &SEND, others: &[&PYTHON_SEND] },
    Scenario { name: "send_vs_namedpipe", unit: MESSAGES, ours: &SEND, others: &[&NAMEDPIPE_SEND] },
    Scenario {
        name: "batch_vs_namedpipe",
        unit: MESSAGES,
        ours: &BATCH,
        others: &[&NAMEDPIPE_BATCH],
    },
    Scenario {
        name: "send_vs_xp_named_pipe",
        unit: MESSAGES,
        ours: &SEND,
        others: &[&XP_NAMED_PIPE_SEND],
    },
    Scenario { name: "rtt_vs_raw", unit: ROUND_TRIPS, ours: &RTT, others: &[&RAW_RTT] },
    Scenario { name: "rtt_vs_ipc_channel", unit: ROUND_TRIPS, ours: &RTT, others: &[&IPC_RTT] },
    Scenario {
        name: "rtt_spin_vs_ipc_channel",
        unit: ROUND_TRIPS,
        ours: &RTT_SPIN,
        others: &[&IPC_RTT],
    },
    Scenario {
        name: "bytes_64k_vs_raw",
        unit: GB_OF_64K,
        ours: &BYTES_64K,
        others: &[&RAW_BYTES_64K, &RAW_BYTES_64K_WIDE],
    },
    Scenario {
        name: "bytes_1m_vs_raw",
        unit: GB_OF_1M,
        ours: &BYTES_1M,
        others: &[&RAW_BYTES_1M, &RAW_BYTES_1M_WIDE],
    },
    Scenario {
        name: "loan_1m_vs_raw",
        unit: GB_OF_1M,
        ours: &LOAN_1M,
        others: &[&RAW_MADE_1M, &RAW_MADE_1M_WIDE],
    },
    Scenario {
        name: "bytes_64k_vs_ipc_channel",
        unit: GB_OF_64K,
        ours: &BYTES_64K,
        others: &[&IPC_BYTES_64K],
    },
    Scenario {
        name: "bytes_1m_vs_ipc_channel",
        unit: GB_OF_1M,
        ours: &BYTES_1M,
        others: &[&IPC_BYTES_1M],
    },
    Scenario {
        name: "send_vs_iceoryx2",
        unit: MESSAGES,
        ours: &SEND,
        others: &[&ICEORYX2_SEND, &ICEORYX2_PLAIN],
    },
    Scenario {
        name: "batch_vs_iceoryx2",
        unit: MESSAGES,
        ours: &BATCH,
        others: &[&ICEORYX2_SEND, &ICEORYX2_PLAIN],
    },
    Scenario {
        name: "loan_1m_vs_iceoryx2",
        unit: GB_OF_1M,
        ours: &LOAN_1M,
        others: &[&ICEORYX2_LOAN_1M],
    },
    Scenario {
        name: "shm_send_vs_iceoryx2",
        unit: MESSAGES,
        ours: &MEMORY_SEND,
        others: &[&ICEORYX2_SEND, &ICEORYX2_PLAIN],
    },
    Scenario {
        name: "shm_batch_vs_iceoryx2",
        unit: MESSAGES,
        ours: &MEMORY_BATCH,
        others: &[&ICEORYX2_SEND, &ICEORYX2_PLAIN],
    },
    Scenario {
        name: "shm_rtt_spin_vs_iceoryx2",
        unit: ROUND_TRIPS,
        ours: &MEMORY_RTT,
        others: &[&ICEORYX2_RTT],
    },
    Scenario {
        name: "shm_rtt_vs_iceoryx2",
        unit: ROUND_TRIPS,
        ours: &MEMORY_RTT,
        others: &[&ICEORYX2_RTT_ASLEEP],
    },
    Scenario {
        name: "shm_1m_unread_vs_iceoryx2",
        unit: GB_OF_1M,
        ours: &MEMORY_1M_UNREAD,
        others: &[&ICEORYX2_LOAN_1M],
    },
    Scenario {
        name: "shm_64k_read_vs_iceoryx2",
        unit: GB_OF_64K,
        ours: &MEMORY_64K_READ,
        others: &[&ICEORYX2_64K],
    },
    Scenario {
        name: "shm_1m_read_vs_iceoryx2",
        unit: GB_OF_1M,
        ours: &MEMORY_1M_READ,
        others: &[&ICEORYX2_1M],
    },
    Scenario {
        name: "shm_16m_read_vs_iceoryx2",
        unit: GB_OF_16M,
        ours: &MEMORY_16M_READ,
        others: &[&ICEORYX2_16M],
    },
    Scenario {
        name: "shm_1m_ring_2m_vs_16m",
        unit: GB_OF_1M,
        ours: &MEMORY_1M_IN_2M,
        others: &[&MEMORY_1M_IN_16M],
    },
    Scenario {
        name: "shm_1m_ring_4m_vs_16m",
        unit: GB_OF_1M,
        ours: &MEMORY_1M_READ,
        others: &[&MEMORY_1M_IN_16M],
    },
    Scenario {
        name: "shm_64k_safe_vs_iceoryx2",
        unit: GB_OF_64K,
        ours: &MEMORY_64K,
        others: &[&ICEORYX2_64K],
    },
    Scenario {
        name: "shm_1m_safe_vs_iceoryx2",
        unit: GB_OF_1M,
        ours: &MEMORY_1M,
        others: &[&ICEORYX2_1M],
    },
    Scenario {
        name: "shm_16m_safe_vs_iceoryx2",
        unit: GB_OF_16M,
        ours: &MEMORY_16M,
        others: &[&ICEORYX2_16M],
    },
    Scenario {
        name: "shm_1m_unread_vs_raw",
        unit: GB_OF_1M,
        ours: &MEMORY_1M_UNREAD,
        others: &[&RAW_1M_UNREAD],
    },
    Scenario {
        name: "shm_64k_read_vs_raw",
        unit: GB_OF_64K,
        ours: &MEMORY_64K_READ,
        others: &[&RAW_64K_READ],
    },
    Scenario {
        name: "shm_1m_read_vs_raw",
        unit: GB_OF_1M,
        ours: &MEMORY_1M_READ,
        others: &[&RAW_1M_READ],
    },
    Scenario {
        name: "shm_16m_read_vs_raw",
        unit: GB_OF_16M,
        ours: &MEMORY_16M_READ,
        others: &[&RAW_16M_READ],
    },
    Scenario {
        name: "shm_64k_safe_vs_raw",
        unit: GB_OF_64K,
        ours: &MEMORY_64K,
        others: &[&RAW_64K_COPIED],
    },
    Scenario {
        name: "shm_1m_safe_vs_raw",
        unit: GB_OF_1M,
        ours: &MEMORY_1M,
        others: &[&RAW_1M_COPIED],
    },
    Scenario {
        name: "shm_16m_safe_vs_raw",
        unit: GB_OF_16M,
        ours: &MEMORY_16M,
        others: &[&RAW_16M_COPIED],
    },
    Scenario {
        name: "shm_1m_vs_socket",
        unit: GB_OF_1M,
        ours: &MEMORY_SENT_1M,
        others: &[&SOCKET_SENT_1M],
    },
    Scenario {
        name: "shm_1m_small_ring_vs_socket",
        unit: GB_OF_1M,
        ours: &MEMORY_SENT_1M_SMALL,
        others: &[&SOCKET_SENT_1M],
    },
    Scenario {
        name: "shm_16m_vs_socket",
        unit: GB_OF_16M,
        ours: &MEMORY_SENT_16M,
        others: &[&SOCKET_SENT_16M],
    },
    Scenario {
        name: "shm_16m_small_ring_vs_socket",
        unit: GB_OF_16M,
        ours: &MEMORY_SENT_16M_SMALL,
        others: &[&SOCKET_SENT_16M],
    },
    Scenario {
        name: "shm_connect_vs_socket",
        unit: CONNECTIONS,
        ours: &MEMORY_CONNECT,
        others: &[&SOCKET_CONNECT],
    },
    Scenario {
        name: "shm_async_1m_vs_socket",
        unit: GB_OF_1M,
        ours: &MEMORY_TASKS_1M,
        others: &[&SOCKET_TASKS_1M],
    },
    Scenario {
        name: "shm_async_16m_vs_socket",
        unit: GB_OF_16M,
        ours: &MEMORY_TASKS_16M,
        others: &[&SOCKET_TASKS_16M],
    },
    Scenario { name: "call_vs_raw", unit: CALLS, ours: &CALL, others: &[&RAW_CALL] },
    Scenario { name: "calls_100_vs_tarpc", unit: CALLS, ours: &CALLS_100, others: TARPC_100 },
    Scenario {
        name: "started_calls_100_vs_tarpc",
        unit: CALLS,
        ours: &STARTED_CALLS_100,
        others: TARPC_100,
    },
    Scenario {
        name: "async_calls_100_vs_tarpc",
        unit: CALLS,
        ours: &ASYNC_CALLS_100,
        others: TARPC_100,
    },
    Scenario {
        name: "calls_1000_vs_10",
        unit: PROCESSOR,
        ours: &PROCESSOR_1000,
        others: &[&PROCESSOR_10],
    },
    Scenario {
        name: "async_calls_1000_vs_10",
        unit: PROCESSOR,
        ours: &ASYNC_PROCESSOR_1000,
        others: &[&ASYNC_PROCESSOR_10],
    },
    Scenario { name: "shared_vs_send", unit: MESSAGES, ours: &SHARED, others: &[&SEND] },
    Scenario { name: "borrowed_vs_owned", unit: MESSAGES, ours: &BORROWED, others: &[&OWNED] },
    Scenario { name: "async_vs_tokio", unit: MESSAGES, ours: &ASYNC, others: &[&TOKIO_BATCH] },
    long("lines_1m_vs_prefixed", &LINES_1M, BESIDE_1M),
    long("lines_5m_vs_prefixed", &LINES_5M, BESIDE_5M),
    long("lines_50m_vs_prefixed", &LINES_50M, BESIDE_50M),
    long("text_1m_vs_prefixed", &TEXT_1M, BESIDE_1M),
    long("text_5m_vs_prefixed", &TEXT_5M, BESIDE_5M),
    long("base64_1m_vs_prefixed", &BASE64_1M, BESIDE_1M),
    long("base64_5m_vs_prefixed", &BASE64_5M, BESIDE_5M),
    long("base64_50m_vs_prefixed", &BASE64_50M, BESIDE_50M),
    long("datagrams_5m_vs_prefixed", &DATAGRAMS_5M, BESIDE_5M),
    long("delimited_1m_vs_prefixed", &DELIMITED_1M, BESIDE_1M),
    long("delimited_5m_vs_prefixed", &DELIMITED_5M, BESIDE_5M),
    long("delimited_50m_vs_prefixed", &DELIMITED_50M, BESIDE_50M),
];

const BESIDE_1M: &[&Side] = &[&PREFIXED_1M];
const BESIDE_5M: &[&Side] = &[&PREFIXED_5M];
const BESIDE_50M: &[&Side] = &[&PREFIXED_50M];

/// How long a message takes beside the same one on the usual framing.
const fn long(
    name: &'static str,
    ours: &'static Side,
    others: &'static [&'static Side],
) -> Scenario {
    Scenario { name, unit: MILLISECONDS, ours, others }
}

impl Scenario {
    /// The module of Python that it needs and this machine does not have.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let module = match self.name {
            "send_vs_python" => "multiprocessing",
            "send_vs_namedpipe" | "batch_vs_namedpipe" => "namedpipe",
            "send_vs_xp_named_pipe" => "xp_named_pipe",
            _ => return None,
        };
        (!over_python::has(module)).then_some(module)
    }
}

/// The side that a process is told to be.
pub(crate) fn side(name: &str) -> Option<&'static Side> {
    let mut sides = SCENARIOS
        .iter()
        .flat_map(|scenario| scenario.others.iter().copied().chain([scenario.ours]));
    sides.find(|side| side.name == name)
}

static SEND: Side = Side { name: "typed-pipe, send", measure: ours::receive, work: ours::send };
static BATCH: Side = Side { name: "typed-pipe, feed", measure: ours::receive, work: ours::batch };
static RTT: Side = Side { name: "typed-pipe, round trip", measure: ours::ask, work: ours::answer };
static RTT_SPIN: Side = Side {
    name: "typed-pipe, busy_poll round trip",
    measure: ours::ask_spinning,
    work: ours::answer_spinning,
};
static BYTES_64K: Side = Side {
    name: "typed-pipe, 64 KiB",
    measure: ours::receive_payloads,
    work: ours::send_payloads::<K64>,
};
static BYTES_1M: Side = Side {
    name: "typed-pipe, 1 MiB",
    measure: ours::receive_payloads,
    work: ours::send_payloads::<M1>,
};
static LOAN_1M: Side = Side {
    name: "typed-pipe, a loan of 1 MiB",
    measure: ours::receive_payloads,
    work: ours::loan_payloads::<M1>,
};
static SHARED: Side =
    Side { name: "typed-pipe, 8 writers", measure: ours::receive_shared, work: ours::send_shared };
static BORROWED: Side = Side {
    name: "typed-pipe, recv_ref",
    measure: ours::receive_borrowed,
    work: ours::batch_articles,
};
static OWNED: Side =
    Side { name: "typed-pipe, recv", measure: ours::receive_owned, work: ours::batch_articles };

static CALL: Side =
    Side { name: "typed-pipe, call", measure: our_calls::call, work: our_calls::answer };
static CALLS_100: Side = Side {
    name: "typed-pipe, calls of 100 threads",
    measure: our_calls::call_in_threads,
    work: our_calls::answer,
};
static STARTED_CALLS_100: Side = Side {
    name: "typed-pipe, 100 started calls",
    measure: our_calls::start,
    work: our_calls::answer,
};
static ASYNC_CALLS_100: Side = Side {
    name: "typed-pipe, 100 calls of a task",
    measure: our_calls::call_in_tasks,
    work: our_calls::answer_in_tasks,
};
static PROCESSOR_1000: Side = in_threads::<1000>("typed-pipe, calls of 1,000 threads");
static PROCESSOR_10: Side = in_threads::<10>("typed-pipe, calls of 10 threads");
static ASYNC_PROCESSOR_1000: Side = in_a_task::<1000>("typed-pipe, 1,000 calls of a task");
static ASYNC_PROCESSOR_10: Side = in_a_task::<10>("typed-pipe, 10 calls of a task");

/// The processor time of calls, so many in flight.
const fn in_threads<const COUNT: usize>(name: &'static str) -> Side {
    Side { name, measure: our_calls::processor_of_threads::<COUNT>, work: our_calls::answer }
}

/// The same for calls of tasks.
const fn in_a_task<const COUNT: usize>(name: &'static str) -> Side {
    Side { name, measure: our_calls::processor_of_tasks::<COUNT>, work: our_calls::answer_in_tasks }
}

static ASYNC: Side = Side {
    name: "typed-pipe, feed in a task",
    measure: ours_async::receive,
    work: ours_async::batch,
};

static LINES_1M: Side = lines::<MB1>("typed-pipe, lines of 1 MB");
static LINES_5M: Side = lines::<MB5>("typed-pipe, lines of 5 MB");
static LINES_50M: Side = lines::<MB50>("typed-pipe, lines of 50 MB");
static TEXT_1M: Side = text::<MB1>("typed-pipe, into_text, 1 MB");
static TEXT_5M: Side = text::<MB5>("typed-pipe, into_text, 5 MB");
static BASE64_1M: Side = base64::<MB1>("typed-pipe, base64 lines of 1 MB");
static BASE64_5M: Side = base64::<MB5>("typed-pipe, base64 lines of 5 MB");
static BASE64_50M: Side = base64::<MB50>("typed-pipe, base64 lines of 50 MB");
static DATAGRAMS_5M: Side = Side {
    name: "typed-pipe, base64 datagrams of 5 MB",
    measure: delimited::receive::<Base64Datagrams>,
    work: delimited::send::<Base64Datagrams, MB5>,
};
static DELIMITED_1M: Side = of_ones_own::<MB1>("typed-pipe, a framing of one's own, 1 MB");
static DELIMITED_5M: Side = of_ones_own::<MB5>("typed-pipe, a framing of one's own, 5 MB");
static DELIMITED_50M: Side = of_ones_own::<MB50>("typed-pipe, a framing of one's own, 50 MB");
static PREFIXED_1M: Side = prefixed::<MB1>("typed-pipe, length-prefixed texts of 1 MB");
static PREFIXED_5M: Side = prefixed::<MB5>("typed-pipe, length-prefixed texts of 5 MB");
static PREFIXED_50M: Side = prefixed::<MB50>("typed-pipe, length-prefixed texts of 50 MB");

const fn lines<const LEN: usize>(name: &'static str) -> Side {
    Side { name, measure: delimited::receive::<Lines>, work: delimited::send::<Lines, LEN> }
}

const fn text<const LEN: usize>(name: &'static str) -> Side {
    Side { name, measure: delimited::receive_text, work: delimited::send::<Lines, LEN> }
}

const fn base64<const LEN: usize>(name: &'static str) -> Side {
    Side {
        name,
        measure: delimited::receive::<Base64Lines>,
        work: delimited::send::<Base64Lines, LEN>,
    }
}

const fn of_ones_own<const LEN: usize>(name: &'static str) -> Side {
    Side { name, measure: delimited::receive::<OfOnesOwn>, work: delimited::send::<OfOnesOwn, LEN> }
}

const fn prefixed<const LEN: usize>(name: &'static str) -> Side {
    Side {
        name,
        measure: delimited::receive::<LengthPrefixed>,
        work: delimited::send::<LengthPrefixed, LEN>,
    }
}

static RAW_SEND: Side =
    Side { name: "raw, a write a message", measure: raw::receive, work: raw::send };
static RAW_BATCH: Side = Side { name: "raw, batches", measure: raw::receive, work: raw::batch };
static RAW_RTT: Side = Side { name: "raw, round trip", measure: raw::ask, work: raw::answer };
static RAW_CALL: Side = Side {
    name: "raw, round trip on a socket",
    measure: raw::ask_on_a_socket,
    work: raw::answer_on_a_socket,
};
static RAW_BYTES_64K: Side = Side {
    name: "raw, 64 KiB, pipe of 64 KiB",
    measure: raw::receive_payloads::<K64, K64>,
    work: raw::send_payloads::<K64>,
};
static RAW_BYTES_64K_WIDE: Side = Side {
    name: "raw, 64 KiB, pipe of 1 MiB",
    measure: raw::receive_payloads::<K64, M1>,
    work: raw::send_payloads::<K64>,
};
static RAW_BYTES_1M: Side = Side {
    name: "raw, 1 MiB, pipe of 64 KiB",
    measure: raw::receive_payloads::<M1, K64>,
    work: raw::send_payloads::<M1>,
};
static RAW_BYTES_1M_WIDE: Side = Side {
    name: "raw, 1 MiB, pipe of 1 MiB",
    measure: raw::receive_payloads::<M1, M1>,
    work: raw::send_payloads::<M1>,
};
static RAW_MADE_1M: Side = Side {
    name: "raw, 1 MiB made anew, pipe of 64 KiB",
    measure: raw::receive_payloads::<M1, K64>,
    work: raw::make_payloads::<M1>,
};
static RAW_MADE_1M_WIDE: Side = Side {
    name: "raw, 1 MiB made anew, pipe of 1 MiB",
    measure: raw::receive_payloads::<M1, M1>,
    work: raw::make_payloads::<M1>,
};

static TOKIO_BATCH: Side =
    Side { name: "tokio, feed", measure: over_tokio::receive, work: over_tokio::batch };

const TARPC_100: &[&Side] = &[&TARPC];
static TARPC: Side = Side {
    name: "tarpc, 100 calls of a task",
    measure: over_tarpc::call_in_tasks,
    work: over_tarpc::answer,
};

static IPC_SEND: Side = Side {
    name: "ipc-channel, send",
    measure: over_ipc_channel::receive,
    work: over_ipc_channel::send,
};
static IPC_RTT: Side = Side {
    name: "ipc-channel, round trip",
    measure: over_ipc_channel::ask,
    work: over_ipc_channel::answer,
};
static IPC_BYTES_64K: Side = Side {
    name: "ipc-channel, 64 KiB",
    measure: over_ipc_channel::receive_payloads,
    work: over_ipc_channel::send_payloads::<K64>,
};
static IPC_BYTES_1M: Side = Side {
    name: "ipc-channel, 1 MiB",
    measure: over_ipc_channel::receive_payloads,
    work: over_ipc_channel::send_payloads::<M1>,
};

static ICEORYX2_SEND: Side = Side {
    name: "iceoryx2, bytes of postcard",
    measure: over_iceoryx2::receive,
    work: over_iceoryx2::send,
};
static ICEORYX2_PLAIN: Side = Side {
    name: "iceoryx2, plain old data",
    measure: over_iceoryx2::receive_plain,
    work: over_iceoryx2::send_plain,
};
static ICEORYX2_LOAN_1M: Side = Side {
    name: "iceoryx2, a loan of 1 MiB",
    measure: over_iceoryx2::receive_payloads,
    work: over_iceoryx2::loan_payloads::<M1>,
};

static ICEORYX2_RTT: Side = Side {
    name: "iceoryx2, round trip, spinning",
    measure: over_iceoryx2::ask,
    work: over_iceoryx2::answer,
};
static ICEORYX2_RTT_ASLEEP: Side = Side {
    name: "iceoryx2, round trip, asleep until an event",
    measure: over_iceoryx2::ask_asleep,
    work: over_iceoryx2::answer_asleep,
};
static ICEORYX2_64K: Side = Side {
    name: "iceoryx2, a loan of 64 KiB, read",
    measure: over_iceoryx2::read_payloads,
    work: over_iceoryx2::loan_payloads::<K64>,
};
static ICEORYX2_1M: Side = Side {
    name: "iceoryx2, a loan of 1 MiB, read",
    measure: over_iceoryx2::read_payloads,
    work: over_iceoryx2::loan_payloads::<M1>,
};
static ICEORYX2_16M: Side = Side {
    name: "iceoryx2, a loan of 16 MiB, read",
    measure: over_iceoryx2::read_payloads,
    work: over_iceoryx2::loan_payloads::<M16>,
};

static MEMORY_SEND: Side = Side {
    name: "typed-pipe, send over memory, a ring of 256 KiB",
    measure: over_memory::receive,
    work: over_memory::send,
};
static MEMORY_BATCH: Side = Side {
    name: "typed-pipe, feed over memory, a ring of 256 KiB",
    measure: over_memory::receive,
    work: over_memory::batch,
};
static MEMORY_RTT: Side = Side {
    name: "typed-pipe, round trip over memory, rings of 256 KiB",
    measure: over_memory::ask,
    work: over_memory::answer,
};
static MEMORY_64K: Side = Side {
    name: "typed-pipe, a loan of 64 KiB over memory, a ring of 256 KiB",
    measure: over_memory::receive_payloads,
    work: over_memory::loan_payloads::<K64, { 4 * K64 }>,
};
static MEMORY_1M: Side = Side {
    name: "typed-pipe, a loan of 1 MiB over memory, a ring of 4 MiB",
    measure: over_memory::receive_payloads,
    work: over_memory::loan_payloads::<M1, { 4 * M1 }>,
};
static MEMORY_16M: Side = Side {
    name: "typed-pipe, a loan of 16 MiB over memory, a ring of 64 MiB",
    measure: over_memory::receive_payloads,
    work: over_memory::loan_payloads::<M16, { 4 * M16 }>,
};

static MEMORY_1M_UNREAD: Side = Side {
    name: "typed-pipe, a loan of 1 MiB over memory, viewed, a ring of 4 MiB",
    measure: over_memory::view_payloads,
    work: over_memory::loan_payloads::<M1, { 4 * M1 }>,
};

static MEMORY_64K_READ: Side = read::<K64, { 4 * K64 }>(
    "typed-pipe, a loan of 64 KiB over memory, read in place, a ring of 256 KiB",
);
static MEMORY_1M_READ: Side = read::<M1, { 4 * M1 }>(
    "typed-pipe, a loan of 1 MiB over memory, read in place, a ring of 4 MiB",
);
static MEMORY_16M_READ: Side = read::<M16, { 4 * M16 }>(
    "typed-pipe, a loan of 16 MiB over memory, read in place, a ring of 64 MiB",
);
static RAW_1M_UNREAD: Side =
    bare::<M1>("raw memory, 1 MiB, unread", by_memory::receive_unread::<M1>);
static RAW_64K_READ: Side =
    bare::<K64>("raw memory, 64 KiB, read in place", by_memory::receive_in_place::<K64>);
static RAW_1M_READ: Side =
    bare::<M1>("raw memory, 1 MiB, read in place", by_memory::receive_in_place::<M1>);
static RAW_16M_READ: Side =
    bare::<M16>("raw memory, 16 MiB, read in place", by_memory::receive_in_place::<M16>);
static RAW_64K_COPIED: Side =
    bare::<K64>("raw memory, 64 KiB, copied out", by_memory::receive_copies::<K64>);
static RAW_1M_COPIED: Side =
    bare::<M1>("raw memory, 1 MiB, copied out", by_memory::receive_copies::<M1>);
static RAW_16M_COPIED: Side =
    bare::<M16>("raw memory, 16 MiB, copied out", by_memory::receive_copies::<M16>);

static MEMORY_1M_IN_2M: Side = read::<M1, { 2 * M1 }>(
    "typed-pipe, a loan of 1 MiB over memory, read in place, a ring of 2 MiB",
);
static MEMORY_1M_IN_16M: Side =
    read::<M1, M16>("typed-pipe, a loan of 1 MiB over memory, read in place, a ring of 16 MiB");

static MEMORY_SENT_1M: Side = sent::<M1, { 4 * M1 }>("typed-pipe, 1 MiB, a ring of 4 MiB");
static MEMORY_SENT_1M_SMALL: Side = sent::<M1, GROWS>("typed-pipe, 1 MiB, a ring that grows");
static SOCKET_SENT_1M: Side = sent::<M1, SOCKET>("typed-pipe, 1 MiB, the socket");
static MEMORY_SENT_16M: Side = sent::<M16, { 4 * M16 }>("typed-pipe, 16 MiB, a ring of 64 MiB");
static MEMORY_SENT_16M_SMALL: Side = sent::<M16, GROWS>("typed-pipe, 16 MiB, a ring that grows");
static SOCKET_SENT_16M: Side = sent::<M16, SOCKET>("typed-pipe, 16 MiB, the socket");
static MEMORY_TASKS_1M: Side = tasks::<M1, GROWS>("typed-pipe, 1 MiB in tasks, a ring that grows");
static SOCKET_TASKS_1M: Side = tasks::<M1, SOCKET>("typed-pipe, 1 MiB in tasks, the socket");
static MEMORY_TASKS_16M: Side =
    tasks::<M16, GROWS>("typed-pipe, 16 MiB in tasks, a ring that grows");
static SOCKET_TASKS_16M: Side = tasks::<M16, SOCKET>("typed-pipe, 16 MiB in tasks, the socket");

static MEMORY_CONNECT: Side = Side {
    name: "typed-pipe, a connection with rings that grow, and a quote",
    measure: over_memory::accept::<GROWS>,
    work: over_memory::come_and_go::<GROWS>,
};
static SOCKET_CONNECT: Side = Side {
    name: "typed-pipe, a connection with its socket, and a quote",
    measure: over_memory::accept::<SOCKET>,
    work: over_memory::come_and_go::<SOCKET>,
};

/// Payloads of `LEN` bytes through a ring of `RING` bytes, or through the socket.
const fn sent<const LEN: usize, const RING: usize>(name: &'static str) -> Side {
    Side {
        name,
        measure: over_memory::receive_sent::<RING>,
        work: over_memory::send_payloads::<LEN, RING>,
    }
}

/// Loans of `LEN` bytes in a ring of `RING` bytes, read where they lie.
const fn read<const LEN: usize, const RING: usize>(name: &'static str) -> Side {
    Side {
        name,
        measure: over_memory::read_payloads,
        work: over_memory::loan_payloads::<LEN, RING>,
    }
}

/// Payloads of `LEN` bytes in bare memory.
const fn bare<const LEN: usize>(name: &'static str, measure: fn(&Round) -> Done<f64>) -> Side {
    Side { name, measure, work: by_memory::send::<LEN> }
}

/// The same in tasks.
const fn tasks<const LEN: usize, const RING: usize>(name: &'static str) -> Side {
    Side {
        name,
        measure: over_memory::receive_in_tasks::<RING>,
        work: over_memory::send_in_tasks::<LEN, RING>,
    }
}

static PYTHON_SEND: Side = Side {
    name: "multiprocessing.connection",
    measure: over_python::receive,
    work: over_python::send,
};

static NAMEDPIPE_SEND: Side = Side {
    name: "namedpipe, a write a message",
    measure: over_python::receive_over_namedpipe,
    work: over_python::send,
};
static NAMEDPIPE_BATCH: Side = Side {
    name: "namedpipe, buffered",
    measure: over_python::receive_batches_over_namedpipe,
    work: over_python::send,
};
static XP_NAMED_PIPE_SEND: Side = Side {
    name: "xp_named_pipe, a write a message",
    measure: over_python::receive_over_xp_named_pipe,
    work: over_python::send,
};

static INTERPROCESS_SEND: Side = Side {
    name: "interprocess, a write a message",
    measure: over_interprocess::receive,
    work: over_interprocess::send,
};

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn names_are_unique() {
        let mut sides = HashMap::new();
        for scenario in SCENARIOS {
            for side in scenario.others.iter().copied().chain([scenario.ours]) {
                let first = *sides.entry(side.name).or_insert(side);
                assert!(std::ptr::eq(first, side), "{}", side.name);
            }
            let same = SCENARIOS.iter().filter(|other| other.name == scenario.name);
            assert_eq!(same.count(), 1, "{}", scenario.name);
        }
    }
}
