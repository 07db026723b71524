//! Starting a node on a data folder.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use overcom_core::{Address, AppId, Config, Notice, Refusal, Undialled};
use overcom_smol::{Handle, Node};
use overcom_std::keys::{IdentityFile, write_private};
use overcom_std::sockets::{self, Bound};
use overcom_std::{Clock, RedbStore, Setup};
use smol::Task;
use smol::future::or;

use crate::book::Book;
use crate::data::{Data, app, app_of, date, delegated};
use crate::fail::Fail;
use crate::hub::{Ending, Hub, Told};
use crate::keeper::Keeper;
use crate::metrics;
use crate::proto::{Hello, PROTOCOL};
use crate::serve::{Control, Lock};
use crate::session::Entrance;
use crate::signal;

/// How long a node may take to read its store (guess: a slow disk's worst).
const START_MAX: Duration = Duration::from_secs(30);

/// A port and the end of its line.
const PORT_BYTES_MAX: u64 = 8;

/// Where everything that goes into a node is written down.
pub(crate) type Recording = Box<dyn io::Write + Send>;

/// Which node, and where it listens if it is to be run.
#[derive(Args, Clone)]
pub(crate) struct Place {
    #[command(flatten)]
    pub(crate) data: Data,
    /// The app to speak in [default: the one that this device has a delegation for, or overcom]
    #[arg(long, global = true, value_name = "APP", value_parser = app)]
    pub(crate) app: Option<AppId>,
    /// Where to listen, if no node is running yet [default: every address, the last port, else 7575, else any]
    #[arg(long, global = true, value_name = "IP:PORT", value_parser = listen)]
    pub(crate) listen: Option<SocketAddr>,
}

/// An address of this machine; 0.0.0.0 and `[::]` are all of them, and port 0 is any.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let at = socket(text)?;
    let named = SocketAddr::new(at.ip(), at.port().max(1));
    match Address::Ip(named).undialled().filter(|_| !at.ip().is_unspecified()) {
        // With its zone or without, whoever has such an address may listen on it.
        None | Some(Undialled::LinkLocal) => Ok(at),
        Some(why) => Err(format!("{why}; name an address of this machine, or leave --listen out")),
    }
}

/// `IP:PORT` or `[IPv6]:PORT`.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write IP:PORT or [IPv6]:PORT, for instance 192.0.2.1:7575; a host name cannot stand here".to_owned())
}

/// A node that runs in this process, and serves others.
pub(crate) struct Running {
    pub(crate) entrance: Entrance,
    hub: Task<Ending>,
    serving: Task<()>,
    engine: Task<io::Result<()>>,
    handle: Handle,
    metrics: Option<Task<()>>,
    /// Where others may reach it.
    pub(crate) addresses: Vec<SocketAddr>,
    _lock: Lock,
}

impl Running {
    /// Starts it. What `record` gives takes everything that goes into the node; it is asked once all files of the folder are read.
    pub(crate) async fn start(place: &Place, lock: Lock, record: impl FnOnce() -> Result<Option<Recording>, Fail>) -> Result<Self, Fail> {
        let folder = place.data.folder()?;
        let keeper = keys(place)?;
        let (credentials, book) = (keeper.credentials(), Book::open(&folder).map_err(Fail::failed)?);
        let credentials = credentials.ok_or_else(|| Fail::failed("this device has no delegation: overcom delegate makes one"))?;
        let store = RedbStore::open(folder.join("store.redb")).map_err(|why| Fail::failed(why.to_string()))?;
        let bound = bind(place, &folder)?;
        let mut hello = Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            user: credentials.delegation().user().to_string(),
            device: credentials.delegation().device().to_string(),
            app: credentials.delegation().app().to_string(),
            addresses: bound.addresses(),
        };
        hello.addresses.dedup();
        let addresses = hello.addresses.clone();
        let mut setup = Setup::new(bound, Config::desktop(), credentials);
        if let Some(recording) = record()? {
            setup = setup.record(recording);
        }
        let failed = |why: io::Error| {
            let advice = "overcom doctor looks at everything that it needs";
            Fail::failed(format!("the node cannot be started: {}; {advice}", overcom_std::advice(&why)))
        };
        let (node, running) = Node::split(setup, store).map_err(failed)?;
        let engine = smol::spawn(running);
        started(&node).await?;
        let control = Control::open(&folder, &lock).await;
        let control =
            control.map_err(|why| Fail::failed(format!("the control socket in {}: {}", folder.display(), overcom_std::advice(&why))))?;
        let handle = node.handle();
        let (hub, tell) = Hub::new(node, hello, book, keeper);
        let entrance = Entrance::new(tell);
        let serving = smol::spawn(control.serve(entrance.clone()));
        Ok(Self { entrance, hub: smol::spawn(hub.run()), serving, engine, handle, metrics: None, addresses, _lock: lock })
    }

    /// Tells whoever asks there what the node counts, as long as it runs.
    pub(crate) fn measure(&mut self, listener: TcpListener) -> Result<(), Fail> {
        let listener = smol::Async::new(listener).map_err(|why| Fail::failed(format!("the metrics cannot be served: {why}")))?;
        self.metrics = Some(smol::spawn(metrics::serve(listener.into(), self.handle.clone())));
        Ok(())
    }

    /// Waits for its end, however it comes about; a signal is a wish like any other. Everything is free when this returns.
    pub(crate) async fn ended(self) -> Result<(), Fail> {
        let asks = async {
            signal::asked().await;
            self.entrance.tell(Told::End(Ending::Asked)).await;
            smol::future::pending().await
        };
        let ending = or(self.hub, asks).await;
        // The socket goes before the lock, so that nobody who takes the lock finds it.
        self.serving.cancel().await;
        if let Some(metrics) = self.metrics {
            metrics.cancel().await;
        }
        let recorded = self.engine.await;
        match ending {
            // Why nobody could be written to is told by whoever wrote.
            Ending::Asked | Ending::Deaf => {
                recorded.map_err(|why| Fail::failed(format!("the recording could not be written: {}", overcom_std::advice(&why))))
            }
            Ending::Storage(why) => {
                let (cause, advice) = why.explain();
                Err(Fail::failed(format!("{cause}; {advice}")))
            }
            Ending::Gone => Err(Fail::failed(match recorded {
                Ok(()) => "the node has stopped by itself; start it again".to_owned(),
                Err(why) => format!("the recording could not be written: {}", overcom_std::advice(&why)),
            })),
        }
    }

    /// Ends it once nobody uses it.
    pub(crate) async fn leave(self) -> Result<(), Fail> {
        self.entrance.tell(Told::EndWhenAlone).await;
        self.ended().await
    }
}

