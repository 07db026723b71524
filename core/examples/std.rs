//! A shell from scratch on std alone: a thread for each pipe's reads and for each pipe's writes, one queue, one loop. It
//! shows every duty of a shell on one page; `overcom-std`'s `Engine` does the same without threads for pipes.
//!
//! ```sh
//! cargo run -p overcom-tests --example std
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use overcom_core::{
    AppId, Batch, Command, Config, ConnectError, Driver, Event, Item, Message, Next, Node, Notice, OpId, Packet, Page, Path, PipeId,
    ResolveError, Shell, Time,
};
use overcom_std::{Clock, keys, seed};

/// What other threads tell the loop. A real shell bounds this queue: here each pipe has one read and one write in it.
enum Input {
    Opened(Option<OpId>, TcpStream),
    Failed(OpId, ConnectError),
    Bytes(PipeId, Vec<u8>, Sender<()>),
    Written(PipeId, Packet),
    Ended(PipeId),
    Stored(OpId),
    Loaded(OpId, Vec<Item>, bool),
    Resolved(OpId, Option<Vec<std::net::IpAddr>>),
}

/// Carries actions out. Nothing in it waits, and nothing is told to the node from in here: answers come through the queue.
struct Threads {
    queue: Sender<Input>,
    pipes: BTreeMap<PipeId, (TcpStream, Sender<Packet>)>,
    stored: BTreeMap<Vec<u8>, Vec<u8>>,
    notices: Vec<Notice>,
    opened: u64,
}

impl Threads {
    fn tell(&self, input: Input) {
        // The loop is gone only when everything is.
        let _ = self.queue.send(input);
    }

    /// Gives a pipe its number and its two threads.
    fn open(&mut self, stream: TcpStream) -> std::io::Result<(PipeId, SocketAddr, SocketAddr)> {
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let (mut reader, mut writer) = (stream.try_clone()?, stream.try_clone()?);
        self.opened += 1;
        let pipe = PipeId::new(self.opened);
        let (packets, outstanding) = channel::<Packet>();
        self.pipes.insert(pipe, (stream, packets));
        let queue = self.queue.clone();
        thread::spawn(move || {
            let (mut buffer, (go_on, wait)) = (vec![0; 16 << 10], channel());
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                // One read is in the queue at a time: a node that is busy makes its peers wait.
                if queue.send(Input::Bytes(pipe, buffer[..length].to_vec(), go_on.clone())).is_err() || wait.recv().is_err() {
                    return;
                }
            }
            let _ = queue.send(Input::Ended(pipe));
        });
        let queue = self.queue.clone();
        thread::spawn(move || {
            for packet in outstanding {
                if writer.write_all(packet.bytes()).is_err() || queue.send(Input::Written(pipe, packet)).is_err() {
                    break;
                }
            }
            // The last write is handed over: the reader hears the end and says so.
            let _ = writer.shutdown(Shutdown::Both);
        });
        Ok((pipe, local, remote))
    }
}

impl Shell for Threads {
    fn send_datagram(&mut self, _path: Path, _packet: &Packet) {
        // A datagram that cannot be sent is dropped; this shell has no socket for them.
    }

    fn connect(&mut self, op: OpId, to: SocketAddr, _from_listening_port: bool) {
        let queue = self.queue.clone();
        thread::spawn(move || {
            let outcome = TcpStream::connect_timeout(&to, Duration::from_secs(10));
            let _ = queue.send(match outcome {
                Ok(stream) => Input::Opened(Some(op), stream),
                Err(why) => Input::Failed(op, overcom_std::sockets::connect_error(&why)),
            });
        });
    }

    fn write(&mut self, pipe: PipeId, packet: Packet) {
        // A pipe that has ended says so by itself.
        let _ = self.pipes.get(&pipe).map(|(_, packets)| packets.send(packet));
    }

    fn close(&mut self, pipe: PipeId) {
        // Its writer ends after the packet that it has, and its reader after that; who does not read has a second for it.
        if let Some((stream, packets)) = self.pipes.get_mut(&pipe) {
            *packets = channel().0;
            let stream = stream.try_clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(1));
                // It has ended by itself, as a rule.
                let _ = stream.map(|stream| stream.shutdown(Shutdown::Both));
            });
        }
    }

    fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        let (queue, name) = (self.queue.clone(), name.to_owned());
        thread::spawn(move || {
            let found = (name, port).to_socket_addrs().ok().map(|all| all.map(|address| address.ip()).collect());
            queue.send(Input::Resolved(op, found))
        });
    }

    fn store(&mut self, op: OpId, batch: Batch, _durable: bool) {
        for change in batch.changes {
            match change.value {
                Some(value) => drop(self.stored.insert(change.key, value)),
                None => drop(self.stored.remove(&change.key)),
            }
        }
        self.tell(Input::Stored(op));
    }

    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        let mut range = self.stored.range(from..to);
        let items = range.by_ref().take(limit as usize).map(|(key, value)| Item { key: key.clone(), value: value.clone() }).collect();
        let more = range.next().is_some();
        self.tell(Input::Loaded(op, items, more));
    }

    fn notify(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}

