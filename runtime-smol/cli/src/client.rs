//! The verbs' side of the control socket: they speak with the node that runs, or run one as long as they last.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use smol::future::or;
use smol::io::AsyncWriteExt as _;

use crate::fail::Fail;
use crate::proto::{Fault, Hello, LINE_BYTES_MAX, Line, Lines, PROTOCOL};
use crate::run::{Place, Running};
use crate::serve::{self, Lock, Reader, Writer};
use crate::signal;

/// How long another process may take to start or to end its node (guess: what one may take to read its store).
const BUSY_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile (guess: at once, to a person).
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A message as it is told is a little longer than as it was sent.
const TOLD_BYTES_MAX: usize = 2 * LINE_BYTES_MAX;

/// Either the right to run the node, or a connection with the one that runs.
pub(crate) enum Found {
    Free(Lock),
    /// With the line that it greeted with.
    Taken(Lines<Reader>, Writer, Value),
}

/// The folder of a place. It is made with the device's keys, for its owner only.
pub(crate) fn made(place: &Place) -> Result<PathBuf, Fail> {
    let folder = place.data.folder()?;
    place.data.open_device()?;
    Ok(folder)
}

/// Looks for the node of a folder until there is one, or none.
pub(crate) async fn find(place: &Place) -> Result<Found, Fail> {
    let folder = made(place)?;
    let look = async {
        loop {
            if let Some((lines, writer, hello)) = greeted(&folder).await? {
                return Ok(Found::Taken(lines, writer, hello));
            }
            if let Some(lock) = Lock::try_take(&folder)? {
                return Ok(Found::Free(lock));
            }
            smol::Timer::after(LOOK_EVERY).await;
        }
    };
    in_time(&folder, look).await
}

/// Waits until the node of a folder that was asked to end has ended, and everything is free, or another one's that has waited.
pub(crate) async fn ended(folder: &Path) -> Result<(), Fail> {
    let look = async {
        // What is asked to end greets nobody any more.
        while Lock::try_take(folder)?.is_none() && greeted(folder).await?.is_none() {
            smol::Timer::after(LOOK_EVERY).await;
        }
        Ok(())
    };
    in_time(folder, look).await
}

async fn in_time<T>(folder: &Path, look: impl Future<Output = Result<T, Fail>>) -> Result<T, Fail> {
    let late = async {
        smol::Timer::after(BUSY_MAX).await;
        let (secs, advice) = (BUSY_MAX.as_secs(), "is it stopped or stuck? End it, then try again");
        Err(Fail::failed(format!("another process holds {} and has not answered for {secs} s: {advice}", folder.display())))
    };
    or(look, late).await
}

/// A connection with the node of a folder, and the line that it greeted with; `None` if none runs, or one is about to end,
/// which does not greet any more.
async fn greeted(folder: &Path) -> Result<Option<(Lines<Reader>, Writer, Value)>, Fail> {
    let wrong = |why| Fail::failed(format!("the node of {} cannot be spoken with: {}", folder.display(), overcom_std::advice(&why)));
    let Some((reader, writer)) = serve::connect(folder).await.map_err(wrong)? else { return Ok(None) };
    let mut lines = Lines::new(reader, TOLD_BYTES_MAX);
    let Ok(mut hello) = read(&mut lines).await else { return Ok(None) };
    match hello.get_mut("error").map(Value::take) {
        // It has no room for another session, and says so in the place of a greeting.
        Some(fault) => Err(fault_of(fault)?.into()),
        None => Ok(Some((lines, writer, hello))),
    }
}

/// A session with a node, from a verb's side.
pub(crate) struct Client {
    lines: Lines<Reader>,
    writer: Writer,
    asked: u64,
    /// Notices that came while an answer was waited for.
    notices: VecDeque<Value>,
    /// Whose node it is.
    user: String,
    /// The node, if it is run for this verb.
    own: Option<Running>,
}

impl Client {
    /// Reaches the node of this place, or runs it.
    async fn open(place: &Place) -> Result<Self, Fail> {
        let (own, lines, writer, hello) = match find(place).await? {
            Found::Taken(lines, writer, hello) => (None, lines, writer, hello),
            Found::Free(lock) => {
                let own = Running::start(place, lock, || Ok(None)).await?;
                let Found::Taken(lines, writer, hello) = find(place).await? else {
                    return Err(Fail::failed("the node that was started for this has ended; try again"));
                };
                (Some(own), lines, writer, hello)
            }
        };
        let hello: Hello = serde_json::from_value(hello.get("hello").cloned().unwrap_or_default())
            .map_err(|_| Fail::failed("what runs on this folder does not greet as a node does; bring both programs to the same version"))?;
        if hello.protocol != PROTOCOL {
            let (theirs, ours) = (hello.protocol, PROTOCOL);
            return Err(Fail::failed(format!("the node that runs speaks version {theirs}, this program {ours}: restart it with this one")));
        }
        if let Some(app) = place.app.as_ref().filter(|app| app.as_str() != hello.app) {
            return Err(Fail::usage(format!("the node that runs speaks in the app {}, not {app}: stop it, or leave --app out", hello.app)));
        }
        Ok(Self { lines, writer, asked: 0, notices: VecDeque::new(), user: hello.user, own })
    }

