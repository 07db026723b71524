//! `link-rtt`: a message out and one back, over the same bytes sent to and fro without a node.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use overcom_core::{App, AppCx, Command, Config, Crypto, Keep, Message, Notice, Saved, Send, Time, UserId};
use overcom_mio::AppRuntime;
use overcom_smol::run_app;
use overcom_std::{Clock, MemoryStore, Setup, ring_aead};
#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use smol::Async;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::figure::{Measured, Size, median};
use crate::wired::credentials;

/// Blocks of each kind, by turns.
const BLOCKS: usize = 10;
/// Round trips before the clock is read.
const WARM_UP: u64 = 100;
/// Round trips in a row whose time is taken together; a block is worth the median of its runs.
const RUN: u32 = 50;
/// The text of a message, so that its line has some 300 bytes.
const TEXT_BYTES: usize = 225;
/// What such a line is on the wire: itself and its newline, a tag and a length; the acknowledgement beside it is the node's own.
const WIRE_BYTES: usize = 302 + 1 + 16 + 2;
/// As much as a node reads at once.
const READ_BYTES: usize = 64 << 10;
/// No block takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much longer a round trip may take than one without a node.
const MIO_MAX: f64 = 1.5;
const SMOL_MAX: f64 = 2.0;

/// The library that waits.
#[derive(Clone, Copy)]
enum Library {
    Mio,
    Smol,
}

/// The larger one of both runtimes' ratios, each over its own target. A block runs alone, its two threads on cores of
/// their own; kinds of blocks take turns; a block is the median of its runs, a series the median of its blocks.
///
/// Two controls are measured. An acknowledgement record each way, which is all that riding saves: it stands in the detail with
/// whether it misses, for what it costs beside waking two threads depends on the machine, and where it keeps the target it
/// shows nothing. The control that counts goes further: each acknowledgement is a record of its own and comes only when the
/// message is stored, as it does for those that are kept on disk.
pub(crate) fn link_rtt(size: Size) -> Result<Measured, String> {
    let rounds = size.of(300, 2_000, 20_000);
    let cores = cores()?;
    let riding = Rules { config: Config::desktop().crypto(Crypto::with_aead(ring_aead())), keep: Keep::Memory };
    let apart = Rules { config: riding.config.acknowledge_ms_max(0), ..riding };
    let stored = Rules { keep: Keep::Disk, ..apart };
    let (mut mio, mut smol) = (Series::default(), Series::default());
    for _ in 0..BLOCKS {
        for (library, series) in [(Library::Mio, &mut mio), (Library::Smol, &mut smol)] {
            let bare = bare(library, cores, rounds)?;
            series.bare.push(bare * 1e6);
            for (rules, ratios) in [(riding, &mut series.riding), (apart, &mut series.apart), (stored, &mut series.stored)] {
                ratios.push(nodes(library, cores, rounds, rules)? / bare);
            }
        }
    }
    let worse = |of: fn(&Series) -> &Vec<f64>| (median(of(&mio).clone()) / MIO_MAX).max(median(of(&smol).clone()) / SMOL_MAX);
    let apart = worse(|series| &series.apart);
    Ok(Measured {
        value: worse(|series| &series.riding),
        unit: "ratio / its target",
        target: 1.0,
        control: worse(|series| &series.stored),
        size: rounds * BLOCKS as u64,
        seeds: 1,
        detail: format!(
            "mio {mio}, at most {MIO_MAX}; smol {smol}, at most {SMOL_MAX}; with ring, threads pinned to two cores; an acknowledgement \
             record each way {apart:.2} of the target, which {}; control that counts: that, and kept in a store",
            if apart > 1.0 { "misses too" } else { "keeps it: on this machine it shows nothing" }
        ),
    })
}

/// How nodes play.
#[derive(Clone, Copy)]
struct Rules {
    config: Config,
    keep: Keep,
}

/// What the blocks of one library came to: microseconds, then ratios.
#[derive(Default)]
struct Series {
    bare: Vec<f64>,
    riding: Vec<f64>,
    apart: Vec<f64>,
    stored: Vec<f64>,
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [bare, riding, apart, stored] = [&self.bare, &self.riding, &self.apart, &self.stored].map(|values| median(values.clone()));
        write!(f, "{riding:.2} of {bare:.1} µs ({apart:.2} with an acknowledgement record each way, {stored:.2} if kept in a store)")
    }
}

