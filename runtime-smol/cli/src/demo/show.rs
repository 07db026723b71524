//! How the demo reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use overcom_core::trace::{Journal, Ladder};
use overcom_core::{Time, UserId};

use super::Ending;
use super::node::Runtime;

/// Name, user and address of each node.
pub(super) type Cast = Vec<(&'static str, UserId, SocketAddr)>;

/// Lines wait so long for earlier ones of another thread (guess: no turn takes longer, and no eye sees it).
const SETTLE: Duration = Duration::from_millis(60);

/// Standard output, line by line; or nothing, when something else is asked for.
pub(super) struct Screen {
    is_on: bool,
    /// How often each line has been shown.
    shown: BTreeMap<String, usize>,
    begun: Option<Time>,
}

impl Screen {
    pub(super) const fn new(is_on: bool) -> Self {
        Self { is_on, shown: BTreeMap::new(), begun: None }
    }

    pub(super) fn open(&self, runtime: Runtime, cast: &Cast) -> io::Result<()> {
        let mut text =
            format!("Three nodes on {}, over real sockets. None has an account or a server, only a key of its own.\n\n", runtime.name());
        for (name, user, at) in cast {
            let knows = if *name == "alice" { "knows nobody" } else { "knows only alice" };
            let _ = writeln!(text, "  {name:<6} {knows:<17} listens at {at}\n         {user}");
        }
        text += "\nBob greets Alice. Then Eve, who does not know where Bob is, has something to tell him:\n\n";
        self.write(&text)
    }

    /// Shows what has happened and was not shown: until a little before `now`, or everything.
    pub(super) fn show(&mut self, journals: &[Journal], now: Option<Time>) -> io::Result<()> {
        let (mut text, mut seen) = (String::new(), BTreeMap::new());
        for rung in Ladder::of(journals.to_vec()).rungs() {
            if now.is_some_and(|now| rung.at + SETTLE > now) {
                break;
            }
            let line = rung.to_string();
            let seen: &mut usize = seen.entry(line.clone()).or_default();
            *seen += 1;
            let shown = self.shown.entry(line).or_default();
            if *seen > *shown {
                *shown += 1;
                let since = rung.at.since(*self.begun.get_or_insert(rung.at));
                let _ = writeln!(text, "  {:>4} ms  {rung}", since.as_millis());
            }
        }
        self.write(&text)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        if !self.is_on || text.is_empty() {
            return Ok(());
        }
        crate::print(text)
    }
}

/// What came of it, for people.
pub(super) fn text(runtime: Runtime, cast: &Cast, ending: &Ending) -> String {
    let mut text = String::new();
    for (place, received) in &ending.got {
        let to = cast.get(*place).map_or("?", |(name, ..)| name);
        let (from, user) = (name_of(cast, received.from.user), received.from.user);
        let _ = write!(text, "\n  {to} got {} from {from}, who is {user}\n  {}\n", received.kind(), received.payload());
    }
    let _ = writeln!(
        text,
        "\nEve found Bob through Alice, and Bob dialled her back. Both senders are proven; all that was said was encrypted. \
         {} ms on {}.",
        ending.took.as_millis(),
        runtime.name()
    );
    text
}

/// What a recording is for.
pub(super) fn advice(path: &Path) -> String {
    format!("The same once more, from its recording: overcom-sim replay {}\n", path.display())
}

/// What came of it, for programs.
pub(super) fn json(runtime: Runtime, cast: &Cast, ladder: &Ladder, ending: &Ending) -> String {
    let lines = |ladder: Ladder| ladder.rungs().iter().map(ToString::to_string).collect::<Vec<_>>();
    let nodes: Vec<_> = cast
        .iter()
        .map(|(name, user, at)| {
            let ladder = lines(ladder.clone().per_node(name));
            serde_json::json!({ "name": name, "user": user.to_string(), "address": at.to_string(), "ladder": ladder })
        })
        .collect();
    let got: Vec<_> = ending
        .got
        .iter()
        .map(|(place, received)| {
            let by = cast.get(*place).map(|(name, ..)| name);
            let payload: serde_json::Value = serde_json::from_str(received.payload()).unwrap_or_default();
            let (from, user) = (name_of(cast, received.from.user), received.from.user.to_string());
            serde_json::json!({ "by": by, "from": from, "user": user, "type": received.kind(), "payload": payload })
        })
        .collect();
    let answer = serde_json::json!({
        "runtime": runtime.name(),
        "took_ms": u64::try_from(ending.took.as_millis()).unwrap_or(u64::MAX),
        "nodes": nodes,
        "ladder": lines(ladder.clone()),
        "got": got,
    });
    format!("{answer}\n")
}

fn name_of(cast: &Cast, user: UserId) -> &'static str {
    cast.iter().find(|(_, known, _)| *known == user).map_or("somebody", |(name, ..)| name)
}
