//! A crowd in which everybody greets four others, to see what a mode of cryptography costs:
//!
//! ```sh
//! cargo build --release -p overcom-simulator --example crowd
//! time target/release/examples/crowd standard 1000
//! time target/release/examples/crowd ideal 1000
//! ```

use std::process::ExitCode;

use overcom_simulator::{CryptoMode, Inbox, NodeId, Sim, secs};

/// How many others each one greets.
const GREETED: usize = 4;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = match arguments.next().as_deref() {
        Some("standard") => CryptoMode::Standard,
        Some("ideal") => CryptoMode::Ideal,
        _ => return usage(),
    };
    let Some(size) = arguments.next().and_then(|size| size.parse().ok()).filter(|size| *size > GREETED) else { return usage() };
    match crowd(mode, size) {
        Ok(greetings) => {
            println!("{size} nodes, {greetings} greetings, crypto {mode}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("crowd: {why}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("crowd standard|ideal NODES, more than {GREETED} of them");
    ExitCode::from(2)
}

/// Runs it; how many greetings arrived.
fn crowd(mode: CryptoMode, size: usize) -> Result<usize, Box<dyn std::error::Error>> {
    let mut sim = Sim::new(1);
    sim.crypto(mode);
    let nodes: Vec<NodeId> = (0..size).map(|n| sim.node(&format!("n{n}"), Inbox::new)).collect();
    for (n, from) in nodes.iter().enumerate() {
        let others = (1..=GREETED).map(|step| nodes[(n + step) % size]);
        sim.introduce(*from, others.clone());
        for to in others {
            sim.send_at(secs(1), *from, to, "greeting", "\"hello\"")?;
        }
    }
    sim.run()?;
    Ok(sim.world()?.apps().map(|app| app.messages().len()).sum())
}
