//! `poison`: what a node takes as content it also takes inside everything that carries it.

use std::cell::RefCell;
use std::rc::Rc;

use overcom_core::{Config, Message, Notice, Rng, fuzz};

use crate::figure::{Measured, Size};
use crate::table::{Person, Table, seed_of};

/// Where mutation begins: every kind of value, at depths and with escapes that walkers get wrong.
const CORPUS: &[&str] = &[
    r#"{"type":"bla","payload":{"a":[1,2,{"b":null}],"c":"\u00e9\n"}}"#,
    r#"[[[[[[[[[["deep"]]]]]]]]]]"#,
    r#"{"a":1,"b":{"a":2,"aa":[true,false,null,-7,9007199254740991]}}"#,
    r#"["\ud83d\ude00","\\\"","\/","\b\f\r\t",""]"#,
    r#"{"":{"":{"":[]}},"k":"0123456789abcdefghijklmnopqrstuvwxyz"}"#,
    r#"[0,-0,1,10,100,4503599627370496,1.5,1e9,-1E-3]"#,
    "\"pl\u{e4}in \u{1F600} text\"",
];
/// What mutation puts in.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\u{0}",
    "\\u0000",
    "\\ud800",
    "\"a\":1,",
    "1e999",
    "9007199254740993",
    "-0",
    "\u{feff}",
    "\\u0061",
    "null",
    "[[[[[[[[",
    "]]]]]]]]",
    "\u{2028}",
];

/// Contents that were accepted bare and refused in an envelope: by core's own walkers, and as a message on a link between
/// two nodes. The control has a plain JSON reader at the door, which leaves contents as they are.
pub(crate) fn poison(size: Size) -> Result<Measured, String> {
    let contents = size.of(100_000, 1_000_000, 10_000_000);
    let got = Rc::new(RefCell::new(Vec::new()));
    let reader = Rc::clone(&got);
    let mut table = Table::new(1, move |seat, notice| {
        if let (1, Notice::Message(message)) = (seat, notice) {
            reader.borrow_mut().push(message.payload().to_string());
        }
    });
    table.linked_pair(Config::test(), [&Person::draw(1, 0)?, &Person::draw(1, 1)?])?;
    let user = table.user(1)?;
    let mut rng = Rng::from_seed(&seed_of(1, 0)).fork("poison", 0);
    let (mut poisoned, mut control, mut accepted) = (0_u32, 0_u32, 0_u64);
    for _ in 0..contents {
        let content = mutated(&mut rng);
        poisoned += u32::from(!(fuzz::line(&content) && fuzz::strict(&content)));
        let Ok(text) = std::str::from_utf8(&content) else { continue };
        poisoned += u32::from(is_poisoned(text, by_core));
        control += u32::from(is_poisoned(text, by_plain_json));
        let Ok(message) = Message::from_text("poison", text) else { continue };
        accepted += 1;
        let sent = message.payload().to_string();
        table.send(0, user, message).map_err(|why| why.to_string())?;
        table.run();
        if got.borrow_mut().pop().as_deref() != Some(sent.as_str()) {
            poisoned += 1;
        }
    }
    let faults = table.seats[1].node().map_or(0, |node| node.stats().faults);
    Ok(Measured {
        value: f64::from(poisoned) + faults as f64,
        unit: "contents",
        target: 0.0,
        control: f64::from(control),
        size: contents,
        seeds: 1,
        detail: format!(
            "{accepted} accepted contents went over a link unchanged; control: a plain JSON reader at the door, whose contents are refused \
             in an envelope"
        ),
    })
}

/// Whether what this door lets in, as it hands it on, is refused in an envelope.
fn is_poisoned(text: &str, door: fn(&str) -> Option<String>) -> bool {
    door(text).is_some_and(|content| !fuzz::carried(content.as_bytes()))
}

fn by_core(text: &str) -> Option<String> {
    Message::from_text("poison", text).ok().map(|message| message.payload().to_string())
}

fn by_plain_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(text).ok().map(|_| text.to_string())
}

/// A content of the corpus, changed in one to four places.
fn mutated(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = pick(rng, CORPUS).as_bytes().to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        match rng.below(4) {
            0 => drop(bytes.splice(at..at, pick(rng, PIECES).bytes())),
            1 => bytes.truncate(at),
            2 => {
                let end = at + rng.below((bytes.len() - at) as u64 + 1) as usize;
                let again: Vec<u8> = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
        }
    }
    bytes
}

fn pick(rng: &mut Rng, from: &'static [&'static str]) -> &'static str {
    from[rng.below(from.len() as u64) as usize]
}
