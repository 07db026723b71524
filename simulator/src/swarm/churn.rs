//! Machines that come and go.

use std::ops::Range;
use std::time::Duration;

use overcom_core::Time;

use super::lasting::Lasting;
use super::machine::Machine;
use super::{Due, Swarm};
use crate::draw::Draws;

/// How long machines stay, and how long they stay away before they come back.
///
/// A swarm that starts as a whole is young: of [`Lasting::SESSIONS`] many end in the first minutes. Let it run for some
/// hours before you measure what is typical.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Churn {
    /// Who comes and goes; the others stay.
    pub members: Range<u32>,
    /// From a start to the next end.
    pub session: Lasting,
    /// From an end to the next start.
    pub absence: Lasting,
}

impl<M: Machine> Swarm<M> {
    /// Lets machines come and go: those that are up for a session each from now on, those that start later from then. Say it
    /// once: it does not take back what another one has set in motion.
    pub fn churn(&mut self, churn: Churn) {
        let members = churn.members.clone();
        self.churn = Some(churn);
        for machine in members.start..members.end.min(self.len()) {
            if self.is_up(machine) {
                self.leave_later(machine);
            }
        }
    }

    /// Ends it: who is away stays away, who is there stays.
    pub fn end_churn(&mut self) {
        self.churn = None;
    }

    /// Starts a machine at a time; nothing happens if it is up then.
    pub fn join_at(&mut self, machine: u32, at: Time) {
        if machine < self.len() {
            self.queue.push(at.max(self.now), machine, machine, Due::Join);
        }
    }

    /// Ends a machine's process at a time, without a word to anybody; churn does not bring it back.
    pub fn leave_at(&mut self, machine: u32, at: Time) {
        if machine < self.len() {
            self.queue.push(at.max(self.now), machine, machine, Due::Gone);
        }
    }

    /// A crowd: these machines start, each at a drawn moment within so long after `at`.
    pub fn flash_crowd(&mut self, machines: Range<u32>, at: Time, within: Duration) {
        let within = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        for machine in machines {
            let mut draws = Draws::new(self.seed, "crowd", &[u64::from(machine), at.as_micros()]);
            self.join_at(machine, at + Duration::from_micros(draws.below(within)));
        }
    }

    /// A disaster: so many machines in a million of those in `part` of the world, or everywhere, end at once and for good.
    pub fn mass_leave(&mut self, at: Time, part: Option<u8>, ppm: u32) {
        for machine in 0..self.len() {
            let is_there = part.is_none_or(|part| self.terrain.part(machine) == part);
            if is_there && Draws::new(self.seed, "disaster", &[u64::from(machine), at.as_micros()]).chance(ppm) {
                self.leave_at(machine, at);
            }
        }
    }

    pub(super) fn comes_and_goes(&self, me: u32) -> bool {
        self.churn.as_ref().is_some_and(|churn| churn.members.contains(&me))
    }

    /// The end of a life that has just begun, if its machine comes and goes.
    pub(super) fn leave_later(&mut self, me: u32) {
        let life = self.seats[me as usize].head.life;
        if let Some(session) = self.drawn(me, "session", |churn| churn.session) {
            self.queue.push(self.now + session, me, me, Due::Leave(life));
        }
    }

    pub(super) fn return_later(&mut self, me: u32) {
        if let Some(absence) = self.drawn(me, "absence", |churn| churn.absence) {
            self.queue.push(self.now + absence, me, me, Due::Return);
        }
    }

    fn drawn(&self, me: u32, purpose: &str, of: fn(&Churn) -> Lasting) -> Option<Duration> {
        let churn = self.churn.as_ref().filter(|_| self.comes_and_goes(me))?;
        let life = self.seats[me as usize].head.life;
        Some(of(churn).draw(&mut Draws::new(self.seed, purpose, &[u64::from(me), u64::from(life)])))
    }
}
