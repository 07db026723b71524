//! The work that every peer does, and what it is measured with: the same means for all.
//!
//! A network of nodes on loopback in one process. Then one node after the other writes a record of its own, and then each
//! of these is read by another node. What is counted is what the operating system counts, in a network namespace
//! in which nothing else runs: packets of all kinds, their bytes with headers, resident memory and CPU.

#![expect(clippy::disallowed_methods, reason = "the ruler is built without Overcom, so that no peer is charged for its clock")]

mod counters;

use std::time::{Duration, Instant};

use counters::{Traffic, cpu_seconds, resident_kib};

/// Before anything is read or written: joining and what it brings with it is over by then.
const WARM_UP: Duration = Duration::from_secs(10);
/// After each operation, so that what it still sends is counted to it. It is part of no time.
const PAUSE: Duration = Duration::from_millis(20);
/// What a peer that keeps bytes is given to keep: 37 of them.
pub const VALUE: &[u8] = br#"{"addr":["203.0.113.7",4242],"seq":1}"#;

/// A network of one kind of peer.
pub trait Peer: Sized {
    /// As it stands in the table, with the version.
    const NAME: &str;
    /// Starts so many nodes on loopback; all have joined when it returns.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn start(nodes: usize) -> Result<Self, String>;
    /// Lets time pass, in which the nodes do what they do.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn rest(&mut self, time: Duration) -> Result<(), String>;
    /// A node writes its one signed record; returns when as many have it as this peer wants.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn put(&mut self, writer: usize) -> Result<(), String>;
    /// A node reads what another one has written, checks that it is that, and says so once at the first answer that is
    /// valid. Returns when the read has ended.
    ///
    /// # Errors
    /// What went wrong, in words; that nothing was found is nothing wrong, but `first` is never called then.
    fn get(&mut self, reader: usize, writer: usize, first: &mut dyn FnMut()) -> Result<(), String>;
}

/// Measures a peer as the command line says (`NODES OPERATIONS`, and flags of the peer's own) and prints one JSON line; the exit
/// code of the program.
pub fn main<P: Peer>() -> std::process::ExitCode {
    let (flags, numbers): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let name: Vec<&str> = std::iter::once(P::NAME).chain(flags.iter().map(String::as_str)).collect();
    let number = |index: usize| numbers.get(index).and_then(|text| text.parse::<usize>().ok());
    let (Some(nodes), Some(operations)) = (number(0), number(1)) else {
        eprintln!("name the number of nodes and of operations");
        return std::process::ExitCode::from(2);
    };
    match measure::<P>(&name.join(" "), nodes, operations) {
        Ok(line) => {
            println!("{line}");
            std::process::ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{}: {why}", P::NAME);
            std::process::ExitCode::FAILURE
        }
    }
}

/// Operations of one kind.
#[derive(Default)]
struct Operations {
    millis: Vec<f64>,
    packets: Vec<f64>,
    bytes: Vec<f64>,
}

impl Operations {
    fn add(&mut self, millis: f64, traffic: Traffic) {
        self.millis.push(millis);
        self.packets.push(traffic.packets as f64);
        self.bytes.push(traffic.bytes as f64);
    }
}

fn measure<P: Peer>(name: &str, nodes: usize, operations: usize) -> Result<String, String> {
    if operations == 0 || operations > nodes {
        return Err(format!("each node writes once: 1 to {nodes} operations"));
    }
    let (empty_kib, silence, clock) = (resident_kib()?, Traffic::now()?, Instant::now());
    let mut peer = P::start(nodes)?;
    let start_ms = millis(clock);
    peer.rest(WARM_UP)?;
    let per_node = |kib: u64| kib.saturating_sub(empty_kib) as f64 / nodes as f64;
    let fresh_kib = per_node(resident_kib()?);
    let start_packets = Traffic::now()?.since(silence).packets as f64 / nodes as f64;

    let mut puts = Operations::default();
    for writer in 0..operations {
        let (before, clock) = (Traffic::now()?, Instant::now());
        peer.put(writer).map_err(|why| format!("put {writer}: {why}"))?;
        let taken = millis(clock);
        peer.rest(PAUSE)?;
        puts.add(taken, Traffic::now()?.since(before));
    }
    let (mut gets, mut firsts) = (Operations::default(), Vec::new());
    for writer in 0..operations {
        // Somebody far from the writer in the order in which they came.
        let reader = (writer + nodes / 2) % nodes;
        let (before, clock) = (Traffic::now()?, Instant::now());
        let mut first = None;
        peer.get(reader, writer, &mut || first = first.or_else(|| Some(millis(clock)))).map_err(|why| format!("get {writer}: {why}"))?;
        let taken = millis(clock);
        peer.rest(PAUSE)?;
        gets.add(taken, Traffic::now()?.since(before));
        firsts.extend(first);
    }
    let used_kib = per_node(resident_kib()?);
    let lost = operations - firsts.len();
    Ok(format!(
        r#"{{"peer":"{}","nodes":{nodes},"operations":{operations},"start_ms":{start_ms:.1},"start_packets":{start_packets:.0},"put_ms":{},"put_packets":{:.0},"put_bytes":{:.0},"first_ms":{},"get_ms":{},"get_packets":{:.0},"get_bytes":{:.0},"lost":{lost},"fresh_kib":{fresh_kib:.1},"used_kib":{used_kib:.1},"cpu_s":{:.2}}}"#,
        name,
        three(&mut puts.millis),
        quantile(&mut puts.packets, 50),
        quantile(&mut puts.bytes, 50),
        three(&mut firsts),
        three(&mut gets.millis),
        quantile(&mut gets.packets, 50),
        quantile(&mut gets.bytes, 50),
        cpu_seconds()?,
    ))
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The 50th, 95th and 99th percentile as JSON.
fn three(values: &mut [f64]) -> String {
    let [a, b, c] = [50, 95, 99].map(|percent| quantile(values, percent));
    format!("[{a:.3},{b:.3},{c:.3}]")
}

/// The value that so many of a hundred do not exceed; 0 of none.
fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!([50, 95, 99, 100].map(|percent| quantile(&mut values, percent) as u32), [100, 190, 198, 200]);
    }

    #[test]
    fn the_value_is_as_long_as_it_says() {
        assert_eq!(VALUE.len(), 37);
    }
}
