//! Each operation that may wait is defined once, for all modes: a path names one thing, whatever features are on.
//!
//! That it compiles is the test. Each is named as ordinary code does, without its parameters; first for whatever mode, and
//! then in the form of pointers to functions, whose types are those of one mode.
#![cfg(feature = "tokio")]

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use typed_pipe::state::{Allocated, Blocking, Closed, Mode, Open};
use typed_pipe::wire::{BorrowingCodec, Codec, Framing, LengthPrefixed, MultiWriter, Postcard};
use typed_pipe::{
    Calls, Client, ClientOptions, ConnectOptions, Connection, Context, Delivery, End, Error,
    Handles, Handshake, Listener, Loan, Negotiated, Pending, Pipe, ReadEnd, ReadHalf, ReadTimeout,
    Receivable, ReceivingHalf, Sendable, SendingHalf, Service, Sink, Source, Tokio,
    TransitionError, TypedConnection, TypedReceiver, TypedSender, WithHandles, WriteEnd, WriteHalf,
    WriteTimeout,
};

const SOON: Duration = Duration::from_millis(1);

fn ends<M: Mode>() {
    let _ = |end: ReadEnd<Closed<M>>| drop(End::open(end));
    let _ = |end: WriteEnd<Closed<M>>| drop(End::try_open(end));
    let _ = |end: ReadEnd<Closed<M>>| drop(End::open_timeout(end, SOON));
    let _ = |end: &mut ReadEnd<Open<M>>| drop(End::read(end, &mut []));
    let _ = |end: &mut ReadEnd<Open<M>>| drop(End::try_read(end, &mut []));
    let _ = |end: &mut ReadEnd<Open<M>>| drop(End::read_timeout(end, &mut [], SOON));
    let _ = |end: &mut WriteEnd<Open<M>>| drop(End::write(end, &[]));
    let _ = |end: &mut WriteEnd<Open<M>>| drop(End::try_write(end, &[]));
    let _ = |end: &mut WriteEnd<Open<M>>| drop(End::write_timeout(end, &[], SOON));
    let _ = |end: &mut ReadEnd<Open<M>>, to: &mut WriteEnd<Open<M>>| drop(End::forward(end, to));
    let _ = |end: &mut WriteEnd<Open<M>>| drop(End::send_bytes(end, &[]));
    let _ = |end: &mut WriteEnd<Open<M>>| drop(End::send_bytes_timeout(end, &[], SOON));
    let _ = |half: &mut WriteHalf<M>, h: &mut Handles| drop(End::write_with_handles(half, &[], h));
    let _ = |half: WriteHalf<M>| drop(WriteHalf::finish(half));
    let _ = |half: WriteHalf<M>| drop(WriteHalf::try_finish(half));
    let _ = |half: WriteHalf<M>| drop(WriteHalf::finish_timeout(half, SOON));
}

fn ends_beside_a_child<M: Mode>(child: &Child) {
    let _ = |end: &mut ReadEnd<Open<M>>| drop(End::wait_for_peer(end, child));
    let _ = |end: &mut ReadEnd<Open<M>>| drop(End::wait_for_peer_timeout(end, child, SOON));
    let _ = |end: WriteEnd<Closed<M>>| drop(End::open_with(end, child));
    let _ = |end: WriteEnd<Closed<M>>| drop(End::open_with_timeout(end, child, SOON));
    let _ = |listener: &Listener<M>| drop(Listener::accept_with(listener, child));
    let _ = |listener: &Listener<M>| drop(Listener::accept_with_timeout(listener, child, SOON));
}

fn receivers<R: Source + ReadTimeout, F: Framing, C: BorrowingCodec>() {
    type Texts<R, F, C> = TypedReceiver<String, R, F, C>;
    let _ = |r: &mut Texts<R, F, C>| drop(TypedReceiver::recv(r));
    let _ = |r: &mut Texts<R, F, C>| drop(TypedReceiver::try_recv(r));
    let _ = |r: &mut Texts<R, F, C>| drop(TypedReceiver::recv_timeout(r, SOON));
    let _ = |r: &mut Texts<R, F, C>| drop(TypedReceiver::recv_ref(r));
    let _ = |r: &mut Texts<R, F, C>| drop(TypedReceiver::recv_bytes(r));
    #[cfg(feature = "shared-memory")]
    let _ = |r: &mut Texts<R, F, C>| drop(TypedReceiver::recv_view(r));
    let _ = |r: &mut Texts<R, MultiWriter, C>| drop(TypedReceiver::recv_from(r));
}

