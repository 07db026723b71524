//! `conformance`: the published suite on every shell that there is, and on shells with a mistake each.

use overcom_simulator::conformance::{Launcher, Simulated, mistakes, run};

use crate::figure::{Measured, Size};
use crate::street::{Kind, Street};

/// Claims that do not hold on the simulator, on mio, on smol, on both together and on the epoll loop of core's examples. The
/// control is how many claims the least noticed of the planted mistakes breaks.
pub(crate) fn conformance(size: Size) -> Result<Measured, String> {
    let mut shells: Vec<(&str, Vec<String>, usize)> = vec![tried("simulator", || Simulated::new(1))];
    if size != Size::Quick {
        shells.push(tried("mio", || Street::of(&[Kind::Mio])));
        shells.push(tried("smol", || Street::of(&[Kind::Smol])));
        shells.push(tried("mio and smol", || Street::of(&[Kind::Mio, Kind::Smol])));
    }
    #[cfg(target_os = "linux")]
    shells.push(tried("own loop", || Street::of(&[Kind::Own])));
    let planted = mistakes();
    let (least, claims) = planted.iter().min_by_key(|(_, claims)| claims.len()).ok_or("no mistake is planted")?;
    let broken: Vec<&String> = shells.iter().flat_map(|(_, broken, _)| broken).collect();
    let names: Vec<&str> = shells.iter().map(|(name, ..)| *name).collect();
    Ok(Measured {
        value: broken.len() as f64,
        unit: "claims",
        target: 0.0,
        control: claims.len() as f64,
        size: shells.iter().map(|(.., claims)| *claims as u64).sum(),
        seeds: 1,
        detail: format!(
            "on {}: {broken:?}; control: the least noticed of {} shells with a mistake each, {least}, breaks {}",
            names.join(", "),
            planted.len(),
            claims.join(", ")
        ),
    })
}

/// What does not hold on a shell, and how many claims were tried.
fn tried<L: Launcher>(name: &'static str, launcher: impl FnMut() -> L) -> (&'static str, Vec<String>, usize) {
    let outcomes = run(launcher);
    let count = outcomes.len();
    (name, outcomes.into_iter().filter_map(|outcome| Some(format!("{name}: {}: {}", outcome.claim, outcome.broken?))).collect(), count)
}
