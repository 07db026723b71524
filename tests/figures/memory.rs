//! `node-memory` and `idle-link-memory`: heap that goes away with a node.

use std::time::Duration;

use overcom_core::{Command, Config, Node};

use crate::figure::{Measured, Size};
use crate::meter::heap_of;
use crate::table::{Person, Table};

const KIB: f64 = 1_024.0;
/// Messages that may wait for their acknowledgements at once, less than an outbox takes.
const ACKNOWLEDGED_EACH: u64 = 1_000;
/// Links of the node in `node-memory`'s control.
const CONTROL_LINKS: u64 = 16;

/// Heap and own size of a node of the desktop profile that has started and has no links. The control has 16.
pub(crate) fn node_memory(_: Size) -> Result<Measured, String> {
    let bare = node_kib(0)?;
    Ok(Measured {
        value: bare,
        unit: "KiB",
        target: 5.0,
        control: node_kib(CONTROL_LINKS)?,
        size: 1,
        seeds: 1,
        detail: format!("own size {} bytes, the rest is heap; control: the same node with {CONTROL_LINKS} idle links", size_of::<Node>()),
    })
}

fn node_kib(links: u64) -> Result<f64, String> {
    let mut star = Star::new(links, Config::desktop())?;
    star.rest();
    let heap = star.table.unseat(0).map_or(0, heap_of);
    Ok((heap as f64 + size_of::<Node>() as f64) / KIB)
}

/// Heap of a link at the end that has all of them, 60 s after the last message, distinct peers. The other ends have one
/// link each, and with it what a node has once: they stand in the detail. The control is measured while handshakes are
/// under way, when Noise's state is still held.
pub(crate) fn idle_link_memory(size: Size) -> Result<Measured, String> {
    let links = size.of(10_000, 10_000, 50_000);
    let bare = per_link(&mut Star::new(0, roomy())?, 0.0);
    let mut star = Star::new(links, roomy())?;
    star.talk()?;
    star.rest();
    let peer = {
        let heaps: f64 = (1..=links).map(|seat| star.table.unseat(seat as usize).map_or(0, heap_of) as f64).sum();
        (heaps / links as f64 - bare) / KIB
    };
    let hub = (per_link(&mut star, bare)) / links as f64 / KIB;
    Ok(Measured {
        value: hub,
        unit: "KiB",
        target: 1.5,
        control: pending_kib(links.min(300), bare)?,
        size: links,
        seeds: 1,
        detail: format!(
            "with what is known of the peer; at an end with one link {peer:.3}; a node without links {:.3}; \
             control: pipes whose handshake is under way",
            bare / KIB
        ),
    })
}

fn roomy() -> Config {
    Config::desktop().links_user_max(65_536).pipes_pending_max(65_536).book_users_max(65_536)
}

/// The heap of the first node less what `bare` says.
fn per_link(star: &mut Star, bare: f64) -> f64 {
    star.table.unseat(0).map_or(0, heap_of) as f64 - bare
}

/// What a node holds for a pipe whose other end has said its first message and no more.
fn pending_kib(pipes: u64, bare: f64) -> Result<f64, String> {
    let mut star = Star::new(0, roomy())?;
    let peer = star.table.seat(roomy(), &Person::draw(1, 1)?)?;
    star.table.run();
    // The dialler's first write, as it was sent.
    let first = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = std::rc::Rc::clone(&first);
    star.table.tap = Some(Box::new(move |seat, _, bytes| {
        if seat == peer && seen.borrow().is_empty() {
            seen.borrow_mut().extend_from_slice(bytes);
        }
    }));
    star.table.introduce(peer, 0)?;
    let user = star.table.user(0)?;
    star.table.command(peer, Command::find(user)).map_err(|why| why.to_string())?;
    star.table.run();
    star.table.unseat(peer);
    star.table.cut_all(0);
    star.table.run();
    for _ in 0..pipes {
        let pipe = star.table.open_to(0);
        star.table.tell(0, overcom_core::Event::pipe_bytes(pipe, &first.borrow()));
        star.table.run();
    }
    Ok(per_link(&mut star, bare) / pipes as f64 / KIB)
}

/// One node and others that dialled it.
struct Star {
    table: Table,
    links: u64,
}

impl Star {
    fn new(links: u64, config: Config) -> Result<Self, String> {
        let mut table = Table::new(1, |_, _| {});
        let hub = table.seat(config, &Person::draw(1, 0)?)?;
        table.run();
        let user = table.user(hub)?;
        for number in 1..=links {
            let peer = table.seat(config, &Person::draw(1, number)?)?;
            table.run();
            table.introduce(peer, hub)?;
            table.command(peer, Command::find(user)).map_err(|why| why.to_string())?;
            table.run();
        }
        let up = table.seats[hub].node().map_or(0, |node| node.links().count() as u64);
        if up == links { Ok(Self { table, links }) } else { Err(format!("{up} of {links} links came up")) }
    }

    /// A message of a few hundred bytes each way on each link, so that buffers have been used.
    fn talk(&mut self) -> Result<(), String> {
        let hub = self.table.user(0)?;
        for number in 1..=self.links {
            let peer = self.table.user(number as usize)?;
            for (from, to) in [(number as usize, hub), (0, peer)] {
                let message = overcom_core::Message::new("text", &"x".repeat(300)).map_err(|why| why.to_string())?;
                self.table.send(from, to, message).map_err(|why| why.to_string())?;
            }
            self.table.run();
            if number.is_multiple_of(ACKNOWLEDGED_EACH) {
                self.table.pass(Duration::from_millis(50));
            }
        }
        self.table.pass(Duration::from_secs(2));
        Ok(())
    }

    fn rest(&mut self) {
        self.table.pass(Duration::from_secs(60));
    }
}
