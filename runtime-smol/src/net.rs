//! smol's sockets as the engine wants them, and what waits for them.

use std::future::Future;
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use overcom_core::{PipeId, Time};
use overcom_std::sockets::Bound;
use overcom_std::{Bell, Drive, Engine, Net, Rest, Source};
use smol::{Async, Timer};

/// The listening sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    tcp: Option<Async<TcpListener>>,
    udp: Option<Async<UdpSocket>>,
    /// Those that were never asked to ring.
    new: Vec<Source>,
}

impl Net for Sockets {
    type Stream = Async<TcpStream>;

    fn open(&mut self, bound: Bound) -> io::Result<()> {
        (self.tcp, self.udp) = (Some(Async::new_nonblocking(bound.tcp)?), Some(Async::new_nonblocking(bound.udp)?));
        self.new.extend([Source::Listener, Source::Datagrams]);
        Ok(())
    }

    fn close(&mut self) {
        (self.tcp, self.udp) = (None, None);
    }

    fn adopt(&mut self, pipe: PipeId, stream: TcpStream) -> io::Result<Async<TcpStream>> {
        let stream = Async::new_nonblocking(stream)?;
        self.new.push(Source::Pipe(pipe));
        Ok(stream)
    }

    fn accept(&mut self, pipe: PipeId) -> io::Result<Async<TcpStream>> {
        let (stream, _) = self.tcp.as_ref().ok_or(io::ErrorKind::WouldBlock)?.get_ref().accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.adopt(pipe, stream)
    }

    fn send_to(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.udp.as_ref().ok_or(io::ErrorKind::NotConnected)?.get_ref().send_to(bytes, to).map(drop)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.udp.as_ref().ok_or(io::ErrorKind::WouldBlock)?.get_ref().recv_from(into)
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
        Self { engine, drive, bell, timer: None, unarmed: Vec::new() }
    }

    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
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
        asked.extend(new.into_iter().chain(writers));
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
            // It is ready all the time, and asked again once the engine takes connections again.
            Source::Listener if self.engine.is_out_of_files() => {
                self.unarmed.push(source);
                Poll::Pending
            }
            Source::Listener => self.engine.net().tcp.as_ref().map_or(Poll::Pending, |tcp| tcp.poll_readable(cx)),
            Source::Datagrams => self.engine.net().udp.as_ref().map_or(Poll::Pending, |udp| udp.poll_readable(cx)),
            Source::Pipe(pipe) => {
                let is_writer = self.engine.pipes().is_waiting_to_write(pipe);
                let Some(stream) = self.engine.pipes().stream(pipe) else { return Ok(false) };
                let writable = if is_writer { stream.poll_writable(cx) } else { Poll::Pending };
                // A stream that connects has nothing to read, and is asked again once it is open.
                if writable.is_ready() { writable } else { stream.poll_readable(cx) }
            }
        };
        Ok(ready?.is_ready())
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
