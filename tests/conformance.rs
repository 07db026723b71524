//! The conformance suite on real sockets.

use overcom_simulator::conformance::run;

use crate::street::{Kind, Street};

fn holds_on(kinds: &'static [Kind]) {
    let broken: Vec<String> =
        run(|| Street::of(kinds)).into_iter().filter_map(|outcome| Some(format!("{}: {}", outcome.claim, outcome.broken?))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

// spec-test: SHELL-1, SHELL-7, SHELL-14
#[test]
fn mio_keeps_the_contract() {
    holds_on(&[Kind::Mio]);
}

// spec-test: SHELL-1, SHELL-7, SHELL-14
#[test]
fn smol_keeps_the_contract() {
    holds_on(&[Kind::Smol]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_loop_of_ones_own_keeps_the_contract() {
    holds_on(&[Kind::Own]);
}

#[test]
fn mio_and_smol_keep_the_contract_together() {
    holds_on(&[Kind::Mio, Kind::Smol]);
}
