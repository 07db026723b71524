//! `renewal`: sixty days of weekly delegations on two linked nodes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Command, Config, Event, Message, Notice, Time, WallTime};

use crate::figure::{Measured, Size};
use crate::table::{Person, Table, WALL, delegation};

const DAY: u64 = 24 * 3_600;
const DAYS: u64 = 60;
/// How long a message may take before its time counts as without service.
const PATIENCE: Duration = Duration::from_secs(1);

/// Seconds of 60 simulated days in which a message between two nodes did not arrive within a second, one sent in every
/// interval, while both renew their week's delegation half way. The control renews nothing.
pub(crate) fn renewal(size: Size) -> Result<Measured, String> {
    let interval = size.of(600, 60, 60);
    let (value, renewed) = without_service(interval, true)?;
    let (control, _) = without_service(interval, false)?;
    Ok(Measured {
        value: value as f64,
        unit: "s",
        target: 0.0,
        control: control as f64,
        size: DAYS * DAY / interval,
        seeds: 1,
        detail: format!("{DAYS} days, {renewed} renewals, a message each {interval} s; control: no renewal"),
    })
}

/// Seconds without service, and the number of renewals.
fn without_service(interval: u64, renews: bool) -> Result<(u64, u64), String> {
    let arrived = Rc::new(Cell::new(0_u64));
    let counter = Rc::clone(&arrived);
    let mut table = Table::new(1, move |seat, notice| {
        if seat == 1 && matches!(notice, Notice::Message(_)) {
            counter.set(counter.get() + 1);
        }
    });
    let people = [Person::draw(1, 0)?, Person::draw(1, 1)?];
    table.linked_pair(Config::desktop(), [&people[0], &people[1]])?;
    let start = table.now;
    let (mut lost, mut renewals, mut due) = (0, 0, 3 * DAY + DAY / 2);
    for step in 0..DAYS * DAY / interval {
        let at = step * interval;
        let wall = WALL + Duration::from_secs(at);
        for seat in 0..people.len() {
            table.tell(seat, Event::clock(wall));
        }
        if renews && at >= due {
            due += 3 * DAY + DAY / 2;
            renewals += renew(&mut table, &people, wall)?;
        }
        let before = arrived.get();
        let user = table.user(1)?;
        let message = Message::new("text", &step).map_err(|why| why.to_string())?;
        // A node whose delegation has ended refuses: that is what is measured.
        let _ = table.send(0, user, message);
        table.pass(PATIENCE);
        lost += if arrived.get() > before { 0 } else { interval };
        let next = start + Duration::from_secs(at + interval);
        table.pass(next.since(table.now.min(next)));
    }
    if table.now < Time::from_secs(DAYS * DAY) {
        return Err(format!("the clock stands at {} after {DAYS} days", table.now));
    }
    Ok((lost, renewals))
}

fn renew(table: &mut Table, people: &[Person], wall: WallTime) -> Result<u64, String> {
    for (seat, person) in people.iter().enumerate() {
        let next = delegation(&person.identity, &person.keys, wall)?;
        table.command(seat, Command::renew(next)).map_err(|why| why.to_string())?;
    }
    Ok(people.len() as u64)
}
