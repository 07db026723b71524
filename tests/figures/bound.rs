//! `memory-bound`: the most that a node holds, against what its configuration says.

use overcom_core::Config;

use crate::figure::{Measured, Size};
use crate::load::{Load, large, lifted, loaded, tight, wordy};

/// What the load holds at least of the bound of a small node, or it is none that shows anything.
const SHARE_MIN: f64 = 1.0 / 3.0;

/// The most bytes that a node held under everything at once, over `Config::memory_bytes_max`; the largest of some
/// configurations. The control's node has one bound lifted, and the same load is held against the bound with it; the least
/// of several such nodes.
pub(crate) fn memory_bound(size: Size) -> Result<Measured, String> {
    let small = Config::embedded();
    let configs = [small, tight(), wordy(), large()];
    let configs = if size == Size::Quick { &configs[..3] } else { &configs[..] };
    let mut shares = Vec::new();
    let mut terms = String::new();
    for config in configs {
        let load = loaded(*config, i64::MAX);
        shares.push(load.peak as f64 / config.memory_bytes_max() as f64);
        if terms.is_empty() {
            terms = shares_of(&load, config);
        }
    }
    if shares[0] < SHARE_MIN {
        return Err(format!("memory-bound: the load holds only {:.3} of a small node's bound: {terms}", shares[0]));
    }
    let max = wordy().memory_bytes_max();
    let controls = lifted().map(|(name, config)| (name, loaded(config, 2 * max as i64).peak as f64 / max as f64));
    let control = controls.iter().map(|(_, share)| *share).fold(f64::INFINITY, f64::min);
    let named = controls.map(|(name, share)| format!("{name} {share:.2}")).join(", ");
    let held = shares.iter().map(|share| format!("{share:.2}")).collect::<Vec<_>>().join(", ");
    Ok(Measured {
        value: shares.iter().copied().fold(0.0, f64::max),
        unit: "of the bound",
        target: 1.0,
        control,
        size: configs.len() as u64,
        seeds: 1,
        detail: format!(
            "nodes at {held}; a small one, {} KiB at most: {terms}; control, one bound lifted: {named}",
            small.memory_bytes_max() >> 10
        ),
    })
}

/// What each term holds of what it may.
fn shares_of(load: &Load, config: &Config) -> String {
    let share = |(name, max): (&'static str, u64)| {
        let held = load.terms.iter().find(|(term, _)| *term == name)?.1;
        Some(format!("{name} {:.2} of {} KiB", held as f64 / max as f64, max >> 10))
    };
    config.memory_terms().into_iter().filter_map(share).collect::<Vec<_>>().join(", ")
}
