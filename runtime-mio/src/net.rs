//! mio's sockets as the engine wants them.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use overcom_core::{ConnectError, PipeId};
use overcom_std::sockets::{Bound, ends};
use overcom_std::{Engine, Net, Source, Stream};

/// In a loop of one's own, 0 is the waker.
pub(crate) const FIRST_PIPE: usize = 1;
/// Edge-triggered: readiness is told once when it changes, so both may be asked for at once without idle wake-ups.
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The listening sockets, and which token is which pipe's.
#[derive(Debug)]
pub(crate) struct Sockets {
    registry: Registry,
    tcp: Option<TcpListener>,
    udp: Option<UdpSocket>,
    tokens: Range<usize>,
    next: usize,
    free: Arc<Mutex<Vec<usize>>>,
    owners: BTreeMap<usize, PipeId>,
}

/// A pipe's stream; its token is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct MioStream {
    stream: TcpStream,
    token: usize,
    free: Arc<Mutex<Vec<usize>>>,
}

impl Sockets {
    /// Closed ones, which will register with these token numbers.
    pub(crate) fn new(registry: Registry, tokens: Range<usize>) -> io::Result<Self> {
        if tokens.len() < 3 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "at least three tokens are needed"));
        }
        let next = tokens.start + 2;
        Ok(Self { registry, tcp: None, udp: None, tokens, next, free: Arc::default(), owners: BTreeMap::new() })
    }

    fn watch(&mut self, pipe: PipeId, mut stream: TcpStream) -> io::Result<MioStream> {
        let freed = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let token = freed.unwrap_or(self.next);
        if token >= self.tokens.end {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "every token is in use"));
        }
        self.next = self.next.max(token + 1);
        self.registry.register(&mut stream, Token(token), BOTH)?;
        self.owners.insert(token, pipe);
        Ok(MioStream { stream, token, free: Arc::clone(&self.free) })
    }
}

/// Tells the engine what is ready; `false` if the event is somebody else's.
pub(crate) fn ready(engine: &mut Engine<Sockets>, event: &Event) -> bool {
    let net = engine.net();
    let token = event.token().0;
    if !net.tokens.contains(&token) {
        return false;
    }
    let source = match token - net.tokens.start {
        0 => Some(Source::Listener),
        1 => Some(Source::Datagrams),
        _ => net.owners.get(&token).copied().map(Source::Pipe),
    };
    source.into_iter().for_each(|source| engine.on_ready(source));
    true
}

impl Net for Sockets {
    type Stream = MioStream;

    fn open(&mut self, bound: Bound) -> io::Result<()> {
        let (mut tcp, mut udp) = (TcpListener::from_std(bound.tcp), UdpSocket::from_std(bound.udp));
        self.registry.register(&mut tcp, Token(self.tokens.start), Interest::READABLE)?;
        self.registry.register(&mut udp, Token(self.tokens.start + 1), Interest::READABLE)?;
        (self.tcp, self.udp) = (Some(tcp), Some(udp));
        Ok(())
    }

    fn close(&mut self) {
        (self.tcp, self.udp) = (None, None);
    }

    fn adopt(&mut self, pipe: PipeId, stream: std::net::TcpStream) -> io::Result<MioStream> {
        self.watch(pipe, TcpStream::from_std(stream))
    }

    fn accept(&mut self, pipe: PipeId) -> io::Result<MioStream> {
        let (stream, _) = self.tcp.as_ref().ok_or(io::ErrorKind::WouldBlock)?.accept()?;
        stream.set_nodelay(true)?;
        self.watch(pipe, stream)
    }

    fn send_to(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.udp.as_ref().ok_or(io::ErrorKind::NotConnected)?.send_to(bytes, to).map(drop)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.udp.as_ref().ok_or(io::ErrorKind::WouldBlock)?.recv_from(into)
    }
}

impl Stream for MioStream {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(into)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.stream).write(bytes)
    }

    fn finish(&self) {
        // A stream that is not connected any more has no end to say.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn ends(&self) -> Result<Option<(SocketAddr, SocketAddr)>, ConnectError> {
        ends(self.stream.take_error(), self.stream.local_addr(), self.stream.peer_addr())
    }
}

impl Drop for MioStream {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(self.token);
    }
}