/// Two cores that this process may use.
#[cfg(target_os = "linux")]
fn cores() -> Result<[usize; 2], String> {
    let allowed = sched_getaffinity(None).map_err(|why| why.to_string())?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    cores.next().zip(cores.next()).map(|(one, other)| [one, other]).ok_or_else(|| "two cores are needed".into())
}

/// Keeps this thread on one core.
#[cfg(target_os = "linux")]
fn pin(core: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}

/// Elsewhere the system places the threads.
#[cfg(not(target_os = "linux"))]
fn cores() -> Result<[usize; 2], String> {
    if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) { Ok([0, 1]) } else { Err("two cores are needed".into()) }
}

#[cfg(not(target_os = "linux"))]
fn pin(_: usize) -> io::Result<()> {
    Ok(())
}

/// Runs `work` on a thread that stays on one core.
fn pinned<R: std::marker::Send + 'static>(
    core: usize,
    work: impl FnOnce() -> io::Result<R> + std::marker::Send + 'static,
) -> Result<JoinHandle<io::Result<R>>, String> {
    let started = thread::Builder::new().spawn(move || {
        pin(core)?;
        work()
    });
    started.map_err(|why| why.to_string())
}

fn join<R>(running: JoinHandle<io::Result<R>>) -> Result<R, String> {
    running.join().map_err(|_| "a thread of the measurement panicked")?.map_err(|why| why.to_string())
}

/// Seconds of a round trip without nodes.
fn bare(library: Library, [here, there]: [usize; 2], rounds: u64) -> Result<f64, String> {
    let (ours, theirs) = connected().map_err(|why| why.to_string())?;
    let (server, returner) = match library {
        Library::Mio => (pinned(here, move || on_mio(ours, Some(rounds)))?, pinned(there, move || on_mio(theirs, None))?),
        Library::Smol => (
            pinned(here, move || smol::block_on(on_smol(ours, Some(rounds))))?,
            pinned(there, move || smol::block_on(on_smol(theirs, None)))?,
        ),
    };
    let took = join(server)?;
    join(returner)?;
    Ok(took.as_secs_f64())
}

fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    for stream in [&ours, &theirs] {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
    }
    Ok((ours, theirs))
}

/// What one end knows of a game with `rounds` to play, or of one in which it only plays back.
struct Game {
    rounds: Option<u64>,
    played: u64,
    clock: Clock,
    begun: Time,
    /// What each run of [`RUN`] rounds took, in seconds.
    runs: Vec<f64>,
}

impl Game {
    fn new(rounds: Option<u64>) -> Self {
        Self { rounds, played: 0, clock: Clock::start(), begun: Time::ZERO, runs: Vec::new() }
    }

    /// The ball has come: what a round takes, if this was the last one.
    fn on_ball(&mut self) -> Option<Duration> {
        self.played += 1;
        if self.played.is_multiple_of(u64::from(RUN)) {
            let now = self.clock.now();
            if self.played > WARM_UP {
                self.runs.push(now.since(self.begun).as_secs_f64());
            }
            self.begun = now;
        }
        (self.rounds.map(|rounds| rounds + WARM_UP) == Some(self.played))
            .then(|| Duration::from_secs_f64(median(std::mem::take(&mut self.runs)) / f64::from(RUN)))
    }
}

/// One end on mio: waits for an edge, then reads until there is nothing, as mio asks for.
fn on_mio(stream: TcpStream, rounds: Option<u64>) -> io::Result<Duration> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(256));
    let mut stream = mio::net::TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(0), Interest::READABLE | Interest::WRITABLE)?;
    let (mut buffer, mut game, mut come) = (vec![0; READ_BYTES], Game::new(rounds), 0);
    let ball = [b'x'; WIRE_BYTES];
    if rounds.is_some() {
        stream.write_all(&ball)?;
    }
    loop {
        poll.poll(&mut events, None)?;
        loop {
            match stream.read(&mut buffer) {
                // The other end has had enough.
                Ok(0) => return Ok(Duration::ZERO),
                Ok(length) => come += length,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(why) => return Err(why),
            }
        }
        if come == WIRE_BYTES {
            come = 0;
            if let Some(took) = game.on_ball() {
                return Ok(took);
            }
            stream.write_all(&ball)?;
        }
    }
}

