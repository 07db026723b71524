//! `ladder-diff`: what one event more, and a shift of all times, change in a ladder.

use std::time::Duration;

use overcom_core::trace::{Asked, Builds, Detail, Entry, Happened, Journal, Ladder, Observed, Said, Step, Told, replay};
use overcom_core::{CloseReason, DeviceId, FailReason, LinkPeer, Peer, SearchId, Tag, Time, UserId};
use overcom_simulator::{Inbox, Network, Scenario, Sim, fault, millis, secs};
use serde_json::Value;

use crate::figure::{Measured, Size};

const SCENARIO: &str = include_str!("../scenarios/overcom.json");
/// Lists every kind of event that there is.
const FACE: &str = include_str!("../../core/API.txt");
const SHIFT: Duration = Duration::from_millis(1);
/// A number and a tag that no run comes to.
const UNUSED: u64 = 1 << 40;
const DETAILS: [Detail; 2] = [Detail::App, Detail::Link];

/// Cases in which a ladder changed otherwise than promised: one event more is one line more (none at a detail that does not
/// show it), all times a millisecond later is no line. Events go in at every place of recordings. The control is the
/// same cases in a raw trace, whose lines have numbers and times.
pub(crate) fn ladder_diff(size: Size) -> Result<Measured, String> {
    let seeds = size.of(1, 10, 100);
    let nobody = Peer { user: UserId::from_bytes([8; 32]), device: DeviceId::from_bytes([8; 16]) };
    let forgotten = forgotten(FACE, &kinds(nobody));
    if !forgotten.is_empty() {
        return Err(format!("ladder-diff: no event is of these kinds: {}", forgotten.join(", ")));
    }
    let mut found = Found::default();
    for seed in 0..seeds {
        for sim in [example(seed, Duration::ZERO)?, rough(seed)?] {
            let journals = journals(sim)?;
            found.insert_everywhere(&journals)?;
            found.shift(&journals)?;
        }
        found.shift_scenario(seed)?;
    }
    let Found { cases, missed, missed_raw, lines } = found;
    Ok(Measured {
        value: missed as f64,
        unit: "cases",
        target: 0.0,
        control: missed_raw as f64,
        size: cases,
        seeds,
        detail: format!(
            "{cases} events of every kind that core's face lists, and shifts, in ladders of {lines} lines in all; control: those that change more in a raw trace with numbers \
             and times"
        ),
    })
}

/// How many lines of a text change: those that differ once what is the same at both ends is taken away.
pub(crate) fn changed(before: &[String], after: &[String]) -> usize {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[same..], &after[same..]);
    let same = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    before.len().max(after.len()) - same
}

#[derive(Default)]
struct Found {
    cases: u64,
    missed: u64,
    missed_raw: u64,
    lines: u64,
}