fn senders<E: Sink + WriteTimeout, F: Framing, C: Codec>() {
    type Texts<E, F, C> = TypedSender<String, E, F, C>;
    let text = String::new;
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::send(s, &text()));
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::try_send(s, &text()));
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::send_timeout(s, &text(), SOON));
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::send_ref(s, &""));
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::send_as(s, ""));
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::send_all(s, [text()]));
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::feed(s, &text()));
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::flush(s));
    let _ = |s: Texts<E, F, C>| drop(TypedSender::finish(s));
    let _ = |s: Texts<E, F, C>| drop(TypedSender::try_finish(s));
    let _ = |s: Texts<E, F, C>| drop(TypedSender::finish_timeout(s, SOON));
    let _ = |s: Texts<E, F, C>| drop(TypedSender::finish_into_inner(s));
    let _ = |s: &mut Texts<E, F, C>| drop(TypedSender::send_bytes(s, &[]));
    let _ = |loan: Loan<'_, str, E, F, C>| drop(Loan::send(loan));
}

fn connections<M: Mode>() {
    let _ = |c: Connection<M>| drop(Connection::finish(c));
    let _ = |c: Connection<M>| drop(Connection::try_finish(c));
    let _ = |c: Connection<M>| drop(Connection::finish_timeout(c, SOON));
    let _ = |c: Connection<M>| drop(Connection::into_typed::<u8, u8>(c));
    let _ = |o: &ConnectOptions<M>, path: &Path| drop(ConnectOptions::connect(o, path));
    let _ = |o: &ConnectOptions<M>, path: &Path| drop(ConnectOptions::try_connect(o, path));
    let _ = |o: &ConnectOptions<M>, path: &Path| {
        drop(ConnectOptions::connect_timeout(o, path, SOON));
    };
    let _ = |l: &Listener<M>| drop(Listener::accept(l));
    let _ = |l: &Listener<M>| drop(Listener::try_accept(l));
    let _ = |l: &Listener<M>| drop(Listener::accept_timeout(l, SOON));
}

fn typed_connections<F: Framing + Clone, C: Codec + Clone, M: Mode>() {
    type Typed<F, C, M> = TypedConnection<u8, u8, F, C, M>;
    type Giving<F, C, M> = TypedConnection<WithHandles<u8>, (), F, C, M>;
    type Taking<F, C, M> = TypedConnection<(), WithHandles<u8>, F, C, M>;
    let _ = |a: &Handshake<F, C, M>, c| drop(Handshake::perform::<u8, u8>(a, c));
    let _ = |a: &Handshake<F, C, M>, c| drop(Handshake::negotiate(a, c));
    let _ = |a: &Handshake<F, C, M>, c| drop(Handshake::refuse(a, c, ""));
    let _ = |a: &Handshake<F, C, M>, c: &mut Command| drop(Handshake::spawn::<u8, u8>(a, c));
    let _ = |a: &Handshake<F, C, M>| drop(Handshake::parent::<u8, u8>(a));
    let _ = |agreed: Negotiated<F, C, M>| drop(Negotiated::perform::<u8, u8>(agreed));
    let _ = |c: &mut Typed<F, C, M>| drop(TypedConnection::send(c, &7));
    let _ = |c: &mut Typed<F, C, M>| drop(TypedConnection::flush(c));
    let _ = |c: &mut Typed<F, C, M>| drop(TypedConnection::recv(c));
    let _ = |c: Typed<F, C, M>| drop(TypedConnection::finish(c));
    let _ = |c: Typed<F, C, M>| drop(TypedConnection::try_finish(c));
    let _ = |c: Typed<F, C, M>| drop(TypedConnection::finish_timeout(c, SOON));
    let _ = |c: &mut Giving<F, C, M>, h: &mut Handles| {
        drop(TypedConnection::send_with_handles(c, &7, h))
    };
    let _ = |c: &mut Taking<F, C, M>| drop(TypedConnection::recv_with_handles(c));
    type Giver<F, C, M> = SendingHalf<WithHandles<u8>, F, C, M>;
    let _ =
        |s: &mut Giver<F, C, M>, h: &mut Handles| drop(TypedSender::send_with_handles(s, &7, h));
    type Taker<F, C, M> = ReceivingHalf<WithHandles<u8>, F, C, M>;
    let _ = |r: &mut Taker<F, C, M>| drop(TypedReceiver::recv_with_handles(r));
}

