//! smol's sockets as the engine wants them, and what waits for them.

use std::future::Future;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use overcom_core::{ConnectError, PipeId, Time};
use overcom_std::sockets::{Bound, is_connected};
use overcom_std::{Bell, Drive, Engine, Net, Rest, Source, Stream};
use smol::{Async, Timer};

/// The listening sockets.
#[derive(Debug)]
pub(crate) struct Sockets {
    tcp: Async<TcpListener>,
    udp: Async<UdpSocket>,
    /// Pipes that are new since the last time they were armed.
    new: Vec<PipeId>,
}

impl Sockets {
    pub(crate) fn open(bound: Bound) -> io::Result<Self> {
        Ok(Self { tcp: Async::new_nonblocking(bound.tcp)?, udp: Async::new_nonblocking(bound.udp)?, new: Vec::new() })
    }
}

/// A pipe's stream.
#[derive(Debug)]
pub(crate) struct SmolStream(Async<TcpStream>);

impl Net for Sockets {
    type Stream = SmolStream;

    fn adopt(&mut self, pipe: PipeId, stream: TcpStream) -> io::Result<SmolStream> {
        let stream = SmolStream(Async::new_nonblocking(stream)?);
        self.new.push(pipe);
        Ok(stream)
    }

    fn accept(&mut self, pipe: PipeId) -> io::Result<SmolStream> {
        let (stream, _) = self.tcp.get_ref().accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.adopt(pipe, stream)
    }

    fn send_to(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.udp.get_ref().send_to(bytes, to).map(drop)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.udp.get_ref().recv_from(into)
    }
}

impl Stream for SmolStream {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.get_ref().read(into)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_ref().write(bytes)
    }

    fn finish(&self) {
        // A stream that is not connected any more has no end to say.
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }

    fn ends(&self) -> Result<Option<(SocketAddr, SocketAddr)>, ConnectError> {
        is_connected(self.0.get_ref())
    }
}

/// An engine and what it waits for. A socket is asked again only after it was heard of, so an idle pipe costs nothing.
#[derive(Debug)]
pub(crate) struct Reactor<D> {
    engine: Engine<Sockets>,
    drive: D,
    bell: Arc<Bell>,
    timer: Option<(Time, Timer)>,
    /// Sockets whose readiness was used up, to be asked again.
    unarmed: Vec<Source>,
}

impl<D: Drive> Reactor<D> {
    pub(crate) fn new(engine: Engine<Sockets>, drive: D, bell: Arc<Bell>) -> Self {
        Self { engine, drive, bell, timer: None, unarmed: vec![Source::Listener, Source::Datagrams] }
    }

    pub(crate) const fn engine(&mut self) -> &mut Engine<Sockets> {
        &mut self.engine
    }

    pub(crate) fn turn(&mut self) -> io::Result<Rest> {
        self.engine.turn(&mut self.drive)
    }

    /// From now on the bell wakes this task.
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        self.bell.sleep(cx.waker());
    }

    /// Tells the engine which sockets rang.
    pub(crate) fn collect(&mut self) {
        for source in self.bell.rung_by() {
            self.engine.on_ready(source);
            if !self.unarmed.contains(&source) {
                self.unarmed.push(source);
            }
        }
    }

    /// Asks every used-up socket and the timer to ring; `false` if one of them is ready already or the time has come.
    pub(crate) fn is_asleep(&mut self, cx: &mut Context<'_>, due: Option<Time>) -> io::Result<bool> {
        let new = mem::take(&mut self.engine.net().new);
        let writers: Vec<Source> = self.engine.pipes().waiting_to_write().map(|(pipe, _)| Source::Pipe(pipe)).collect();
        let mut asked = mem::take(&mut self.unarmed);
        asked.extend(new.into_iter().map(Source::Pipe).chain(writers));
        let mut is_asleep = true;
        for source in asked {
            if self.is_ready(source)? {
                self.engine.on_ready(source);
                self.unarmed.push(source);
                is_asleep = false;
            }
        }
        // The clock decides, not the timer, which may ring early.
        is_asleep &= due.is_none_or(|due| due > self.engine.clock().now());
        Ok(is_asleep && !self.is_due(cx, due))
    }

    fn is_ready(&mut self, source: Source) -> io::Result<bool> {
        let waker = self.bell.waker_of(source);
        let cx = &mut Context::from_waker(&waker);
        let ready = match source {
            Source::Listener => self.engine.net().tcp.poll_readable(cx),
            Source::Datagrams => self.engine.net().udp.poll_readable(cx),
            Source::Pipe(pipe) => {
                let is_writer = self.engine.pipes().is_waiting_to_write(pipe);
                let Some(stream) = self.engine.pipes().stream(pipe) else { return Ok(false) };
                let writable = if is_writer { stream.0.poll_writable(cx) } else { Poll::Pending };
                // A stream that connects has nothing to read, and is asked again once it is open.
                if writable.is_ready() { writable } else { stream.0.poll_readable(cx) }
            }
        };
        match ready {
            Poll::Pending => Ok(false),
            Poll::Ready(outcome) => outcome.map(|()| true),
        }
    }

    fn is_due(&mut self, cx: &mut Context<'_>, due: Option<Time>) -> bool {
        let Some(due) = due else {
            self.timer = None;
            return false;
        };
        if self.timer.as_ref().is_none_or(|(at, _)| *at != due) {
            self.timer = Some((due, Timer::after(self.engine.clock().until(due))));
        }
        let is_due = self.timer.as_mut().is_some_and(|(_, timer)| Pin::new(timer).poll(cx).is_ready());
        if is_due {
            self.timer = None;
        }
        is_due
    }
}
