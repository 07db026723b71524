//! From journals to lines: who tells what, and what is told once.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::journal::{Asked, Happened, Step, Told};
use super::super::observed::{Observed, Said};
use super::names::{Names, Who};
use super::{Detail, Ladder, Rung, RungKind};
use crate::{CloseReason, Tag, Time};

/// Every line that the ladder's detail shows.
pub(super) fn all(ladder: &Ladder) -> Vec<Rung> {
    let mut rows = Rows {
        ladder,
        names: Names::new(ladder),
        tags: BTreeMap::new(),
        pending: BTreeMap::new(),
        downs: BTreeMap::new(),
        rungs: Vec::new(),
    };
    for (at, teller, what) in ladder.merged() {
        match what {
            Happened::Asked { what, tag } => rows.asked(at, teller, what, *tag),
            Happened::Told(told) => rows.told(at, teller, told),
            Happened::Said(observed) => rows.said(at, teller, observed),
            Happened::Did(step) => rows.did(at, teller, *step),
        }
    }
    rows.rungs
}

struct Rows<'a> {
    ladder: &'a Ladder,
    names: Names<'a>,
    /// What a node's tag asked for.
    tags: BTreeMap<(usize, Tag), (String, Who)>,
    /// Messages from one to another that are not acknowledged.
    pending: BTreeMap<(Who, Who), BTreeSet<u64>>,
    /// How many ends of links each side of a pair has told.
    downs: BTreeMap<(Who, Who), u64>,
    rungs: Vec<Rung>,
}

/// A line before it has names.
struct Draft<'a> {
    at: Time,
    teller: usize,
    from: Who,
    to: Option<Who>,
    kind: RungKind,
    /// Up to the place of `about`, then what comes after it.
    text: (&'a str, &'a str),
    about: Option<Who>,
    payload: Option<&'a str>,
}