/// One end on smol.
async fn on_smol(stream: TcpStream, rounds: Option<u64>) -> io::Result<Duration> {
    let mut stream = Async::new(stream)?;
    let (mut buffer, mut game, mut come) = (vec![0; READ_BYTES], Game::new(rounds), 0);
    let ball = [b'x'; WIRE_BYTES];
    if rounds.is_some() {
        stream.write_all(&ball).await?;
    }
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(Duration::ZERO),
            length => come += length,
        }
        if come == WIRE_BYTES {
            come = 0;
            if let Some(took) = game.on_ball() {
                return Ok(took);
            }
            stream.write_all(&ball).await?;
        }
    }
}

/// Seconds of a round trip between the applications of two nodes.
fn nodes(library: Library, [here, there]: [usize; 2], rounds: u64, rules: Rules) -> Result<f64, String> {
    let (done, took) = channel();
    let (returner_credentials, credentials) = (credentials(1)?, credentials(0)?);
    let to = returner_credentials.delegation().user();
    let setup = |credentials| Setup::bind((Ipv4Addr::LOCALHOST, 0), rules.config, credentials).map_err(|why| why.to_string());
    let returner = Player { game: Game::new(None), serves: None, keep: rules.keep, done: done.clone() };
    let (returner, at) = play(library, there, setup(returner_credentials)?, returner)?;
    let server = Player { game: Game::new(Some(rounds)), serves: Some((to, at)), keep: rules.keep, done };
    let (server, _) = play(library, here, setup(credentials)?, server)?;
    let took = took.recv_timeout(PATIENCE).map_err(|_| "the round trips did not end in time");
    for Running { thread, stop } in [server, returner] {
        stop();
        join(thread)?;
    }
    Ok(took?.as_secs_f64())
}

struct Running {
    thread: JoinHandle<io::Result<()>>,
    stop: Box<dyn FnOnce()>,
}

/// Runs a player on a core; also where its node listens.
fn play(library: Library, core: usize, setup: Setup, player: Player) -> Result<(Running, SocketAddr), String> {
    match library {
        Library::Mio => {
            let mut runtime = AppRuntime::start_app(setup, MemoryStore::new(), player).map_err(|why| why.to_string())?;
            let (at, handle) = (runtime.local_addr(), runtime.handle());
            let thread = pinned(core, move || {
                while runtime.step(Duration::MAX)? {}
                Ok(())
            })?;
            Ok((Running { thread, stop: Box::new(move || handle.stop().unwrap_or_default()) }, at))
        }
        Library::Smol => {
            let (handle, running) = run_app(setup, MemoryStore::new(), player).map_err(|why| why.to_string())?;
            let at = handle.local_addr();
            let thread = pinned(core, move || smol::block_on(running))?;
            Ok((Running { thread, stop: Box::new(move || handle.stop().unwrap_or_default()) }, at))
        }
    }
}

/// Sends each ball back as a message of its own making.
struct Player {
    game: Game,
    /// To whom and where, if it begins.
    serves: Option<(UserId, SocketAddr)>,
    keep: Keep,
    done: Sender<Duration>,
}

#[derive(Serialize, Deserialize)]
struct Ball<'a> {
    number: u64,
    text: &'a str,
}

impl Player {
    fn throw(&self, cx: &mut AppCx<'_>, to: UserId, ball: &Ball<'_>) {
        if let Ok(message) = Message::new("ball", ball) {
            // A refused one shows as a block that never ends.
            let _ = cx.command(Send::new(to, message).keep(self.keep));
        }
    }
}

impl App for Player {
    fn on_start(&mut self, cx: &mut AppCx<'_>, _: Saved) {
        if let Some((to, at)) = self.serves {
            let _ = cx.command(Command::introduce(to, [at.into()]));
            self.throw(cx, to, &Ball { number: 0, text: &"x".repeat(TEXT_BYTES) });
        }
    }

    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice) {
        let Notice::Message(received) = notice else { return };
        let Ok(ball) = received.parse::<Ball<'_>>() else { return };
        // Only the ball that is awaited counts.
        if ball.number != self.game.played || ball.text.len() != TEXT_BYTES {
            return;
        }
        match self.game.on_ball() {
            Some(took) => drop(self.done.send(took)),
            None => {
                let number = ball.number + u64::from(self.serves.is_some());
                self.throw(cx, received.from.user, &Ball { number, text: ball.text });
            }
        }
    }
}