fn calls<M: Calls>() {
    type Caller<M> = Client<u8, u8, LengthPrefixed, Postcard, M>;
    let _ = |c: &Caller<M>| drop(Client::call(c, &7));
    let _ = |c: &Caller<M>| drop(Client::call_timeout(c, &7, SOON));
    let _ = |c: &Caller<M>| drop(Client::call_ref(c, &7));
    let _ = |c: &Caller<M>| drop(Client::call_idempotent(c, &7));
    let _ = |c: &Caller<M>| drop(Client::notify(c, &7));
    let _ = |c: &Caller<M>| drop(Client::notify_timeout(c, &7, SOON));
    let _ = |c: &Caller<M>| drop(Client::start(c, &7));
    let _ = |c: &Caller<M>| drop(Client::stream::<u8>(c, &7));
    let _ = |c: &Caller<M>, h: &mut Handles| drop(Client::call_with_handles(c, &7, h));
    let _ = |p: Pending<u8, Postcard, M>| drop(Pending::wait(p));
    let _ = |p: Pending<u8, Postcard, M>| drop(Pending::wait_timeout(p, SOON));
}

/// What people write most, as arguments of iterators.
fn in_iterators() {
    let _ = |ends: Vec<ReadEnd<Closed>>| -> Vec<_> { ends.into_iter().map(End::open).collect() };
    let _ = |ends: Vec<ReadEnd<Closed>>| -> Result<Vec<ReadEnd>, TransitionError<_>> {
        ends.into_iter().map(ReadEnd::open).collect()
    };
    let _ = |receivers: &mut Vec<TypedReceiver<u8>>| -> Result<Vec<u8>, Error> {
        receivers.iter_mut().map(TypedReceiver::recv).collect()
    };
    let _ = |senders: &mut Vec<TypedSender<u8>>| -> Result<(), Error> {
        senders.iter_mut().try_for_each(TypedSender::flush)
    };
    let _ = |senders: Vec<TypedSender<u8>>| senders.into_iter().map(TypedSender::finish).count();
    let _ = |listeners: &[Listener]| -> Vec<Result<Connection, Error>> {
        listeners.iter().map(Listener::accept).collect()
    };
    let _ = |all: Vec<Connection>| all.into_iter().map(Connection::finish).count();
    let _ = |all: Vec<Connection>| all.into_iter().map(Connection::into_typed::<u8, u8>).count();
    let _ = |service: Service<u8, u8>| Service::serve(service, |number| number + 1);
    let _ = |service: Service<u8, u8>| Service::both_ways(service, |_: Client<u8, u8>| |n| n);
    let _ = |service: Service<u8, u8>| {
        Service::both_ways_with_context(service, |_: Client<u8, u8>| |n, _: Context| n)
    };
    let _ = |o: &ClientOptions, c| ClientOptions::over::<u8, u8>(o, c);
    let _ = |o: &ClientOptions| ClientOptions::local::<u8, u8, _, _>(o, |number| number);
    let _ = |o: &ClientOptions| {
        ClientOptions::local_with_context::<u8, u8, u8, _, _>(o, |number, _: Context<u8>| number)
    };
    let _ = |service: Service<u8, u8>| {
        Service::serve_with_context(service, |number, _: Context| number + 1)
    };
    let _ = || Pipe::temporary().unwrap().into_reader().open().map(End::into_receiver::<u8>);
}

/// What a blocking one returns is no future.
fn as_pointers() {
    type Failed = TransitionError<TypedSender<u8>>;
    let _: fn(&mut TypedReceiver<u8>) -> Result<u8, Error> = TypedReceiver::<u8>::recv;
    let _: fn(&mut TypedSender<u8>, &u8) -> Result<(), Error> = TypedSender::<u8>::send;
    let _: fn(TypedSender<u8>) -> Result<Delivery, Failed> = TypedSender::<u8>::finish;
    let _: fn(&Listener) -> Result<Connection, Error> = <Listener>::accept;
    let _: fn(ReadEnd<Closed>) -> Result<ReadEnd, TransitionError<ReadEnd<Closed>>> = End::open;
    let _: fn(Connection) -> Result<ReadHalf, TransitionError<Connection>> = Connection::finish;
    let _: fn(&mut ReadEnd, &mut [u8]) -> Result<usize, Error> = ReadEnd::<Open>::read;
}

