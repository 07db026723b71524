//! From lines to text: plain, with columns, as Mermaid, as counts.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::super::journal::{Entry, Happened};
use super::{Detail, Grain, Ladder, Rung, RungKind};
use crate::Time;

/// Between two columns of a drawn ladder.
const COLUMN: usize = 14;

impl fmt::Display for Rung {
    /// `bob -> alice: message bla`, with the payload behind it if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Some(to) => write!(f, "{} -> {to}: {}", self.from, self.text)?,
            None => write!(f, "{}: {}", self.from, self.text)?,
        }
        match &self.payload {
            Some(payload) => write!(f, " {}", harmless(payload)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Ladder {
    /// One line an event, each ended by a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rungs = self.rungs();
        // Steps that this detail does not show do not shift the times of those that it does.
        let counts = |entry: &&Entry| self.detail == Detail::Wire || !matches!(entry.what, Happened::Did(_));
        let begin = self.journals.iter().filter_map(|journal| journal.entries.iter().find(counts)).map(|entry| entry.at).min();
        let begin = begin.unwrap_or_default();
        let columns = if self.art { self.columns() } else { Vec::new() };
        if self.art {
            let indent = if self.times.is_some() { TIME } else { 0 };
            writeln!(f, "{:indent$}{}", "", columns.iter().fold(String::new(), |line, name| format!("{line}{name:<COLUMN$}")).trim_end())?;
        }
        for rung in &rungs {
            if let Some(grain) = self.times {
                write!(f, "{:<TIME$}", since(begin, rung.at, grain))?;
            }
            if self.art {
                writeln!(f, "{}", drawn(&columns, rung))?;
            } else {
                writeln!(f, "{rung}")?;
            }
        }
        Ok(())
    }
}

/// How wide times stand.
const TIME: usize = 14;

fn since(begin: Time, at: Time, grain: Grain) -> String {
    let micros = u64::try_from(at.since(begin).as_micros()).unwrap_or(u64::MAX);
    let (secs, rest) = (micros / 1_000_000, micros % 1_000_000);
    match grain {
        Grain::Micros => format!("{secs}.{rest:06}s"),
        Grain::Millis => format!("{secs}.{:03}s", rest / 1_000),
        Grain::Tenths => format!("{secs}.{}s", rest / 100_000),
        Grain::Seconds => format!("{secs}s"),
    }
}

/// One line with a life line for each column, an arrow or a star, and the text behind.
fn drawn(columns: &[String], rung: &Rung) -> String {
    let place = |name: &str| columns.iter().position(|column| column == name);
    let (from, to) = (place(&rung.from), rung.to.as_deref().and_then(place));
    let mut line = String::new();
    for index in 0..columns.len() {
        let (low, high) = (from.min(to.or(from)), from.max(to.or(from)));
        let is_end = Some(index) == from || Some(index) == to;
        let inside = to.is_some() && low <= Some(index) && Some(index) < high;
        line.push(match () {
            () if rung.to.is_none() && Some(index) == from => '*',
            () if is_end || !(to.is_some() && low < Some(index) && Some(index) < high) => '|',
            () => '-',
        });
        let points_right = to > from && to == Some(index.saturating_add(1));
        let points_left = to < from && to == Some(index);
        for step in 1..COLUMN {
            line.push(match () {
                () if !inside => ' ',
                () if points_left && step == 1 => '<',
                () if points_right && step == COLUMN.saturating_sub(1) => '>',
                () => '-',
            });
        }
    }
    let payload = rung.payload.as_deref().map(|payload| format!(" {}", harmless(payload))).unwrap_or_default();
    format!("{line}{}{payload}", rung.text)
}

pub(super) fn mermaid(columns: &[String], rungs: &[Rung]) -> String {
    let mut text = String::from("sequenceDiagram\n");
    // Names may hold what Mermaid takes for syntax; numbers cannot.
    for (index, name) in columns.iter().enumerate() {
        let _ = writeln!(text, "    participant n{index} as {}", escaped(name));
    }
    let id = |name: &str| columns.iter().position(|column| column == name).unwrap_or_default();
    for rung in rungs {
        let _ = match &rung.to {
            Some(to) => writeln!(text, "    n{}->>n{}: {}", id(&rung.from), id(to), escaped(&rung.text)),
            None => writeln!(text, "    Note over n{}: {}", id(&rung.from), escaped(&rung.text)),
        };
    }
    text
}

pub(super) fn summary(rungs: &[Rung]) -> String {
    let mut counts: BTreeMap<RungKind, u64> = BTreeMap::new();
    for rung in rungs {
        let count = counts.entry(rung.kind).or_default();
        *count = count.saturating_add(1);
    }
    counts.iter().fold(String::new(), |text, (kind, count)| format!("{text}{} {count}\n", format!("{kind:?}").to_lowercase()))
}

/// Control characters of a stranger's payload must not steer a terminal.
fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() {
            out.push_str(&c.escape_unicode().to_string());
        } else {
            out.push(c);
        }
        out
    })
}

/// Mermaid's own escapes for what ends a statement or begins an entity.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '#' | ';' | '<' | '>' | ':' | '%' | '"' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            _ => out.push(c),
        }
        out
    })
}
