//! Reads what the peers' programs have printed, one JSON line each, and prints a table of it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::ExitCode;

use serde::Deserialize;

/// One peer. Times are in milliseconds: the 50th, 95th and 99th percentile.
#[derive(Deserialize)]
struct Line {
    peer: String,
    nodes: u32,
    operations: u32,
    start_ms: f64,
    /// Of a node, until the first operation.
    start_packets: f64,
    put_ms: [f64; 3],
    put_packets: f64,
    put_bytes: f64,
    first_ms: [f64; 3],
    get_ms: [f64; 3],
    get_packets: f64,
    get_bytes: f64,
    lost: u32,
    fresh_kib: f64,
    used_kib: f64,
    cpu_s: f64,
    /// Only if it was asked for.
    compile_s: Option<f64>,
}

const HEAD: [&str; 15] = [
    "peer",
    "nodes",
    "all joined ms",
    "packets/node",
    "put ms p50 p95 p99",
    "packets",
    "bytes",
    "first answer ms p50 p95 p99",
    "get ms p50 p95 p99",
    "packets",
    "bytes",
    "lost",
    "KiB/node fresh, used",
    "CPU s",
    "built in s",
];

impl Line {
    fn cells(&self) -> [String; 15] {
        let three = |[a, b, c]: [f64; 3]| format!("{a:.1} {b:.1} {c:.1}");
        [
            self.peer.clone(),
            self.nodes.to_string(),
            format!("{:.0}", self.start_ms),
            format!("{:.0}", self.start_packets),
            three(self.put_ms),
            format!("{:.0}", self.put_packets),
            format!("{:.0}", self.put_bytes),
            three(self.first_ms),
            three(self.get_ms),
            format!("{:.0}", self.get_packets),
            format!("{:.0}", self.get_bytes),
            format!("{} of {}", self.lost, self.operations),
            format!("{:.0}, {:.0}", self.fresh_kib, self.used_kib),
            format!("{:.1}", self.cpu_s),
            self.compile_s.map_or_else(|| "-".into(), |seconds| format!("{seconds:.0}")),
        ]
    }
}

fn main() -> ExitCode {
    let mut text = String::new();
    if let Err(why) = std::io::stdin().read_to_string(&mut text) {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    match table(&text) {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// As Markdown has them, the columns of one width.
fn table(text: &str) -> Result<String, String> {
    let mut rows = vec![HEAD.map(String::from)];
    for line in text.lines().filter(|line| line.starts_with(r#"{"peer":"#)) {
        let line: Line = serde_json::from_str(line).map_err(|why| format!("{why} in {line}"))?;
        rows.push(line.cells());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().enumerate().map(|(column, cell)| format!("{cell:>0$}", width(column))).collect();
        // Writing to a text cannot fail.
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if index == 0 {
            let rules: Vec<String> = (0..row.len()).map(|column| "-".repeat(width(column))).collect();
            let _ = writeln!(out, "|-{}-|", rules.join("-|-"));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn each_line_is_a_row_and_what_is_no_line_is_left_out() {
        let line = r#"{"peer":"a 1","nodes":3,"operations":2,"start_ms":1,"start_packets":10,"put_ms":[1,2,3],"put_packets":4,"put_bytes":5,"first_ms":[1,2,3],"get_ms":[1,2,3],"get_packets":6,"get_bytes":7,"lost":1,"fresh_kib":8,"used_kib":9,"cpu_s":1.5}"#;
        let table = table(&format!("{{\"skipped\":\"b\"}}\n{line}\n")).expect("a table");
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("1.0 2.0 3.0") && table.contains("1 of 2"));
    }

    #[test]
    fn a_line_that_lacks_something_is_an_error() {
        assert!(table(r#"{"peer":"a"}"#).is_err());
    }
}
