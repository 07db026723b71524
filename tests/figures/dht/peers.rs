//! `dht-vs-peers`: Overcom beside other DHTs at the same work, by `tests/compare/run`.

use std::fmt::Write as _;
use std::process::Command;

use serde::Deserialize;

use crate::figure::{Measured, Size};
use crate::program::{ROOT, text_of};

/// What one peer has come to, as its program prints it; times in milliseconds, at the 50th, 95th and 99th percentile.
#[derive(Deserialize)]
struct Line {
    peer: String,
    start_ms: f64,
    start_packets: f64,
    put_ms: [f64; 3],
    put_packets: f64,
    first_ms: [f64; 3],
    get_packets: f64,
    lost: u32,
    operations: u32,
    used_kib: f64,
}

/// A peer that could not take part.
#[derive(Deserialize)]
struct Skipped {
    skipped: String,
    why: String,
}

/// What is compared. Of all of them less is better.
type Quantity = (&'static str, fn(&Line) -> f64);
const QUANTITIES: [Quantity; 9] = [
    ("all joined", |line| line.start_ms),
    ("put p50", |line| line.put_ms[0]),
    ("put p95", |line| line.put_ms[1]),
    ("first answer p50", |line| line.first_ms[0]),
    ("first answer p95", |line| line.first_ms[1]),
    ("packets of a put", |line| line.put_packets),
    ("packets of a get", |line| line.get_packets),
    ("memory", |line| line.used_kib),
    // As if of a thousand one more: what no peer loses counts as well.
    ("lost", |line| 1.0 + 1e3 * f64::from(line.lost) / f64::from(line.operations.max(1))),
];

/// What Overcom's part in the name of a line is, and that of the control.
const OWN: &str = "overcom ";
const CONTROL: &str = " --polled";

/// The worst of all quantities over that of each peer: time until all nodes have joined, for a write, for the first answer, packets of a write
/// and of a read, resident memory of a node, reads that found nothing. What cannot be built here is skipped and named. The control looks at its
/// sockets every 10 ms only.
pub(crate) fn peers(size: Size) -> Result<Measured, String> {
    let (nodes, operations) = (size.of(50, 200, 200), size.of(50, 100, 200));
    let mut run = Command::new(format!("{ROOT}/tests/compare/run"));
    run.args(["--nodes", &nodes.to_string(), "--operations", &operations.to_string()]);
    compared(&text_of(&mut run)?, nodes)
}

fn compared(text: &str, nodes: u64) -> Result<Measured, String> {
    let (mut own, mut control, mut others, mut words) = (None, None, Vec::new(), String::new());
    for json in text.lines().filter(|line| line.starts_with('{')) {
        if let Ok(Skipped { skipped, why }) = serde_json::from_str(json) {
            // Writing to a text cannot fail.
            let _ = write!(words, "{skipped} skipped: {why}; ");
            continue;
        }
        let line: Line = serde_json::from_str(json).map_err(|why| format!("{why} in {json}"))?;
        if !line.peer.starts_with(OWN) {
            others.push(line);
        } else if line.peer.ends_with(CONTROL) {
            control = Some(line);
        } else {
            own = Some(line);
        }
    }
    let own = own.ok_or_else(|| format!("Overcom did not do the work; {words}"))?;
    let control = control.ok_or_else(|| format!("the control did not do the work; {words}"))?;
    let (value, what, whom) = worst(&own, &others).ok_or_else(|| format!("no peer could take part; {words}"))?;
    let (slow, ..) = worst(&control, &others).unwrap_or((0.0, "", ""));
    for line in std::iter::once(&own).chain(&others) {
        let ms = |[half, most, _]: [f64; 3]| format!("{half:.1}, {most:.1}");
        let _ = write!(
            words,
            "{}: joined {:.0} ms, {:.0} packets a node, put {} ms, {:.0} packets, first answer {} ms, {:.0} packets a get, {:.0} KiB a node, {} of {} lost; ",
            line.peer,
            line.start_ms,
            line.start_packets,
            ms(line.put_ms),
            line.put_packets,
            ms(line.first_ms),
            line.get_packets,
            line.used_kib,
            line.lost,
            line.operations,
        );
    }
    let over: Vec<&str> = QUANTITIES
        .iter()
        .filter(|(_, quantity)| others.iter().any(|other| quantity(&own) > quantity(other)))
        .map(|(name, _)| *name)
        .collect();
    Ok(Measured {
        value,
        unit: "of the best peer's",
        target: 1.0,
        control: slow,
        size: nodes,
        seeds: 1,
        detail: format!(
            "{words}p50 and p95 each; the worst is {what}, against {whom}; over a peer's: {over:?}; control: sockets looked at every 10 ms"
        ),
    })
}

/// The largest ratio of any quantity to another peer's: which it is, and whose.
fn worst<'a>(own: &Line, others: &'a [Line]) -> Option<(f64, &'static str, &'a str)> {
    let ratios = others.iter().flat_map(|other| {
        QUANTITIES.iter().map(move |(name, quantity)| (quantity(own) / quantity(other).max(f64::MIN_POSITIVE), *name, other.peer.as_str()))
    });
    ratios.max_by(|a, b| a.0.total_cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(peer: &str, ms: f64, lost: u32) -> String {
        format!(
            r#"{{"peer":"{peer}","nodes":9,"operations":10,"start_ms":{ms},"start_packets":2,"put_ms":[{ms},{ms},{ms}],"put_packets":4,"put_bytes":5,"first_ms":[1,1,1],"get_ms":[1,1,1],"get_packets":6,"get_bytes":7,"lost":{lost},"fresh_kib":8,"used_kib":9,"cpu_s":1}}"#
        )
    }

    #[test]
    fn the_worst_quantity_against_the_worst_peer_counts() {
        let text = [line("overcom 1", 2.0, 0), line("a 1", 4.0, 0), line("b 1", 1.0, 0), line("overcom 1 --polled", 9.0, 0)].join("\n");
        let measured = compared(&text, 9).expect("it reads");
        assert_eq!((measured.value.to_bits(), measured.control.to_bits()), (2.0_f64.to_bits(), 9.0_f64.to_bits()));
        assert!(!measured.passes() && measured.detail.contains("all joined"), "{}", measured.detail);
    }

    #[test]
    fn whoever_is_nowhere_worse_passes_and_whoever_loses_more_does_not() {
        let text = |lost| [line("overcom 1", 1.0, lost), line("a 1", 2.0, 0), line("overcom 1 --polled", 3.0, 0)].join("\n");
        assert!(compared(&text(0), 9).expect("it reads").passes());
        assert!(!compared(&text(1), 9).expect("it reads").passes());
    }

    #[test]
    fn who_is_skipped_is_named_and_nobody_to_compare_with_is_an_error() {
        let skipped = r#"{"skipped":"a","why":"it could not be built"}"#;
        let own = [line("overcom 1", 1.0, 0), line("overcom 1 --polled", 3.0, 0), skipped.to_owned()].join("\n");
        assert!(compared(&own, 9).is_err_and(|why| why.contains("a skipped: it could not be built")));
        let text = [own, line("b 1", 1.0, 0)].join("\n");
        assert!(compared(&text, 9).is_ok_and(|measured| measured.detail.contains("a skipped")));
    }
}