impl Found {
    /// Every kind of event at every place of every journal.
    fn insert_everywhere(&mut self, journals: &[Journal]) -> Result<(), String> {
        let values = journals.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())?;
        let peers = values.iter().map(peer).collect::<Result<Vec<_>, _>>()?;
        let before = DETAILS.map(|detail| text(journals, detail));
        let plain = raw(journals)?;
        self.lines += before.iter().map(|lines| lines.len() as u64).sum::<u64>();
        for teller in 0..journals.len() {
            let other = (teller + 1) % journals.len();
            let entries = journals[teller].entries();
            for place in 0..=entries.len() {
                let at = entries.get(place).or(entries.last()).map_or(Time::ZERO, |entry| entry.at);
                for kind in kinds(peers[other]) {
                    let mut all = journals.to_vec();
                    all[teller] = with(&values[teller], place, &Entry { at, what: kind.what })?;
                    if let Some(what) = kind.told_too {
                        let there = journals[other].entries().partition_point(|entry| entry.at <= at);
                        let mut what = what;
                        what.with = Some(LinkPeer::User(peers[teller]));
                        all[other] = with(&values[other], there, &Entry { at, what: Happened::Said(what) })?;
                    }
                    let is_kept = DETAILS.iter().zip(&before).zip(kind.lines).all(|((detail, before), lines)| {
                        let after = text(&all, *detail);
                        changed(before, &after) == lines && after.len() == before.len() + lines
                    });
                    self.cases += 1;
                    self.missed += u64::from(!is_kept);
                    self.missed_raw += u64::from(changed(&plain, &raw(&all)?) > 1);
                }
            }
        }
        Ok(())
    }

    /// All times of a recording's journals later.
    fn shift(&mut self, journals: &[Journal]) -> Result<(), String> {
        let later = journals.iter().map(shifted).collect::<Result<Vec<_>, _>>()?;
        let is_kept = DETAILS.iter().all(|detail| changed(&text(journals, *detail), &text(&later, *detail)) == 0);
        self.cases += 1;
        self.missed += u64::from(!is_kept);
        self.missed_raw += u64::from(changed(&raw(journals)?, &raw(&later)?) > 0);
        Ok(())
    }

    /// All steps of a scenario later, and the whole run once more.
    fn shift_scenario(&mut self, seed: u64) -> Result<(), String> {
        let run = |by| {
            let mut sim = example(seed, by)?;
            sim.run().map_err(|why| why.to_string())?;
            Ok::<_, String>(DETAILS.map(|detail| lines(&sim.ladder().detail(detail).to_string())))
        };
        self.cases += 1;
        self.missed += u64::from(run(Duration::ZERO)? != run(SHIFT)?);
        Ok(())
    }
}

/// One event more, and how many lines it is at each of the details.
struct Kind {
    what: Happened,
    /// What the other end tells of it.
    told_too: Option<Observed>,
    lines: [usize; 2],
}

/// Events of every kind at a node, most of them on a link with another one whose journal is there.
fn kinds(other: Peer) -> Vec<Kind> {
    [said_kinds(other), told_kinds(other), asked_kinds(other)].into_iter().flatten().collect()
}

fn said_kinds(other: Peer) -> Vec<Kind> {
    let stranger = UserId::from_bytes([9; 32]);
    let observed = |outward, what| Observed { with: Some(LinkPeer::User(other)), outward, what };
    let said = |what, link| Kind { what: Happened::Said(observed(true, what)), told_too: None, lines: [0, link] };
    let message = || Said::Message { kind: "more".into(), number: UNUSED };
    let idle = || Said::Down(CloseReason::Idle);
    vec![
        said(Said::Up, 1),
        said(Said::Hello, 0),
        said(message(), 1),
        // What the other end said it tells itself.
        Kind { what: Happened::Said(observed(false, message())), ..said(message(), 0) },
        // Of nothing that waits; those that take something are in every recording.
        said(Said::Acknowledged { upto: 0 }, 0),
        said(Said::Search { wanted: stranger, searcher: other.user }, 1),
        said(Said::SearchAnswer { status: 404 }, 1),
        said(Said::SearchAnswer { status: 202 }, 0),
        said(Said::Join, 1),
        said(Said::Joined { status: 200 }, 1),
        said(Said::Joined { status: 410 }, 1),
        said(Said::Bind, 0),
        said(Said::Bound { status: 200 }, 0),
        said(Said::Bound { status: 202 }, 0),
        said(Said::Bound { status: 409 }, 0),
        said(Said::Device, 0),
        said(Said::Ping, 0),
        said(Said::Pong, 0),
        said(Said::Delegation, 0),
        said(Said::Revocation, 0),
        said(Said::Close(CloseReason::Idle), 0),
        Kind { told_too: Some(observed(false, idle())), ..said(idle(), 1) },
    ]
}

