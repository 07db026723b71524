//! What a failure needs: steps are taken away while it stays.

use std::collections::BTreeSet;

use overcom_core::{App, Time};

use crate::harness::{Found, Shrunk, run_once};
use crate::scenario::{Do, Step};
use crate::sim::Sim;

/// How many runs a shrink may take (guess: seconds, not minutes).
const RUNS_MAX: u32 = 400;

/// Takes steps away, large groups first, while the same check fails, until none can be missed.
///
/// What ends a fault goes with the fault, never before it: a crash whose restart is missing fails for another reason.
pub(crate) fn shrink<A: App + 'static>(build: fn(&mut Sim<A>), found: &Found) -> Shrunk {
    let (report, scenario) = run_once(build, found.report.seed, &[]);
    let all = scenario.steps.clone();
    let mut search = Search { build, found, all, gone: BTreeSet::new(), best: Shrunk { scenario, report }, runs: 0 };
    search.drop_later();
    let mut size = search.candidates().len().div_ceil(2);
    while size > 0 && search.runs < RUNS_MAX {
        let (mut start, before) = (0, search.gone.len());
        while start < search.candidates().len() && search.runs < RUNS_MAX {
            let group: Vec<String> = search.candidates().into_iter().skip(start).take(size).collect();
            if !search.fails_without(group, None) {
                start += size;
            }
        }
        // What could not be missed before may be missed now that others are gone.
        if size > 1 || search.gone.len() == before {
            size /= 2;
        }
    }
    search.drop_later();
    search.best
}

struct Search<'a, A> {
    build: fn(&mut Sim<A>),
    found: &'a Found,
    all: Vec<Step>,
    gone: BTreeSet<String>,
    best: Shrunk,
    runs: u32,
}

impl<A: App + 'static> Search<'_, A> {
    /// Steps that may be taken away by themselves.
    fn candidates(&self) -> Vec<String> {
        let steps = self.best.scenario.steps.iter();
        steps.filter(|step| !self.all.iter().any(|other| ends(&step.what, &other.what))).map(|step| step.id.clone()).collect()
    }

    /// What happens after the failure cannot matter.
    fn drop_later(&mut self) {
        let Some(at) = self.best.report.failure.as_ref().map(|failure| failure.at) else { return };
        let later = self.best.scenario.steps.iter().filter(|step| Time::from_millis(step.at_ms) > at);
        let later: Vec<String> = later.map(|step| step.id.clone()).collect();
        if !later.is_empty() {
            self.fails_without(later, Some(at));
        }
    }

    /// Whether the same check fails without these steps too, at the same time if one is given; if so they are gone for good.
    fn fails_without(&mut self, ids: Vec<String>, at: Option<Time>) -> bool {
        let mut gone = self.gone.clone();
        gone.extend(ids);
        let orphans = self.all.iter().filter(|step| is_orphan(step, &self.all, &gone)).map(|step| step.id.clone());
        gone.extend(orphans.collect::<Vec<_>>());
        self.runs += 1;
        let skip: Vec<String> = gone.iter().cloned().collect();
        let (report, scenario) = run_once(self.build, self.found.report.seed, &skip);
        let same = report.failure.as_ref();
        let fails = same.is_some_and(|failure| failure.check == self.found.failure.check && at.is_none_or(|at| failure.at == at));
        if fails {
            (self.gone, self.best) = (gone, Shrunk { scenario, report });
        }
        fails
    }
}

/// Whether a step ends faults of which none is left.
fn is_orphan(step: &Step, all: &[Step], gone: &BTreeSet<String>) -> bool {
    let mut faults = all.iter().filter(|other| ends(&step.what, &other.what)).peekable();
    faults.peek().is_some() && faults.all(|fault| gone.contains(&fault.id))
}

/// Whether the one ends what the other began.
fn ends(end: &Do<String>, begin: &Do<String>) -> bool {
    match (end, begin) {
        (Do::Heal, Do::Partition { .. }) => true,
        (Do::Restart(node), Do::Crash(other)) | (Do::Resume(node), Do::Pause(other)) | (Do::Wake(node), Do::Suspend(other)) => {
            node == other
        }
        (Do::FailDisk { node, why: None }, Do::FailDisk { node: other, why: Some(_) }) => node == other,
        _ => false,
    }
}
