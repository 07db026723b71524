//! `conformance`: the published suite on every shell that there is, and on shells with a mistake each.

use overcom_simulator::conformance::{Launcher, Simulated, mistakes, run};

use crate::figure::{Measured, Size};
use crate::planted::PLANTED;
use crate::street::{Kind, Street};

/// Claims that do not hold on the simulator, on mio, on smol, on both together and on the epoll loop of core's examples, and
/// claims in which a shell with a planted mistake differs from where it should fail. The control is the same comparison of
/// the shell whose mistake shows least with a shell that makes none.
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
    let broken: Vec<&String> = shells.iter().flat_map(|(_, broken, _)| broken).collect();
    let misplaced = misplaced(&planted);
    let (least, shown) =
        planted.iter().map(|(name, claims)| (name, differing(claims, &[]))).min_by_key(|(_, shown)| shown.len()).ok_or("no mistake")?;
    let names: Vec<&str> = shells.iter().map(|(name, ..)| *name).collect();
    Ok(Measured {
        value: (broken.len() + misplaced.len()) as f64,
        unit: "claims",
        target: 0.0,
        control: shown.len() as f64,
        size: shells.iter().map(|(.., claims)| *claims as u64).sum(),
        seeds: 1,
        detail: format!(
            "on {}: {broken:?}; of {} shells with a mistake each, claims that are not those of the mistake: {misplaced:?}; \
             control: the least noticed of them, {least}, as a shell that should break none: {}",
            names.join(", "),
            planted.len(),
            shown.join(", ")
        ),
    })
}

/// Where shells with a mistake each fail and should not, or do not fail and should; and mistakes that nobody expects.
fn misplaced(planted: &[(String, Vec<&'static str>)]) -> Vec<String> {
    let of = |name: &str| planted.iter().find(|(found, _)| found == name).map_or(&[][..], |(_, claims)| claims);
    let known =
        PLANTED.iter().flat_map(|(name, expected)| differing(of(name), expected).into_iter().map(move |claim| format!("{name}: {claim}")));
    let unknown = planted.iter().filter(|(name, _)| PLANTED.iter().all(|(known, _)| known != name));
    known.chain(unknown.map(|(name, _)| format!("{name}: expected nowhere"))).collect()
}

/// The claims that stand in one list only.
fn differing(found: &[&'static str], expected: &[&'static str]) -> Vec<&'static str> {
    let only =
        |these: &[&'static str], those: &[&'static str]| these.iter().copied().filter(|claim| !those.contains(claim)).collect::<Vec<_>>();
    [only(found, expected), only(expected, found)].concat()
}

/// What does not hold on a shell, and how many claims were tried.
fn tried<L: Launcher>(name: &'static str, launcher: impl FnMut() -> L) -> (&'static str, Vec<String>, usize) {
    let outcomes = run(launcher);
    let count = outcomes.len();
    (name, outcomes.into_iter().filter_map(|outcome| Some(format!("{name}: {}: {}", outcome.claim, outcome.broken?))).collect(), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_too_many_one_too_few_and_a_mistake_that_nobody_knows_are_found() {
        let whole: Vec<(String, Vec<&'static str>)> = PLANTED.iter().map(|(name, claims)| ((*name).into(), claims.to_vec())).collect();
        assert_eq!(misplaced(&whole), Vec::<String>::new());
        let mut changed = whole.clone();
        changed[1].1.push("another");
        assert_eq!(misplaced(&changed), [format!("{}: another", PLANTED[1].0)]);
        let mut changed = whole.clone();
        let gone = changed[1].1.remove(0);
        assert_eq!(misplaced(&changed), [format!("{}: {gone}", PLANTED[1].0)]);
        let mut changed = whole;
        changed.push(("Unheard".into(), vec!["another"]));
        assert_eq!(misplaced(&changed), ["Unheard: expected nowhere"]);
    }
}
