//! `sleep`: how soon the first message leaves and arrives after a device slept, and woke with dead sockets.

use std::time::Duration;

use overcom_core::{Config, Event, Message, Notice};
use overcom_simulator::{Draws, Inbox, Network, Sim, fault, millis, secs};

use crate::figure::{Measured, Size};
use crate::table::{Person, Table};
use crate::threads::each;

/// From the dial to the first message, at most (HS-3, and the round trip of TCP).
const ROUND_TRIPS_MAX: f64 = 3.5;
const DAYS_3_MS: u64 = 3 * 24 * 3_600 * 1_000;
/// When the device falls asleep: it is linked by then.
const ASLEEP: Duration = secs(5);
/// A first message takes no longer, or it is late anyway.
const PATIENCE: Duration = secs(600);
/// What the control's seconds are turned into round trips with.
const ROUND_TRIP: Duration = millis(100);

/// Time from waking to the first message's arrival, over what HS-3 and TCP allow: the worst of pauses between a second and
/// three days. The control's device is not told that its sockets are new, and believes in its link.
pub(crate) fn sleep(size: Size) -> Result<Measured, String> {
    let seeds = size.of(60, 1_000, 10_000);
    let trips = each(seeds, trial)?;
    let worst = trips.iter().copied().fold(0.0, f64::max);
    let mean = trips.iter().sum::<f64>() / trips.len() as f64;
    let (told, untold) = (woken(true)?, woken(false)?);
    if told > Duration::ZERO {
        return Err(format!("a table without delay takes {told:?} for a message"));
    }
    Ok(Measured {
        value: worst / ROUND_TRIPS_MAX,
        unit: "of the time allowed",
        target: 1.0,
        control: untold.as_secs_f64() / ROUND_TRIP.as_secs_f64() / ROUND_TRIPS_MAX,
        size: seeds,
        seeds,
        detail: format!(
            "at most {worst:.2} round trips of {ROUND_TRIPS_MAX}, {mean:.2} in the mean; control: {} s until the message arrives when nobody \
             says that the sockets are new",
            untold.as_secs()
        ),
    })
}

/// One pause; the round trips until the first message is there.
fn trial(seed: u64) -> Result<f64, String> {
    let mut draws = Draws::new(seed, "sleep", &[]);
    let delay = millis(5 + draws.below(96));
    // As many of seconds as of hours and of days.
    let pause = millis((1_000_u64 << draws.below(19)).min(DAYS_3_MS) + draws.below(1_000));
    let says_goodbye = draws.below(2) == 0;
    let mut sim = Sim::new(seed);
    let [phone, friend] = sim.nodes(["phone", "friend"], Inbox::new);
    sim.network(Network { jitter_us: 0, ..Network::default().delay(delay) });
    sim.introduce(phone, [friend]);
    let bad = |why: &dyn std::fmt::Display| format!("seed {seed}: {why}");
    sim.send_at(secs(1), phone, friend, "note", "1").map_err(|why| bad(&why))?;
    let awake = ASLEEP + pause;
    if says_goodbye {
        sim.at(ASLEEP, fault::suspend(phone));
        sim.at(awake, fault::wake(phone));
    } else {
        sim.at(ASLEEP, fault::pause(phone));
        sim.at(awake, fault::rebind(phone, None));
        sim.at(awake, fault::resume(phone));
    }
    sim.send_at(awake, phone, friend, "note", "2").map_err(|why| bad(&why))?;
    sim.until(awake + PATIENCE);
    sim.run_until(awake).map_err(|why| bad(&why))?;
    loop {
        let world = sim.world().map_err(|why| bad(&why))?;
        match world.app(friend).map_or(0, |inbox| inbox.messages().len()) {
            1 => {}
            2 => {
                let took = world.now().since(overcom_core::Time::ZERO + awake);
                return Ok(took.as_secs_f64() / (2 * delay).as_secs_f64());
            }
            messages => return Err(format!("seed {seed}: {messages} messages after {pause:?}")),
        }
        if !sim.step().map_err(|why| bad(&why))? {
            return Err(format!("seed {seed}: the message never arrived after {pause:?}"));
        }
    }
}

/// How long a message takes on a table without delay when the sender's pipes have silently died, and it is told so or not.
fn woken(is_told: bool) -> Result<Duration, String> {
    let mut table = Table::new(1, |_, _| {});
    table.linked_pair(Config::desktop(), [&Person::draw(1, 0)?, &Person::draw(1, 1)?])?;
    table.pass(secs(20));
    table.deafen(0);
    let at = table.seats[0].at;
    if is_told {
        table.tell(0, Event::addresses(&[at], true));
    }
    let arrived = std::rc::Rc::new(std::cell::Cell::new(false));
    let seen = std::rc::Rc::clone(&arrived);
    table.reader = Box::new(move |seat, notice| seen.set(seen.get() || seat == 1 && matches!(notice, Notice::Message(_))));
    let (user, start) = (table.user(1)?, table.now);
    table.send_kept(0, user, Message::new("note", &2).map_err(|why| why.to_string())?).map_err(|why| why.to_string())?;
    table.run();
    while !arrived.get() && table.now.since(start) < PATIENCE {
        table.pass(secs(1));
    }
    Ok(table.now.since(start))
}
