//! The entrance for scenario files, shared by the fuzz target and the replay of its corpus.

use overcom_simulator::Scenario;

/// A scenario that is read and checked is the same when it is written and read again.
pub(crate) fn scenario(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return true };
    let Ok(read) = Scenario::from_json(text) else { return true };
    let Ok(written) = read.to_json() else { return false };
    Scenario::from_json(&written).is_ok_and(|again| again.to_json().is_ok_and(|twice| twice == written))
}