fn told_kinds(other: Peer) -> Vec<Kind> {
    let tag = Tag::new(UNUSED);
    let told = |what, app, link| Kind { what: Happened::Told(what), told_too: None, lines: [app, link] };
    vec![
        told(Told::Got { from: other, kind: "more".into(), payload: None }, 1, 1),
        told(Told::Delivered(tag), 1, 0),
        told(Told::Failed(tag, FailReason::Ended), 1, 1),
        told(Told::Found(tag, other), 1, 0),
        told(Told::Located(other), 1, 0),
        told(Told::Invited(tag), 1, 0),
        told(Told::Joined(tag, other), 1, 0),
        told(Told::JoinedBy(other), 1, 0),
        told(Told::Refused(CloseReason::Lost), 0, 1),
        told(Told::Wanted(other, SearchId::from_bytes([9; 16])), 1, 0),
        told(Told::Expired, 1, 1),
        told(Told::Revoked, 1, 1),
        told(Told::Renewed, 1, 1),
        told(Told::Stopped, 1, 1),
        told(Told::Quiet, 1, 1),
    ]
}

fn asked_kinds(other: Peer) -> Vec<Kind> {
    let (stranger, tag) = (UserId::from_bytes([9; 32]), Tag::new(UNUSED));
    let asked = |what, tag| Kind { what: Happened::Asked { what, tag }, told_too: None, lines: [1, 0] };
    let did = |step| Kind { what: Happened::Did(step), told_too: None, lines: [0, 0] };
    vec![
        asked(Asked::Send { to: stranger, kind: "more".into(), payload: None }, Some(tag)),
        // Refused.
        asked(Asked::Find(other.user), None),
        asked(Asked::Find(other.user), Some(tag)),
        asked(Asked::Locate(other.user), Some(tag)),
        asked(Asked::Publish, Some(tag)),
        asked(Asked::Introduce(other.user), Some(tag)),
        asked(Asked::Forget(stranger), Some(tag)),
        asked(Asked::Enter, Some(tag)),
        asked(Asked::Renew, Some(tag)),
        asked(Asked::Revoke, Some(tag)),
        asked(Asked::Invite, Some(tag)),
        asked(Asked::Join(other.user), Some(tag)),
        asked(Asked::Withdraw, Some(tag)),
        asked(Asked::Suspend, Some(tag)),
        // Only the finest detail, which this figure does not look at, shows these.
        did(Step::Listens),
        did(Step::LooksUp),
        did(Step::Dials),
        did(Step::Opened),
        did(Step::Accepted),
        did(Step::Unanswered),
    ]
}

/// The kinds of one of the enums that core's face lists and that no event here is of.
fn forgotten(face: &str, kinds: &[Kind]) -> Vec<String> {
    let names: Vec<String> = kinds.iter().map(|kind| name_of(&kind.what)).collect();
    let listed = face.lines().filter_map(|line| {
        let (of, rest) = line.strip_prefix("trace::")?.split_once(": ")?;
        let kind = rest.split(' ').next()?;
        let is_kind = ["Said", "Told", "Asked", "Step"].contains(&of) && kind.starts_with(|first: char| first.is_ascii_uppercase());
        is_kind.then(|| format!("{of} {kind}"))
    });
    listed.filter(|kind| !names.contains(kind)).collect()
}

/// As core's face calls it: the enum and the kind.
fn name_of(what: &Happened) -> String {
    let (of, text) = match what {
        Happened::Said(observed) => ("Said", format!("{:?}", observed.what)),
        Happened::Told(told) => ("Told", format!("{told:?}")),
        Happened::Asked { what, .. } => ("Asked", format!("{what:?}")),
        Happened::Did(step) => ("Step", format!("{step:?}")),
        other => ("Happened", format!("{other:?}")),
    };
    let kind: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
    format!("{of} {kind}")
}

/// The example that Overcom began with, each step later by so much.
fn example(seed: u64, later: Duration) -> Result<Sim, String> {
    let mut scenario = Scenario { seed, ..Scenario::from_json(SCENARIO).map_err(|why| why.to_string())? };
    let later = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
    scenario.steps.iter_mut().for_each(|step| step.at_ms += later);
    scenario.until_ms = scenario.until_ms.map(|until| until + later);
    Sim::from_scenario(scenario).map_err(|why| why.to_string())
}

