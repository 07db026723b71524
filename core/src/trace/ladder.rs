//! The ladder: what happened between nodes as text that people read in a diff (spec: TRACE-7).
//!
//! One line an event, names instead of keys, no column, index, time, size or payload unless asked for. So an event more
//! is a line more, and a shift of times changes nothing.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::journal::{Happened, Journal};
use super::replay::{Builds, ReplayError, replay};
use crate::{Time, UserId};

mod names;
mod rows;
mod show;

/// What happened at one or several nodes, in one order; `Display` writes it.
///
/// ```text
/// bob -> alice: link up
/// bob -> alice: message bla
/// alice: got bla from bob
/// alice -> bob: acknowledged
/// ```
///
/// What passes between two nodes stands once: told by the one who did it, if its journal is here. The order is that of
/// times, then of names; each node's own order is kept. In a simulation that order is total. Across real machines, whose
/// clocks differ, look at one node at a time with [`per_node`](Self::per_node).
///
/// # What a snapshot may rely on
///
/// The lines of [`Detail::App`] and [`Detail::Link`] are under semantic versioning: they change with a step that may break,
/// and a line marked "(trace)" in the changelog says so. [`Detail::Wire`] is not: a keep-alive more may change it at any time.
///
/// # Where it comes from
///
/// A simulation hands its ladder out; a recording of any shell becomes one by [`of_recordings`](Self::of_recordings); a
/// [`Driver`](crate::Driver) that is [`observed`](crate::Driver::observed) has a journal, and journals become one by
/// [`of`](Self::of). The text is the same for the same happenings.
///
/// Making text costs O(n log n) in the number of entries.
#[derive(Clone, Debug)]
pub struct Ladder {
    journals: Vec<Journal>,
    /// Whose journals tell; empty means all. The others only lend their names.
    tellers: Vec<Box<str>>,
    nodes: Vec<Box<str>>,
    between: Option<(Box<str>, Box<str>)>,
    only: Option<RungKind>,
    until: Option<Box<str>>,
    renamed: Vec<(UserId, Box<str>)>,
    detail: Detail,
    times: Option<Grain>,
    payloads: bool,
    art: bool,
}

/// How much a ladder shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// What applications asked for and were told. Stable: under semantic versioning.
    App,
    /// Links that came and went, what was said on them for an application, and what applications got. The default.
    /// Stable: under semantic versioning.
    #[default]
    Link,
    /// Every line that was said, greetings and keep-alives too, and the steps before a link: who listens, dials and is dialled. Depends on timing, and changes between versions: look at it,
    /// do not commit it.
    Wire,
}

/// How fine times are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grain {
    /// 0.000001 s.
    Micros,
    /// 0.001 s.
    Millis,
    /// 0.1 s.
    Tenths,
    /// 1 s.
    Seconds,
}

/// What kind of line it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RungKind {
    /// An application asked for something.
    Command,
    /// A link came, went, or was refused.
    Link,
    /// A message on a link.
    Message,
    /// An acknowledgement.
    Acknowledged,
    /// A search or its answer.
    Search,
    /// An application got a message.
    Got,
    /// An application was told something else.
    Notice,
    /// What only [`Detail::Wire`] shows.
    Wire,
}

/// One line of a ladder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Rung {
    /// When, in the time of whoever tells it.
    pub at: Time,
    /// Whose journal tells it.
    pub told_by: String,
    /// Who did it.
    pub from: String,
    /// To whom, if it passed between two nodes.
    pub to: Option<String>,
    /// What kind it is.
    pub kind: RungKind,
    /// What it was.
    pub text: String,
    /// The third party, or the sender or receiver that the text names.
    pub about: Option<String>,
    /// The payload, if the journal kept it and the ladder was asked for payloads.
    pub payload: Option<Box<str>>,
}

impl Ladder {
    /// Of these nodes' journals. Lives of one node, journals of the same name and device, are put together in their order.
    pub fn of(journals: impl IntoIterator<Item = Journal>) -> Self {
        let mut all: Vec<Journal> = Vec::new();
        for journal in journals {
            match all.iter_mut().find(|other| other.is_of(&journal)) {
                Some(earlier) => earlier.append(journal),
                None => all.push(journal),
            }
        }
        Self {
            journals: all,
            tellers: Vec::new(),
            nodes: Vec::new(),
            between: None,
            only: None,
            until: None,
            renamed: Vec::new(),
            detail: Detail::default(),
            times: None,
            payloads: false,
            art: false,
        }
    }

    /// Of the recordings in a text, of mio, smol, the simulator or a shell of one's own. Costs what [`replay`] costs.
    ///
    /// # Errors
    /// As [`replay`].
    pub fn of_recordings(text: &str, builds: Builds) -> Result<Self, ReplayError> {
        Ok(Self::of(replay(text, builds)?.into_iter().map(|replay| replay.journal)))
    }

