//! Figures of simulated networks from one seed, or as the worst of several (`--seeds`).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::figure::{Figure, Measured, Size};

/// Farther apart than the seeds of one figure.
const STEP: u64 = 1_000;

/// Figures in whose measures every draw follows from a seed that is shifted; the others have seeds of their own, or none.
const SEEDED: &[&str] = &[
    "dht-devices",
    "dht-families",
    "dht-requests",
    "dht-hops",
    "dht-latency",
    "dht-loss",
    "dht-churn",
    "dht-survival",
    "dht-colluders",
    "dht-eclipse",
    "dht-rollback",
    "dht-amplification",
    "dht-memory",
    "dht-join",
    "dht-million",
    "dht-idle",
    "dht-endpoints",
    "dht-start",
    "dht-exodus",
    "dht-capture",
    "dht-poison",
    "dht-votes",
    "dht-restart",
    "dht-flood",
    "dht-hostile",
    "dht-tokens",
    "dht-replay",
    "service-privacy",
    "bind",
];

/// Which turn is measured; a figure does not know of it.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Which turn it is: 0 unless several seeds are asked for.
pub(crate) fn turn() -> u64 {
    TURN.load(Ordering::Relaxed)
}

/// A figure's own seed, or what stands in its place in this turn.
pub(crate) fn shifted(own: u64) -> u64 {
    own.wrapping_add(STEP * turn())
}

/// Whether a figure can be measured with several seeds.
pub(crate) fn is_seeded(figure: &Figure) -> bool {
    SEEDED.contains(&figure.name)
}

/// The worst of so many seeds; of the controls the one that comes nearest to passing counts.
pub(crate) fn worst_of(seeds: u64, figure: &Figure, size: Size) -> Result<Measured, String> {
    let all = (0..seeds).map(|turn| {
        TURN.store(turn, Ordering::Relaxed);
        (figure.measure)(size)
    });
    let all = all.collect::<Result<Vec<_>, _>>();
    TURN.store(0, Ordering::Relaxed);
    worst(all?).ok_or_else(|| "of no seed there is no figure".into())
}

fn worst(all: Vec<Measured>) -> Option<Measured> {
    let seeds = all.len() as u64;
    let control = all.iter().map(|measured| measured.control).min_by(f64::total_cmp)?;
    let mut values: Vec<f64> = all.iter().map(|measured| measured.value).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied()?;
    let worst = all.into_iter().max_by(|one, other| one.value.total_cmp(&other.value))?;
    if seeds == 1 {
        return Some(worst);
    }
    Some(Measured { control, seeds, detail: format!("worst of {seeds} seeds, the middle one {middle:.3}: {}", worst.detail), ..worst })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64, control: f64, detail: &str) -> Measured {
        Measured { value, control, detail: detail.into(), ..Measured::OF_ALLOWED }
    }

    #[test]
    fn every_figure_with_several_seeds_is_there() {
        for name in SEEDED {
            assert!(crate::figure::FIGURES.iter().any(|figure| figure.name == *name), "{name}");
        }
    }

    #[test]
    fn the_worst_seed_counts_beside_the_control_that_comes_nearest_to_passing() {
        let all = vec![measured(0.2, 3.0, "a"), measured(0.9, 5.0, "b"), measured(0.4, 1.5, "c")];
        let worst = worst(all).expect("there are three");
        assert_eq!((worst.value.to_bits(), worst.control.to_bits(), worst.seeds), (0.9_f64.to_bits(), 1.5_f64.to_bits(), 3));
        assert_eq!(worst.detail, "worst of 3 seeds, the middle one 0.400: b");
        assert!(super::worst(vec![measured(0.9, 0.7, "")]).is_some_and(|one| !one.passes() && one.detail.is_empty()));
        assert!(super::worst(Vec::new()).is_none());
    }
}
