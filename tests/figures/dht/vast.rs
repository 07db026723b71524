//! Look-ups in networks as large as the promises say: a machine is only made when it is touched, with what it would have stored.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use overcom_simulator::Draws;
use overcom_simulator::swarm::Terrain;

use super::atlas::{self, Atlas};
use super::attack::publish;
use super::looks::look_up_each;
use super::net::{Member, Owner, SETTLE, server};
use super::trace::LookedUp;
use crate::seeds::shifted;

/// Devices that are looked for, each of another machine.
const OWNERS: u64 = 200;

/// Which network, and who looks in it.
pub(crate) struct Vast {
    pub(crate) seed: u64,
    pub(crate) terrain: Terrain,
    pub(crate) machines: u32,
    /// Each of these has asked most of its table, and knows how long that takes; of the others it knows it roughly.
    pub(crate) readers: usize,
    pub(crate) looks: usize,
    /// So many of a thousand machines go before anything is published, and nobody has learnt of it.
    pub(crate) gone: u64,
    /// Everybody knows one node of each bucket.
    pub(crate) is_thin: bool,
}

impl Vast {
    /// What look-ups come to. Tables are as after days, with near nodes in half of their places; who neither publishes nor reads
    /// only answers.
    pub(crate) fn looked(&self) -> Result<Vec<LookedUp>, String> {
        let atlas = Atlas::of(self.machines).near(self.terrain.clone());
        let atlas = Rc::new(if self.is_thin { atlas.thin() } else { atlas });
        let shared = Rc::clone(&atlas);
        let make = move |birth: &_| Member::honest(shared.still(server(), birth, true));
        let mut net = atlas::network(&atlas, self.seed, self.terrain.clone(), make)?;
        let mut draws = Draws::new(shifted(self.seed), "vast", &[]);
        let stays = |draws: &mut Draws| loop {
            let machine = draws.below(u64::from(self.machines)) as u32;
            if !self.is_gone(machine) {
                return machine;
            }
        };
        let mut readers = BTreeSet::new();
        while readers.len() < self.readers {
            readers.insert(stays(&mut draws));
        }
        for reader in &readers {
            net.ask(*reader, |_, _| ())?;
        }
        net.run(SETTLE)?;
        let now = net.swarm.now();
        (0..self.machines).filter(|machine| self.is_gone(*machine)).for_each(|machine| net.swarm.leave_at(machine, now));
        net.run(Duration::from_millis(1))?;
        let owners = publish(&mut net, OWNERS, &mut draws, stays)?;
        let mut all = Vec::new();
        while all.len() < self.looks {
            let pairs: Vec<(u32, &Owner)> =
                readers.iter().map(|reader| (*reader, &owners[draws.below(OWNERS) as usize].1)).take(self.looks - all.len()).collect();
            all.extend(look_up_each(&mut net, pairs)?.into_iter().map(|(_, looked)| looked));
        }
        Ok(all)
    }

    fn is_gone(&self, machine: u32) -> bool {
        Draws::new(shifted(self.seed), "gone", &[u64::from(machine)]).below(1_000) < self.gone
    }
}
