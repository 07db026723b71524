//! A scenario file from its path to what came of it, for snapshots.

use std::path::Path;

use overcom_core::trace::Ladder;

use crate::scenario::{Scenario, ScenarioError};
use crate::sim::{Report, Sim};
use crate::world::{NodeView, World};

/// Runs a scenario file to its end. Relative paths begin at the package that is tested, as `cargo test` sets it.
///
/// ```no_run
/// use overcom_core::trace::Detail;
///
/// let run = overcom_simulator::run("tests/scenarios/search.json")?;
/// println!("{}", run.ladder().nodes(["eve", "bob", "alice"]).detail(Detail::Link)); // Or insta::assert_snapshot!(…).
/// println!("{:?}", run.node("eve")?.inspect()); // Or insta::assert_json_snapshot!(…, { ".**.rtt" => "[rtt]" }).
/// # Ok::<(), overcom_simulator::ScenarioError>(())
/// ```
///
/// # Errors
/// [`ScenarioError::File`] if it cannot be read, else what is wrong in it.
pub fn run(file: impl AsRef<Path>) -> Result<Ran, ScenarioError> {
    let file = file.as_ref();
    let text = std::fs::read_to_string(file).map_err(|why| ScenarioError::File(file.display().to_string(), why.to_string()))?;
    let mut sim = Sim::from_scenario(Scenario::from_json(&text)?)?;
    let report = sim.run()?;
    Ok(Ran { sim, report })
}

/// A run that is over, of a scenario without an application of its own.
#[derive(Debug)]
pub struct Ran {
    sim: Sim,
    report: Report,
}

impl Ran {
    /// What the nodes asked, told and understood; `Display` is the text for a snapshot.
    pub fn ladder(&self) -> Ladder {
        self.sim.ladder()
    }

    /// How a node stood at the end.
    ///
    /// # Errors
    /// [`ScenarioError::UnknownNode`].
    pub fn node(&self, name: &str) -> Result<NodeView<'_>, ScenarioError> {
        let node = self.sim.find(name).ok_or_else(|| ScenarioError::UnknownNode(name.into()))?;
        Ok(self.sim.world()?.node(node))
    }

    /// Everything that may be looked at.
    ///
    /// # Errors
    /// As [`Sim::world`]; none after a run.
    pub fn world(&self) -> Result<World<'_, crate::Inbox>, ScenarioError> {
        self.sim.world()
    }

    /// Seed, digest, and what failed, if something did.
    pub const fn report(&self) -> &Report {
        &self.report
    }
}
