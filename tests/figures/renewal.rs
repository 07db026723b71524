//! `renewal`: sixty days of weekly delegations on two linked nodes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{AeadFns, Command, Config, Crypto, Event, Message, Notice, Time, WallTime, standard_open, standard_seal};

use crate::figure::{Measured, Size};
use crate::table::{Person, Table, WALL, delegation};

const DAY: u64 = 24 * 3_600;
const DAYS: u64 = 60;
/// How long a message may take before its time counts as without service.
const PATIENCE: Duration = Duration::from_secs(1);
/// How every line begins that says in band that a delegation is renewed.
const RENEWAL: &[u8] = b"{\"delegation\":{";
/// Half of a delegation's life: when it is renewed.
const RENEWED_EACH: u64 = 3 * DAY + DAY / 2;

/// Seconds of 60 simulated days without service, while both of two linked nodes renew their week's delegation half way: an
/// interval counts if its message did not arrive within a second, or if a link went down in it. Dialling again costs no time
/// on this table, and elsewhere it does. Both renew in the control too, but neither hears it of the other on the link: what
/// would say so leaves as pongs that nobody waits for.
pub(crate) fn renewal(size: Size) -> Result<Measured, String> {
    // Less than the ten minutes after which a link that nobody uses ends.
    let interval = size.of(540, 60, 60);
    let said = without_service(interval, Config::desktop())?;
    let unsaid = Crypto::with_aead(AeadFns { seal: seal_without_renewals, open: standard_open });
    let control = without_service(interval, Config::desktop().crypto(unsaid))?;
    if control.renewals != said.renewals {
        return Err(format!("{} renewals, and {} in the control", said.renewals, control.renewals));
    }
    let first = control.first_lost.map_or_else(String::new, |at| format!(", the first on day {:.2}", at as f64 / DAY as f64));
    Ok(Measured {
        value: said.lost as f64,
        unit: "s",
        target: 0.0,
        control: control.lost as f64,
        size: DAYS * DAY / interval,
        seeds: 1,
        detail: format!(
            "{DAYS} days, {} renewals, a message each {interval} s, {} links down; control: renewed, but not said in band: {} links \
             down{first}",
            said.renewals, said.downs, control.downs
        ),
    })
}

/// How sixty days went.
#[derive(Default)]
struct Days {
    /// Seconds without service.
    lost: u64,
    /// When it was first missed, in seconds.
    first_lost: Option<u64>,
    renewals: u64,
    /// Ends of links that went down.
    downs: u64,
}

fn without_service(interval: u64, config: Config) -> Result<Days, String> {
    let (arrived, downs) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0_u64)));
    let (counter, fallen) = (Rc::clone(&arrived), Rc::clone(&downs));
    let mut table = Table::new(1, move |seat, notice| {
        if seat == 1 && matches!(notice, Notice::Message(_)) {
            counter.set(counter.get() + 1);
        }
        if matches!(notice, Notice::LinkDown { .. }) {
            fallen.set(fallen.get() + 1);
        }
    });
    let people = [Person::draw(1, 0)?, Person::draw(1, 1)?];
    table.linked_pair(config, [&people[0], &people[1]])?;
    let start = table.now;
    let (mut days, mut due) = (Days::default(), RENEWED_EACH);
    for step in 0..DAYS * DAY / interval {
        let at = step * interval;
        let wall = WALL + Duration::from_secs(at);
        let before = (arrived.get(), downs.get());
        for seat in 0..people.len() {
            table.tell(seat, Event::clock(wall));
        }
        if at >= due {
            due += RENEWED_EACH;
            days.renewals += renew(&mut table, &people, wall)?;
        }
        let user = table.user(1)?;
        let message = Message::new("text", &step).map_err(|why| why.to_string())?;
        // A node that cannot send refuses: that is what is measured.
        let _ = table.send(0, user, message);
        table.pass(PATIENCE);
        let is_there = arrived.get() > before.0;
        let next = start + Duration::from_secs(at + interval);
        table.pass(next.since(table.now.min(next)));
        if !is_there || downs.get() > before.1 {
            days.lost += interval;
            days.first_lost.get_or_insert(at);
        }
    }
    if table.now < Time::from_secs(DAYS * DAY) {
        return Err(format!("the clock stands at {} after {DAYS} days", table.now));
    }
    days.downs = downs.get();
    Ok(days)
}

fn renew(table: &mut Table, people: &[Person], wall: WallTime) -> Result<u64, String> {
    for (seat, person) in people.iter().enumerate() {
        let next = delegation(&person.identity, &person.keys, wall)?;
        table.command(seat, Command::renew(next)).map_err(|why| why.to_string())?;
    }
    Ok(people.len() as u64)
}

/// Seals a record of which no line says that a delegation is renewed.
fn seal_without_renewals(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) {
    unsay(buffer);
    standard_seal(key, nonce, ad, buffer);
}

/// Puts pongs in the place of each such line, of its length.
fn unsay(record: &mut [u8]) {
    for line in record.split_inclusive_mut(|byte| *byte == b'\n') {
        if line.starts_with(RENEWAL) && line.ends_with(b"\n") {
            let pong = b"{\"pong\":1}\n";
            let more = line.len() % pong.len();
            // The first one has a longer number.
            let first = [b"{\"pong\":1".as_slice(), &vec![b'0'; more], b"}\n"].concat();
            let pongs: Vec<u8> = first.into_iter().chain(pong.iter().copied().cycle()).take(line.len()).collect();
            line.copy_from_slice(&pongs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_becomes_pongs_of_its_length_and_other_lines_stay() {
        for more in 0..11 {
            let renewal = format!("{{\"delegation\":{{\"content\":\"{}\"}}}}\n", "x".repeat(more));
            let mut record = format!("{{\"ping\":7}}\n{renewal}{{\"ping\":8}}\n").into_bytes();
            let length = record.len();
            unsay(&mut record);
            let text = String::from_utf8(record).unwrap();
            assert_eq!(text.len(), length);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!((lines[0], lines[lines.len() - 1]), ("{\"ping\":7}", "{\"ping\":8}"));
            assert!(lines[1..lines.len() - 1].iter().all(|line| line.strip_prefix("{\"pong\":1").is_some_and(|rest| rest.ends_with('}'))));
        }
    }
}