impl Rows<'_> {
    fn asked(&mut self, at: Time, teller: usize, what: &Asked, tag: Option<Tag>) {
        let (text, about, payload): (String, _, _) = match what {
            Asked::Send { to, kind, payload } => (format!("send {kind} to "), Some(*to), payload.as_deref()),
            Asked::Find(user) => ("find ".into(), Some(*user), None),
            Asked::Introduce(user) => ("introduce ".into(), Some(*user), None),
            Asked::Forget(user) => ("forget ".into(), Some(*user), None),
            Asked::Enter => ("enter".into(), None, None),
            Asked::Renew => ("renew".into(), None, None),
            Asked::Revoke => ("revoke".into(), None, None),
            Asked::Invite => ("invite".into(), None, None),
            Asked::Join(user) => ("join ".into(), Some(*user), None),
            Asked::Withdraw => ("withdraw".into(), None, None),
            Asked::Publish => ("publish".into(), None, None),
            Asked::Locate(user) => ("locate ".into(), Some(*user), None),
            Asked::Suspend => ("suspend".into(), None, None),
        };
        let about = about.map(|user| self.names.user(user));
        if let (Some(tag), Some(about)) = (tag, about) {
            let wish = match what {
                Asked::Send { kind, .. } => format!("{kind} to "),
                Asked::Find(_)
                | Asked::Introduce(_)
                | Asked::Forget(_)
                | Asked::Enter
                | Asked::Renew
                | Asked::Revoke
                | Asked::Invite
                | Asked::Join(_)
                | Asked::Withdraw
                | Asked::Publish
                | Asked::Locate(_)
                | Asked::Suspend => text.clone(),
            };
            self.tags.insert((teller, tag), (wish, about));
        }
        let tail = if tag.is_some() { "" } else { " (refused)" };
        let draft = Draft::at(at, teller, RungKind::Command, (&text, tail));
        self.push(draft.about(about).payload(payload), &[Detail::App, Detail::Wire]);
    }

    fn told(&mut self, at: Time, teller: usize, told: &Told) {
        let app: &[Detail] = &[Detail::App, Detail::Wire];
        let every: &[Detail] = &[Detail::App, Detail::Link, Detail::Wire];
        let notice = |text| Draft::at(at, teller, RungKind::Notice, text);
        match told {
            Told::Got { from, kind, payload } => {
                let (text, from) = (format!("got {kind} from "), self.names.peer(*from));
                let draft = Draft::at(at, teller, RungKind::Got, (&text, ""));
                self.push(draft.about(Some(from)).payload(payload.as_deref()), every);
            }
            Told::Delivered(tag) => self.of_tag(at, teller, *tag, " delivered", app),
            Told::Failed(tag, why) => self.of_tag(at, teller, *tag, &format!(" failed ({})", words(&format!("{why:?}"))), every),
            Told::Found(_, peer) => {
                let peer = self.names.peer(*peer);
                self.push(notice(("found ", "")).about(Some(peer)), app);
            }
            Told::Invited(_) => self.push(notice(("has an invitation", "")), app),
            Told::Joined(_, peer) => {
                let peer = self.names.peer(*peer);
                self.push(notice(("joined ", "")).about(Some(peer)), app);
            }
            Told::JoinedBy(peer) => {
                let peer = self.names.peer(*peer);
                self.push(notice(("joined by ", "")).about(Some(peer)), app);
            }
            Told::Located(peer) => {
                let peer = self.names.peer(*peer);
                self.push(notice(("located ", "")).about(Some(peer)), app);
            }
            Told::Refused(why) => {
                let text = format!("pipe refused ({})", reason(*why));
                self.push(Draft::at(at, teller, RungKind::Link, (&text, "")), &[Detail::Link, Detail::Wire]);
            }
            Told::Wanted(by, _) => {
                let by = self.names.peer(*by);
                self.push(notice(("wanted by ", "")).about(Some(by)), app);
            }
            Told::Expired => self.push(notice(("delegation over", "")), every),
            Told::Revoked => self.push(notice(("revoked", "")), every),
            Told::Renewed => self.push(notice(("renewed", "")), every),
            Told::Stopped => self.push(notice(("stopped", "")), every),
            Told::Quiet => self.push(notice(("asleep", "")), every),
        }
    }

    fn did(&mut self, at: Time, teller: usize, step: Step) {
        let text = match step {
            Step::Listens => "listens",
            Step::LooksUp => "looks a name up",
            Step::Dials => "dials",
            Step::Opened => "has a pipe, and proves itself",
            Step::Accepted => "is dialled, and has them prove themselves",
            Step::Unanswered => "met nobody",
        };
        self.push(Draft::at(at, teller, RungKind::Wire, (text, "")), &[Detail::Wire]);
    }

    fn of_tag(&mut self, at: Time, teller: usize, tag: Tag, tail: &str, details: &[Detail]) {
        // A tag of an earlier life is not in the journal.
        let (wish, about) = self.tags.get(&(teller, tag)).cloned().map_or((String::from("something"), None), |(w, a)| (w, Some(a)));
        self.push(Draft::at(at, teller, RungKind::Notice, (&wish, tail)).about(about), details);
    }

    fn said(&mut self, at: Time, teller: usize, observed: &Observed) {
        let (me, other) = (Who::Journal(teller), self.names.link_peer(observed.with));
        let (from, to) = if observed.outward { (me, other) } else { (other, me) };
        if let Said::Down(why) = observed.what {
            self.down(at, teller, (from, to), other, why);
            return;
        }
        // Told by who did it, if its journal tells at all.
        if !observed.outward && self.tells(other) {
            return;
        }
        let link: &[Detail] = &[Detail::Link, Detail::Wire];
        let wire: &[Detail] = &[Detail::Wire];
        let draft = |kind, text| Draft { from, to: Some(to), ..Draft::at(at, teller, kind, text) };
        match &observed.what {
            Said::Up => self.push(draft(RungKind::Link, ("link up", "")), link),
            Said::Message { kind, number } => {
                let is_new = self.pending.entry((from, to)).or_default().insert(*number);
                let text = format!("message {kind}");
                self.push(draft(RungKind::Message, (&text, if is_new { "" } else { " again" })), link);
            }
            Said::Acknowledged { upto } => self.acknowledged(*upto, &draft(RungKind::Acknowledged, ("acknowledged", ""))),
            Said::Search { wanted, .. } => {
                let wanted = self.names.user(*wanted);
                self.push(draft(RungKind::Search, ("search ", "")).about(Some(wanted)), link);
            }
            Said::SearchAnswer { status } => {
                let text = format!("search answer {status}");
                self.push(draft(RungKind::Search, (&text, "")), if *status >= 400 { link } else { wire });
            }
            Said::Join => self.push(draft(RungKind::Wire, ("join", "")), link),
            Said::Joined { status: 200 } => self.push(draft(RungKind::Wire, ("joined", "")), link),
            Said::Joined { status } => self.push(draft(RungKind::Wire, (&format!("join refused ({status})"), "")), link),
            Said::Bind => self.push(draft(RungKind::Wire, ("bind", "")), wire),
            Said::Bound { status: 200 } => self.push(draft(RungKind::Wire, ("bound", "")), wire),
            Said::Bound { status: 202 } => self.push(draft(RungKind::Wire, ("bind kept, port not reached", "")), wire),
            Said::Bound { status } => self.push(draft(RungKind::Wire, (&format!("bind refused ({status})"), "")), wire),
            Said::Device => self.push(draft(RungKind::Wire, ("device record", "")), wire),
            Said::Hello => self.push(draft(RungKind::Wire, ("hello", "")), wire),
            Said::Ping => self.push(draft(RungKind::Wire, ("ping", "")), wire),
            Said::Pong => self.push(draft(RungKind::Wire, ("pong", "")), wire),
            Said::Delegation => self.push(draft(RungKind::Wire, ("delegation", "")), wire),
            Said::Revocation => self.push(draft(RungKind::Wire, ("revocation", "")), wire),
            Said::Close(why) => self.push(draft(RungKind::Wire, (&format!("close ({})", reason(*why)), "")), wire),
            Said::Down(_) => {}
        }
    }

    /// One line for each message that it takes, so that it does not show which acknowledgements travelled as one.
    fn acknowledged(&mut self, upto: u64, draft: &Draft<'_>) {
        let (Some(sender), acknowledger) = (draft.to, draft.from) else { return };
        if self.ladder.detail == Detail::Wire {
            self.push(Draft { text: (&format!("acknowledged up to {upto}"), ""), ..*draft }, &[Detail::Wire]);
            return;
        }
        let pending = self.pending.entry((sender, acknowledger)).or_default();
        let later = upto.checked_add(1).map(|next| pending.split_off(&next)).unwrap_or_default();
        let taken = core::mem::replace(pending, later);
        for _ in taken {
            self.push(Draft { ..*draft }, &[Detail::Link]);
        }
    }

    /// Both sides tell the end of a link; the later word is left out. Nobody's fault stands in the names' order.
    fn down(&mut self, at: Time, teller: usize, (from, to): (Who, Who), other: Who, why: CloseReason) {
        let (me, lost) = (Who::Journal(teller), why == CloseReason::Lost);
        let mine = self.downs.entry((me, other)).or_default();
        *mine = mine.saturating_add(1);
        let mine = *mine;
        if self.downs.get(&(other, me)).is_some_and(|theirs| *theirs >= mine) {
            return;
        }
        let (from, to) = if lost && self.names.show(to) < self.names.show(from) { (to, from) } else { (from, to) };
        let text = format!("link down ({})", reason(why));
        self.push(Draft { from, to: Some(to), ..Draft::at(at, teller, RungKind::Link, (&text, "")) }, &[Detail::Link, Detail::Wire]);
    }

    fn tells(&self, who: Who) -> bool {
        match who {
            Who::Journal(index) => self.ladder.journals.get(index).is_some_and(|journal| self.ladder.tells(journal)),
            Who::User(_) | Who::Service(_) | Who::Unproven => false,
        }
    }

    fn push(&mut self, draft: Draft<'_>, details: &[Detail]) {
        if !details.contains(&self.ladder.detail) {
            return;
        }
        let about = draft.about.map(|who| self.names.show(who));
        let (before, after) = draft.text;
        self.rungs.push(Rung {
            at: draft.at,
            told_by: self.names.show(Who::Journal(draft.teller)),
            from: self.names.show(draft.from),
            to: draft.to.map(|who| self.names.show(who)),
            kind: draft.kind,
            text: format!("{before}{}{after}", about.as_deref().unwrap_or_default()),
            about,
            payload: draft.payload.filter(|_| self.ladder.payloads).map(Box::from),
        });
    }
}

impl<'a> Draft<'a> {
    const fn at(at: Time, teller: usize, kind: RungKind, text: (&'a str, &'a str)) -> Self {
        Self { at, teller, from: Who::Journal(teller), to: None, kind, text, about: None, payload: None }
    }

    fn about(self, about: Option<Who>) -> Self {
        Self { about, ..self }
    }

    fn payload(self, payload: Option<&'a str>) -> Self {
        Self { payload, ..self }
    }
}

fn reason(why: CloseReason) -> String {
    if let CloseReason::Unknown(status) = why { format!("unknown {status}") } else { words(&format!("{why:?}")) }
}

/// `WrongPeer` as `wrong peer`: the reasons' own names, which are under semantic versioning.
fn words(camel: &str) -> String {
    let mut text = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && text.ends_with(|last: char| last.is_ascii_lowercase()) {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}