/// Three nodes that talk on a bad network, one with new sockets on the way: links fall, messages come again.
fn rough(seed: u64) -> Result<Sim, String> {
    let mut sim = Sim::new(seed);
    let [alice, bob, eve] = sim.nodes(["alice", "bob", "eve"], Inbox::new);
    sim.introduce(alice, [bob]);
    sim.introduce(eve, [bob]);
    sim.network(Network::default().loss_ppm(20_000));
    for n in 0..4 {
        for (from, to) in [(alice, bob), (eve, alice), (bob, eve)] {
            sim.send_at(secs(1) + millis(n * 700), from, to, "note", &n.to_string()).map_err(|why| why.to_string())?;
        }
    }
    sim.at(secs(2), fault::rebind(bob, Some(7_600)));
    sim.at(secs(3), fault::partition_one_way([alice], [bob]));
    sim.at(secs(4), fault::heal());
    sim.until(secs(40));
    Ok(sim)
}

/// What the nodes of a run understood, from their recordings.
fn journals(mut sim: Sim) -> Result<Vec<Journal>, String> {
    sim.record();
    let report = sim.run().map_err(|why| why.to_string())?;
    if let Some(failure) = report.failure {
        return Err(format!("{}: {}", failure.check, failure.detail));
    }
    let replays = replay(&sim.trace(), Builds::Same).map_err(|why| why.to_string())?;
    Ok(replays.into_iter().map(|replay| replay.journal).collect())
}

fn peer(journal: &Value) -> Result<Peer, String> {
    serde_json::from_value(journal["me"].clone()).map_err(|why| why.to_string())
}

/// The journal with an entry more.
fn with(journal: &Value, place: usize, entry: &Entry) -> Result<Journal, String> {
    let mut journal = journal.clone();
    let entry = serde_json::to_value(entry).map_err(|why| why.to_string())?;
    journal["entries"].as_array_mut().ok_or("a journal has entries")?.insert(place, entry);
    serde_json::from_value(journal).map_err(|why| why.to_string())
}

fn shifted(journal: &Journal) -> Result<Journal, String> {
    let mut journal = serde_json::to_value(journal).map_err(|why| why.to_string())?;
    for entry in journal["entries"].as_array_mut().ok_or("a journal has entries")? {
        let at: Time = serde_json::from_value(entry["at"].clone()).map_err(|why| why.to_string())?;
        entry["at"] = serde_json::to_value(at + SHIFT).map_err(|why| why.to_string())?;
    }
    serde_json::from_value(journal).map_err(|why| why.to_string())
}

fn text(journals: &[Journal], detail: Detail) -> Vec<String> {
    lines(&Ladder::of(journals.to_vec()).detail(detail).to_string())
}

/// Every entry as it is, one a line, numbered.
fn raw(journals: &[Journal]) -> Result<Vec<String>, String> {
    let entries = journals.iter().flat_map(Journal::entries).enumerate();
    entries.map(|(number, entry)| Ok(format!("{number} {}", serde_json::to_string(entry).map_err(|why| why.to_string())?))).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_no_event_is_of_is_named() {
        let nobody = Peer { user: UserId::from_bytes([8; 32]), device: DeviceId::from_bytes([8; 16]) };
        let mut all = kinds(nobody);
        assert_eq!(forgotten(FACE, &all), Vec::<String>::new());
        all.retain(|kind| !matches!(&kind.what, Happened::Told(Told::Stopped)));
        assert_eq!(forgotten(FACE, &all), ["Told Stopped"]);
        assert_eq!(forgotten("trace::Said: Unheard (u64)\ntrace::Said: #[x]", &all), ["Said Unheard"]);
    }

    #[test]
    fn what_is_the_same_at_both_ends_is_not_changed() {
        let count = |before: &str, after: &str| changed(&lines(before), &lines(after));
        assert_eq!(count("a\nb\nc", "a\nb\nc"), 0);
        assert_eq!([count("a\nb", "a\nx\nb"), count("a\na", "a\na\na"), count("a\nx\nb", "a\nb"), count("a\nb", "a\nc")], [1; 4]);
        assert_eq!(count("a\nb\nc", "x\nb\ny"), 3);
        assert_eq!(count("", "a\nb"), 2);
    }
}