/// Bounds of code that is generic over what it reads from or writes to, and blocks.
fn generic_and_blocking() {
    fn read<R: io::Read>(r: &mut TypedReceiver<u8, R>) -> Result<u8, Error> {
        r.recv()
    }
    fn within<R: ReadTimeout<Mode = Blocking>>(r: &mut TypedReceiver<u8, R>) -> Result<u8, Error> {
        r.recv_timeout(SOON)
    }
    fn written<E: io::Write>(s: &mut TypedSender<str, E>) -> Result<(), Error> {
        s.send("x")?;
        s.feed("y")?;
        s.flush()
    }
    fn any(r: &mut TypedReceiver<u8, Box<dyn io::Read + Send>>) -> Result<u8, Error> {
        r.recv()
    }
    let _ = (read::<&[u8]>, within::<ReadEnd>, written::<Vec<u8>>, any);
}

fn sessions<M: Mode>() {
    use typed_pipe::session::{Chooses, Ends, Flipped, Offers, Receives, Sends, Session};

    typed_pipe::choice! {
        enum Way in way {
            On => Ends,
        }
    }
    type Asks = Sends<u8, Ends>;
    type Hears = Receives<u8, Ends>;
    let _ = |c: Connection<M>| drop(Connection::into_session::<Ends>(c));
    let _ = |h: &Handshake<LengthPrefixed, Postcard, M>, c| drop(Handshake::session::<Ends>(h, c));
    let _ = |s: &mut Session<Ends, M>| drop(Session::ready(s));
    let _ = |s: &mut Session<Ends, M>| drop(Session::try_ready(s));
    let _ = |s: Session<Asks, M>| drop(Session::send(s, &7));
    let _ = |s: Session<Asks, M>| drop(Session::feed(s, &7));
    let _ = |s: Session<Hears, M>| drop(Session::recv(s));
    let _ = |s: Session<Chooses<Way>, M>| drop(Session::choose(s, way::On));
    let _ = |s: Session<Offers<Way, Flipped>, M>| drop(Session::offer(s));
    let _ = |s: Session<Ends, M>| drop(Session::end(s));
    let _ = |c: Connection| Connection::converse::<Ends, _>(c, |s| Ok(((), s.end()?)));
}

/// Futures can be sent to other threads, and own no value that is sent.
fn in_tasks() {
    async fn kept(sender: &mut TypedSender<str, WriteEnd<Open<Tokio>>>) -> Result<(), Error> {
        let sending = {
            let text = String::from("it is gone before the future is awaited");
            sender.send(&text)
        };
        sending.await
    }
    fn spawn<T: Receivable + Sendable + Send + Sync + 'static>(
        end: ReadEnd<Closed<Tokio>, Pipe<Allocated>>,
        listener: Listener<Tokio>,
        mut typed: TypedConnection<T, T, LengthPrefixed, Postcard, Tokio>,
    ) {
        drop(tokio::spawn(async move {
            let mut receiver = end.open().await?.into_receiver::<T>();
            typed.send(&receiver.recv_timeout(SOON).await?).await?;
            typed.finish().await?.recv().await?;
            let mut client = listener.accept().await?.into_typed::<T, T>().await?;
            client.recv().await.map(drop)
        }));
    }
    let _ = (kept, spawn::<u8>);
}

#[test]
fn every_path_names_one_thing() {
    let _ = (ends::<Blocking>, ends::<Tokio>);
    let _ = (ends_beside_a_child::<Blocking>, ends_beside_a_child::<Tokio>);
    let _ = (connections::<Blocking>, connections::<Tokio>);
    let _ = (calls::<Blocking>, calls::<Tokio>);
    let _ = (sessions::<Blocking>, sessions::<Tokio>);
    let _ = (
        receivers::<ReadEnd, LengthPrefixed, Postcard>,
        senders::<WriteEnd, MultiWriter, Postcard>,
    );
    let _ = receivers::<ReadEnd<Open<Tokio>>, LengthPrefixed, Postcard>;
    let _ = senders::<WriteEnd<Open<Tokio>>, LengthPrefixed, Postcard>;
    let _ = typed_connections::<LengthPrefixed, Postcard, Blocking>;
    let _ = typed_connections::<LengthPrefixed, Postcard, Tokio>;
    let _ = (in_iterators, as_pointers, generic_and_blocking, in_tasks);
}
