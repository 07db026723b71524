//! How fast and how large a swarm is: machines that ping each other, each every 100 ms.
//!
//! ```sh
//! cargo run --release -p overcom-simulator --example swarm -- 100000 5
//! cargo run --release -p overcom-simulator --example swarm -- 100000 5 plain
//! ```

#[path = "../tests/whole/ping/mod.rs"]
mod ping;

use std::process::ExitCode;

use overcom_core::Time;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|number| number.parse::<u32>().ok());
    let (Some(machines), Some(secs)) = (number(0), number(1)) else {
        eprintln!("swarm MACHINES SECONDS [plain], for instance 100000 5");
        return ExitCode::from(2);
    };
    let until = Time::from_secs(secs.into());
    let (happened, digest) = if arguments.get(2).is_some_and(|engine| engine == "plain") {
        let mut plain = ping::Plain::new(1, machines);
        plain.run_until(until);
        (plain.happened, plain.digest())
    } else {
        let mut swarm = match ping::swarm(1, machines) {
            Ok(swarm) => swarm,
            Err(why) => {
                eprintln!("swarm: {why}");
                return ExitCode::FAILURE;
            }
        };
        if let Err(failure) = swarm.run_until(until) {
            eprintln!("swarm: {failure:?}");
            return ExitCode::FAILURE;
        }
        let (tally, answered) = (swarm.tally(), swarm.machines().map(|(_, machine)| u64::from(machine.answered)).sum::<u64>());
        println!("{answered} pings were answered");
        (tally.ticks + tally.received, swarm.marks().digest())
    };
    println!("{machines} machines, {secs} s, {happened} events, digest {digest}");
    ExitCode::SUCCESS
}