/// This device's keys and delegation; made the first time, signed again if the identity is here and half the time is over.
fn keys(place: &Place) -> Result<Keeper, Fail> {
    let now = Clock::start().wall();
    let (mut device, identity) = (place.data.open_device()?, place.data.identity()?);
    let app = app_of(place.app.as_ref(), &device)?;
    // A delegation from elsewhere makes this device somebody's: a new identity here would take it away from them.
    let is_new = !identity.exists() && device.delegation().is_none();
    if is_new || identity.exists() {
        let file = IdentityFile::open_or_create(&identity)?;
        delegated(&mut device, &file, &app, now)?;
    }
    if is_new {
        crate::say(&format!("a new identity was made: {}", identity.display()));
    }
    let Some(delegation) = device.delegation() else {
        return Err(Fail::failed("this device has no delegation: overcom delegate makes one"));
    };
    if *delegation.app() != app {
        let (has, data) = (delegation.app(), "--name NAME keeps another device beside this one");
        return Err(Fail::usage(format!(
            "this device's delegation is for the app {has}, not {app}: have the identity sign one, or {data}"
        )));
    }
    match delegation.check_window(now) {
        Ok(()) => Ok(Keeper::new(device, identity)),
        Err(Refusal::NotYet) => Err(Fail::failed(format!(
            "it is {} by this machine's clock, but the delegation begins {}: set the clock; if it is right now: overcom id --request, and \
             have the identity sign it",
            date(now),
            date(delegation.from())
        ))),
        Err(_) => Err(Fail::failed(format!(
            "this device's delegation has ended {} (it is {} by this machine's clock): overcom id --request, and have the identity sign it",
            date(delegation.until()),
            date(now)
        ))),
    }
}

/// Where it was told to listen, or on the port by which others know it, or 7575, or anywhere. The first port is kept: one that
/// only stands in for it, while somebody else has it, is not (spec: SHELL-5).
fn bind(place: &Place, folder: &Path) -> Result<Bound, Fail> {
    let wrong = |why: sockets::BindError| Fail::failed(why.to_string());
    if let Some(local) = place.listen {
        return sockets::bind(local).map_err(wrong);
    }
    let path: PathBuf = folder.join("port");
    let before = remembered(&path);
    let bound = sockets::bind_anywhere(before).map_err(wrong)?;
    let port = bound.local.port();
    match before {
        None => write_private(&path, format!("{port}\n").as_bytes())?,
        Some(before) if before != port => {
            let lead = "what others know of this node leads there: end what has it, then start again";
            crate::say(&format!("port {before} is in use, so this node listens on {port} for now; {lead}"));
        }
        Some(_) => {}
    }
    Ok(bound)
}

/// The port of the folder, if one was kept.
fn remembered(path: &Path) -> Option<u16> {
    let mut text = String::new();
    overcom_std::open_plain(path).ok()?.take(PORT_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|port| *port != 0)
}

/// Waits until the node has read its state.
async fn started(node: &Node) -> Result<(), Fail> {
    let started = async {
        loop {
            let notice = node.receive().await;
            node.handle().taken(1);
            match notice {
                Some(Notice::Started { .. }) => return Ok(()),
                Some(Notice::Stopped { why, .. }) => {
                    let (cause, advice) = why.explain();
                    return Err(Fail::failed(format!("{cause}; {advice}")));
                }
                Some(_) => {}
                None => return Err(Fail::failed("the node has stopped while it read its store; start it again")),
            }
        }
    };
    let late = async {
        smol::Timer::after(START_MAX).await;
        let secs = START_MAX.as_secs();
        Err(Fail::failed(format!("the store was not read within {secs} s; is the disk very slow? Try again")))
    };
    or(started, late).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_listens_on_addresses_of_a_machine_only() {
        for good in ["127.0.0.1:0", "0.0.0.0:7575", "[::]:0", "192.0.2.1:7575", "[fe80::1]:7575", "[fe80::1%2]:0"] {
            assert!(listen(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("224.0.0.1:5", "multicast"),
            ("255.255.255.255:5", "broadcast"),
            ("0.1.2.3:5", "nobody's"),
            ("foo:5", "IP:PORT"),
            ("192.0.2.1", "IP:PORT"),
        ] {
            assert!(listen(bad).is_err_and(|said| said.contains(why)), "{bad}");
        }
    }
}