/// One node, its loop and its queue.
struct Peer {
    driver: Driver,
    threads: Threads,
    queue: Receiver<Input>,
    clock: Clock,
    local: SocketAddr,
    report_due: Time,
    /// Notices that the caller has and has not come back from.
    untaken: u64,
}

impl Peer {
    fn start(app: &AppId) -> Result<Self, Box<dyn Error>> {
        let (listener, clock, (queue, inputs)) = (TcpListener::bind("127.0.0.1:0")?, Clock::start(), channel());
        let (now, wall) = (clock.now(), clock.wall());
        let node = Node::new(Config::desktop(), keys::ephemeral(app, wall)?, seed()?, now, wall)?;
        let local = listener.local_addr()?;
        let accepted = queue.clone();
        thread::spawn(move || {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => match accepted.send(Input::Opened(None, stream)) {
                        Ok(()) => {}
                        Err(_) => return,
                    },
                    // Out of files, say: more of them come with time.
                    Err(_) => thread::sleep(Duration::from_secs(1)),
                }
            }
        });
        let threads = Threads { queue, pipes: BTreeMap::new(), stored: BTreeMap::new(), notices: Vec::new(), opened: 0 };
        let mut driver = Driver::new(node);
        driver.handle(now, Event::addresses(&[local], false));
        Ok(Self { driver, threads, queue: inputs, clock, local, report_due: now, untaken: 0 })
    }

    /// One turn: reports, drive, wait for an input until the deadline, hand it in, drive. Returns what there is to tell.
    fn turn(&mut self, longest: Duration) -> Vec<Notice> {
        let now = self.clock.now();
        // Whoever calls again is through with what the last turn gave: only then are its messages acknowledged.
        self.driver.handle(now, Event::taken(std::mem::take(&mut self.untaken), &[]));
        if now >= self.report_due {
            self.report_due = now + Duration::from_secs(60);
            self.driver.handle(now, Event::clock(self.clock.wall()));
        }
        let wait = match self.driver.drive(&mut self.threads, now, 1_024) {
            Next::Again => Duration::ZERO,
            Next::Until(due) => due.map_or(longest, |due| self.clock.until(due).min(longest)),
        };
        match self.queue.recv_timeout(if self.threads.notices.is_empty() { wait } else { Duration::ZERO }) {
            Ok(input) => self.hand_in(input),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        let _ = self.driver.drive(&mut self.threads, self.clock.now(), 1_024);
        let notices = std::mem::take(&mut self.threads.notices);
        self.untaken = notices.len() as u64;
        notices
    }

    fn hand_in(&mut self, input: Input) {
        let (now, driver) = (self.clock.now(), &mut self.driver);
        match input {
            Input::Opened(op, stream) => match self.threads.open(stream) {
                Ok((pipe, local, remote)) => driver.handle(now, Event::pipe_opened(pipe, op, local, remote)),
                Err(_) => op.into_iter().for_each(|op| driver.handle(now, Event::connect_failed(op, ConnectError::Failed))),
            },
            Input::Failed(op, why) => driver.handle(now, Event::connect_failed(op, why)),
            Input::Bytes(pipe, bytes, go_on) => {
                driver.handle(now, Event::pipe_bytes(pipe, &bytes));
                let _ = go_on.send(());
            }
            Input::Written(pipe, packet) => {
                driver.recycle(packet);
                driver.handle(now, Event::pipe_written(pipe));
            }
            Input::Ended(pipe) => {
                // Exactly once for each pipe, whoever ended it: only its reader says so.
                self.threads.pipes.remove(&pipe);
                driver.handle(now, Event::pipe_closed(pipe));
            }
            Input::Stored(op) => driver.handle(now, Event::stored(op, Ok(()))),
            Input::Loaded(op, items, more) => driver.handle(now, Event::loaded(op, Ok(Page { items: &items, more }))),
            Input::Resolved(op, found) => driver.handle(now, Event::resolved(op, found.as_deref().ok_or(ResolveError::Failed))),
        }
    }

    fn command(&mut self, command: Command) -> Result<(), Box<dyn Error>> {
        Ok(self.driver.command(self.clock.now(), command).map(drop)?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let app = AppId::new("example.std")?;
    let (mut ann, mut ben) = (Peer::start(&app)?, Peer::start(&app)?);
    for peer in [&mut ann, &mut ben] {
        while !peer.turn(Duration::from_secs(1)).iter().any(|notice| matches!(notice, Notice::Started { .. })) {}
    }
    let to = ben.driver.node().me().user;
    ann.command(Command::introduce(to, [ben.local.into()]))?;
    ann.command(Command::send(to, Message::new("note", "threads and a queue")?))?;
    let clock = Clock::start();
    while clock.now() < Time::from_secs(30) {
        for notice in ben.turn(Duration::from_millis(1)) {
            if let Notice::Message(message) = notice {
                println!("ben got {}", message.payload());
            }
        }
        if ann.turn(Duration::from_millis(1)).iter().any(|notice| matches!(notice, Notice::Delivered { .. })) {
            println!("delivered");
            return Ok(());
        }
    }
    Err("it was not delivered within 30 s".into())
}
