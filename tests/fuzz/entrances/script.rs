//! The entrance for the simulator's scripts, shared by the fuzz target and the replay of its corpus.

use overcom_simulator::{Scenario, script};

/// A script that is read becomes a scenario that is the same when it is written and read again, unless its check refuses it;
/// any other is refused at a place of it.
pub(crate) fn script(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return true };
    match script::scenario(text) {
        Ok(scenario) => scenario
            .to_json()
            .is_ok_and(|written| Scenario::from_json(&written).map_or(true, |again| again.to_json().is_ok_and(|twice| twice == written))),
        Err(why) => why.line >= 1 && why.line <= text.lines().count().max(1) && why.column >= 1 && !why.why.is_empty(),
    }
}
