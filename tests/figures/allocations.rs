//! `allocations`: how often core asks for memory while messages pass.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Config, Message, Notice};

use crate::figure::{Measured, Size};
use crate::table::{Person, Table};

/// Messages that are sent before the nodes turn.
const BATCH: u64 = 64;
/// Messages before counting begins, so that queues have their size.
const WARM_UP: u64 = 4_096;
/// Messages of the control.
const CONTROL_MESSAGES: u64 = 20_000;
/// What the sender may ask for, a message.
const SENDER_MAX: f64 = 0.01;

/// Allocations of both nodes per delivered message, while timers run; at most 0.01 of them at the sender, so that what an
/// acknowledgement does is covered. The control never gives a written packet back, so that each write asks for another.
pub(crate) fn allocations(size: Size) -> Result<Measured, String> {
    let messages = size.of(20_000, 100_000, 1_000_000);
    let (sender, reader) = counted(messages, true)?;
    let without = counted(CONTROL_MESSAGES, false)?;
    Ok(Measured {
        value: value(sender, reader),
        unit: "allocations/message",
        target: 1.0,
        control: value(without.0, without.1),
        size: messages,
        seeds: 1,
        detail: format!(
            "reader {reader:.4} a message, sender with its acknowledgements {sender:.4}; \
             control: no packet is given back, reader {:.4}, sender {:.4}",
            without.1, without.0
        ),
    })
}

/// A sender that allocates more than 0.01 a message misses by that much, whatever the reader saves.
fn value(sender: f64, reader: f64) -> f64 {
    reader + sender.max(SENDER_MAX) - SENDER_MAX + if sender > SENDER_MAX { 1.0 } else { 0.0 }
}

/// What the sender and the reader of so many messages allocate for one.
fn counted(messages: u64, recycles: bool) -> Result<(f64, f64), String> {
    let delivered = Rc::new(Cell::new(0));
    let counter = Rc::clone(&delivered);
    let mut table = Table::new(1, move |_, notice| {
        if matches!(notice, Notice::Delivered { device: None, .. }) {
            counter.set(counter.get() + 1);
        }
    });
    table.recycles = recycles;
    table.linked_pair(Config::desktop(), [&Person::draw(1, 0)?, &Person::draw(1, 1)?])?;
    send(&mut table, WARM_UP)?;
    let before = delivered.get();
    for seat in &mut table.seats {
        seat.allocations = 0;
    }
    table.is_metered = true;
    send(&mut table, messages)?;
    table.is_metered = false;
    let arrived: u64 = delivered.get() - before;
    if arrived != messages {
        return Err(format!("{arrived} of {messages} messages were delivered"));
    }
    let [sender, reader] = [0, 1].map(|seat: usize| table.seats[seat].allocations as f64 / messages as f64);
    Ok((sender, reader))
}

/// Sends so many messages of 300 bytes.
fn send(table: &mut Table, messages: u64) -> Result<(), String> {
    let user = table.user(1)?;
    let text = "x".repeat(230);
    for number in 0..messages {
        let message = Message::new("text", &(number, &text)).map_err(|why| why.to_string())?;
        table.send(0, user, message).map_err(|why| why.to_string())?;
        if number % BATCH == BATCH - 1 {
            table.pass(Duration::from_millis(30));
        }
    }
    table.pass(Duration::from_secs(1));
    Ok(())
}
