//! `allocations`: how often core asks for memory while messages pass.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Config, Message, Notice};

use crate::figure::{Measured, Size};
use crate::meter;
use crate::table::{Person, Table};

/// Messages that are sent before the nodes turn.
const BATCH: u64 = 64;
/// Messages before counting begins, so that queues have their size.
const WARM_UP: u64 = 4_096;

/// Allocations of both nodes per delivered message, while timers run; at most 0.01 of them at the sender, so that what an
/// acknowledgement does is covered. The control counts the building of the message too.
pub(crate) fn allocations(size: Size) -> Result<Measured, String> {
    let messages = size.of(20_000, 100_000, 1_000_000);
    let delivered = Rc::new(Cell::new(0));
    let counter = Rc::clone(&delivered);
    let mut table = Table::new(1, move |_, notice| {
        if matches!(notice, Notice::Delivered { device: None, .. }) {
            counter.set(counter.get() + 1);
        }
    });
    table.linked_pair(Config::desktop(), [&Person::draw(1, 0)?, &Person::draw(1, 1)?])?;
    send(&mut table, WARM_UP)?;
    let before = delivered.get();
    for seat in &mut table.seats {
        seat.allocations = 0;
    }
    table.is_metered = true;
    let built = send(&mut table, messages)?;
    table.is_metered = false;
    let arrived: u64 = delivered.get() - before;
    if arrived != messages {
        return Err(format!("{arrived} of {messages} messages were delivered"));
    }
    let [sender, reader] = [0, 1].map(|seat: usize| table.seats[seat].allocations as f64 / messages as f64);
    // A sender that allocates more than 0.01 a message misses by that much, whatever the reader saves.
    let value = reader + sender.max(0.01) - 0.01 + if sender > 0.01 { 1.0 } else { 0.0 };
    Ok(Measured {
        value,
        unit: "allocations/message",
        target: 1.0,
        control: value + built as f64 / messages as f64,
        size: messages,
        seeds: 1,
        detail: format!(
            "reader {reader:.4} a message, sender with its acknowledgements {sender:.4}; control: building messages counted too"
        ),
    })
}

/// Sends so many messages of 300 bytes; the allocations that building them took.
fn send(table: &mut Table, messages: u64) -> Result<u64, String> {
    let user = table.user(1)?;
    let text = "x".repeat(230);
    let mut built = 0;
    for number in 0..messages {
        let before = meter::allocations();
        let message = Message::new("text", &(number, &text)).map_err(|why| why.to_string())?;
        built += meter::allocations() - before;
        table.send(0, user, message).map_err(|why| why.to_string())?;
        if number % BATCH == BATCH - 1 {
            table.pass(Duration::from_millis(30));
        }
    }
    table.pass(Duration::from_secs(1));
    Ok(built)
}