    /// Only what passes among these nodes or happens at one of them; they are columns in this order.
    #[must_use]
    pub fn nodes<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.nodes = names.into_iter().map(Box::from).collect();
        self
    }

    /// Only what passes between these two, and what one was told about the other.
    #[must_use]
    pub fn between(mut self, a: &str, b: &str) -> Self {
        self.between = Some((a.into(), b.into()));
        self
    }

    /// Only lines of this kind.
    #[must_use]
    pub const fn only(mut self, kind: RungKind) -> Self {
        self.only = Some(kind);
        self
    }

    /// Up to the first line that holds `text`, with it; everything if there is none.
    #[must_use]
    pub fn until(mut self, text: &str) -> Self {
        self.until = Some(text.into());
        self
    }

    /// One node's view: its own lines in its own order, also what others said to it. Names are kept.
    #[must_use]
    pub fn per_node(mut self, name: &str) -> Self {
        self.tellers = [Box::from(name)].into();
        self
    }

    /// Another name for a user; without it a user whose journal is not here is `user1`, `user2`, …
    #[must_use]
    pub fn rename(mut self, user: UserId, name: &str) -> Self {
        self.renamed.push((user, name.into()));
        self
    }

    /// How much to show; default [`Detail::Link`].
    #[must_use]
    pub const fn detail(mut self, detail: Detail) -> Self {
        self.detail = detail;
        self
    }

    /// With times since the first entry, cut to this grain.
    #[must_use]
    pub const fn times(mut self, grain: Grain) -> Self {
        self.times = Some(grain);
        self
    }

    /// With the payloads that the journals kept.
    #[must_use]
    pub const fn payloads(mut self) -> Self {
        self.payloads = true;
        self
    }

    /// As columns and arrows: for a failure's report, not for snapshots, since one event more can shift every line.
    #[must_use]
    pub const fn art(mut self) -> Self {
        self.art = true;
        self
    }

    /// The lines as values.
    pub fn rungs(&self) -> Vec<Rung> {
        let mut rungs = rows::all(self);
        rungs.retain(|rung| self.keeps(rung));
        if let Some(until) = &self.until
            && let Some(last) = rungs.iter().position(|rung| rung.to_string().contains(&**until))
        {
            rungs.truncate(last.saturating_add(1));
        }
        rungs
    }

    /// How many lines there are of each kind, one kind a line, in a fixed order.
    pub fn summary(&self) -> String {
        show::summary(&self.rungs())
    }

    /// How many entries did not fit into the journals, so that their lines are missing.
    pub fn dropped(&self) -> u64 {
        self.journals.iter().fold(0, |sum, journal| sum.saturating_add(journal.dropped()))
    }

    /// As a sequence diagram for Mermaid.
    pub fn mermaid(&self) -> String {
        show::mermaid(&self.columns(), &self.rungs())
    }

    fn keeps(&self, rung: &Rung) -> bool {
        let is_in = |name: &str| self.nodes.is_empty() || self.nodes.iter().any(|node| **node == *name);
        let among = is_in(&rung.from) && rung.to.as_deref().is_none_or(is_in);
        let pair = self.between.as_ref().is_none_or(|(a, b)| {
            let other = rung.to.as_deref().or(rung.about.as_deref());
            (rung.from == **a && other == Some(&**b)) || (rung.from == **b && other == Some(&**a))
        });
        among && pair && self.only.is_none_or(|kind| kind == rung.kind)
    }

    /// The names that stand as columns: those asked for, else the journals' and then others as they appear.
    fn columns(&self) -> Vec<String> {
        if !self.nodes.is_empty() {
            return self.nodes.iter().map(ToString::to_string).collect();
        }
        let mut columns: Vec<String> = self.journals.iter().map(|journal| journal.name.to_string()).collect();
        for rung in self.rungs() {
            for name in [Some(rung.from), rung.to].into_iter().flatten() {
                if !columns.contains(&name) {
                    columns.push(name);
                }
            }
        }
        columns
    }

    fn tells(&self, journal: &Journal) -> bool {
        self.tellers.is_empty() || self.tellers.contains(&journal.name)
    }

    /// The tellers' entries in one order: by time, then by name, each journal in its own order.
    fn merged(&self) -> Vec<(Time, usize, &Happened)> {
        let mut all = Vec::new();
        for (index, journal) in self.journals.iter().enumerate().filter(|(_, journal)| self.tells(journal)) {
            // A clock that went back must not turn a journal's own order round.
            let mut at = Time::ZERO;
            for entry in &journal.entries {
                at = at.max(entry.at);
                all.push((at, index, &entry.what));
            }
        }
        let name = |index: usize| self.journals.get(index).map(|journal| &*journal.name);
        all.sort_by(|(a, i, _), (b, j, _)| a.cmp(b).then_with(|| name(*i).cmp(&name(*j))));
        all
    }
}
