//! `bind`: what somebody gets who says a device's bind again.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::fuzz::{Replay, Replays};
use overcom_core::{Command, Config, Entry, Node, PipeId};

use crate::figure::{Measured, Size};
use crate::seeds::shifted;
use crate::table::{Person, Table};

/// Recorded binds that a node which keeps the home takes: said as they are and rewritten on other links, more than ten minutes
/// later, and at nodes with other keys, while the device stays bound. In the control the node believes what a bind says of its link.
pub(crate) fn bind(size: Size) -> Result<Measured, String> {
    let count = size.of(20_000, 200_000, 1_000_000);
    let taken = replayed(count, true)?;
    let control = replayed(count.min(20_000), false)?;
    Ok(Measured {
        value: taken.all() as f64,
        unit: "replays taken",
        target: 0.0,
        control: control.all() as f64,
        size: count,
        seeds: 1,
        detail: format!(
            "of {count} replays {} as they are, {} rewritten, {} late, {} elsewhere were taken, and the device stayed bound; control: of {} \
             those {} and {} that nothing else refuses",
            taken.as_it_is,
            taken.moved,
            taken.later,
            taken.elsewhere,
            count.min(20_000),
            control.as_it_is,
            control.elsewhere
        ),
    })
}

#[derive(Default)]
struct Taken {
    as_it_is: u64,
    moved: u64,
    later: u64,
    elsewhere: u64,
}

impl Taken {
    const fn all(&self) -> u64 {
        self.as_it_is + self.moved + self.later + self.elsewhere
    }
}

fn replayed(count: u64, is_checked: bool) -> Result<Taken, String> {
    let mut replays = Replays::new(shifted(1)).ok_or("the device could not be bound")?;
    let mut taken = Taken::default();
    for _ in 0..count {
        let (way, is_taken) = replays.replay(is_checked).ok_or("the device was bound no more")?;
        let of = match way {
            Replay::Elsewhere => &mut taken.as_it_is,
            Replay::Moved => &mut taken.moved,
            Replay::Later => &mut taken.later,
            Replay::OtherTracker => &mut taken.elsewhere,
        };
        *of += u64::from(is_taken);
    }
    if is_checked && !replays.is_bound() {
        return Err("a replay has put the device out of its place".into());
    }
    Ok(taken)
}

/// What IP and TCP put before a segment, and what an acknowledgement is.
const SEGMENT: u64 = 40;
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Megabytes that a phone's links with two nodes at which it is bound take in an idle day, in both directions: each write is a
/// segment that is acknowledged by one of its own.
pub(super) fn links_mb() -> Result<f64, String> {
    let phone = 2;
    let moved = Rc::new(Cell::new(0_u64));
    let mut table = Table::new(shifted(1), |_, _| {});
    table.has_datagrams = true;
    for seat in 0..=phone {
        let config = if seat == phone { Config::mobile() } else { Config::desktop().dht_binds(0) };
        table.seat(config, &Person::draw(shifted(1), seat as u64)?)?;
    }
    table.run();
    for seat in 1..=phone {
        let entry = Entry { address: table.seats[0].at.into(), key: None };
        table.command(seat, Command::enter([entry])).map_err(|why| why.to_string())?;
    }
    table.pass(Duration::from_secs(60));
    let is_bound = |table: &Table| table.seats[phone].node().and_then(Node::dht).is_some_and(|view| view.bound_at == 2);
    if !is_bound(&table) {
        return Err("the phone is not bound twice".into());
    }
    let counted = Rc::clone(&moved);
    // What the phone writes, and what is written to it; not what the other two say to each other.
    let phone_ip = table.seats[phone].at.ip();
    let to_phone: BTreeSet<PipeId> = (0..phone)
        .filter_map(|seat| table.seats[seat].node())
        .flat_map(|node| node.links().filter(|link| link.remote.ip() == phone_ip).map(|link| link.pipe).collect::<Vec<_>>())
        .collect();
    table.tap = Some(Box::new(move |seat, pipe, bytes| {
        if seat == phone || to_phone.contains(&pipe) {
            counted.set(counted.get() + bytes.len() as u64 + 2 * SEGMENT);
        }
    }));
    table.pass(DAY);
    if !is_bound(&table) {
        return Err("the phone is bound twice no more".into());
    }
    Ok(moved.get() as f64 / 1e6)
}