    /// Does `work` in a session with the node of this place, and ends the session however that goes.
    pub(crate) async fn with<T>(place: &Place, work: impl AsyncFnOnce(&mut Self) -> Result<T, Fail>) -> Result<T, Fail> {
        let mut client = signal::unless_asked(Self::open(place)).await?;
        let done = signal::unless_asked(work(&mut client)).await;
        let closed = client.close(done.as_ref().is_err_and(Fail::is_asked)).await;
        match (done, closed) {
            (Ok(done), closed) => closed.map(|()| done),
            // Why the node has ended says more than that it has.
            (Err(why), Err(cause)) if !why.is_asked() => Err(cause),
            (Err(why), _) => Err(why),
        }
    }

    /// The same for whoever only looks: a place that keeps nobody is refused.
    pub(crate) async fn with_kept<T>(place: &Place, work: impl AsyncFnOnce(&mut Self) -> Result<T, Fail>) -> Result<T, Fail> {
        place.data.kept()?;
        Self::with(place, work).await
    }

    /// Reaches the node of this folder if one runs.
    pub(crate) async fn of_running(folder: &Path) -> Result<Option<Self>, Fail> {
        let Some((lines, writer, hello)) = in_time(folder, greeted(folder)).await? else { return Ok(None) };
        let user = hello["hello"]["user"].as_str().unwrap_or_default().to_owned();
        Ok(Some(Self { lines, writer, asked: 0, notices: VecDeque::new(), user, own: None }))
    }

    /// The id of whose node it is.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Whether the node runs for this verb only.
    pub(crate) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&mut self, op: &str, fields: impl Serialize) -> Result<Value, Fail> {
        self.ask(op, fields).await?.map_err(Fail::from)
    }

    /// Asks, and gives what is said, yes or no.
    pub(crate) async fn ask(&mut self, op: &str, fields: impl Serialize) -> Result<Result<Value, Fault>, Fail> {
        #[derive(Serialize)]
        struct Asked<'a, T> {
            id: u64,
            op: &'a str,
            #[serde(flatten)]
            fields: T,
        }
        self.asked += 1;
        let line = serde_json::to_string(&Asked { id: self.asked, op, fields }).map_err(|why| Fail::failed(why.to_string()))? + "\n";
        let gone = |why| Fail::failed(format!("the node has ended ({why}); ask again"));
        self.writer.write_all(line.as_bytes()).await.map_err(gone)?;
        self.writer.flush().await.map_err(gone)?;
        loop {
            let mut line = read(&mut self.lines).await?;
            if line.get("notice").is_some() {
                self.notices.push_back(line);
                continue;
            }
            let is_ours = line.get("id") == Some(&self.asked.into());
            // One request is open: a refusal without an id, as of a line whose id could not be read, is its answer.
            let is_nobodys = line.get("id").is_some_and(Value::is_null) && line.get("error").is_some();
            if !is_ours && !is_nobodys {
                continue;
            }
            if let Some(fault) = line.get_mut("error") {
                return Ok(Err(fault_of(fault.take())?));
            }
            return Ok(Ok(line.get_mut("ok").map(Value::take).unwrap_or_default()));
        }
    }

    /// The next notice.
    pub(crate) async fn notice(&mut self) -> Result<Value, Fail> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(notice);
            }
            let line = read(&mut self.lines).await?;
            if line.get("notice").is_some() {
                return Ok(line);
            }
        }
    }

    /// The next notice, unless it takes longer.
    pub(crate) async fn notice_within(&mut self, most: Duration) -> Result<Option<Value>, Fail> {
        let late = async {
            smol::Timer::after(most).await;
            Ok(None)
        };
        or(async { self.notice().await.map(Some) }, late).await
    }

    /// Ends the session, and the node if it is run for this verb; it stays as long as others use it, unless a signal has
    /// asked it to end.
    async fn close(mut self, is_asked: bool) -> Result<(), Fail> {
        let others = match &self.own {
            Some(_) if !is_asked => {
                self.call("status", serde_json::json!({})).await.ok().and_then(|status| status.get("sessions")?.as_u64())
            }
            _ => None,
        };
        if others.is_some_and(|sessions| sessions > 1) {
            crate::say("other commands use this node; it ends with the last of them");
        }
        let Self { lines, writer, own, .. } = self;
        drop((lines, writer));
        match own {
            Some(own) => own.leave().await,
            None => Ok(()),
        }
    }
}

fn fault_of(fault: Value) -> Result<Fault, Fail> {
    serde_json::from_value(fault).map_err(|why| Fail::failed(format!("an answer makes no sense: {why}")))
}

async fn read(lines: &mut Lines<Reader>) -> Result<Value, Fail> {
    let gone = "the node has ended; ask again";
    match lines.next().await {
        Ok(Some(Line::Text(line))) => {
            serde_json::from_slice(&line).map_err(|why| Fail::failed(format!("a line of the node makes no sense: {why}")))
        }
        Ok(Some(Line::TooLong)) => Err(Fail::failed("a line of the node is too long; read it with overcom node instead")),
        Ok(None) => Err(Fail::failed(gone)),
        Err(why) => Err(Fail::failed(format!("{gone} ({why})"))),
    }
}
