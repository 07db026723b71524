//! Which addresses the machines of a swarm have, and which of them reach each other.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::terrain::{address, machine_at};
use crate::network::in_reach;

/// Addresses that are not those that follow from a machine's number.
#[derive(Debug, Default)]
pub(crate) struct Places {
    own: BTreeMap<u32, Vec<SocketAddr>>,
    machines: HashMap<SocketAddr, (u32, u8)>,
}

impl Places {
    /// Gives a machine these addresses in the place of those that it had; 256 at most, what is more is left out. An address
    /// that another one has goes over to this one.
    pub(crate) fn set(&mut self, machine: u32, addresses: &[SocketAddr]) {
        for before in self.own.remove(&machine).unwrap_or_default() {
            if self.machines.get(&before).is_some_and(|(owner, _)| *owner == machine) {
                self.machines.remove(&before);
            }
        }
        self.machines.extend((0..=u8::MAX).zip(addresses).map(|(index, address)| (*address, (machine, index))));
        self.own.insert(machine, addresses.to_vec());
    }

    /// All addresses of a machine.
    pub(crate) fn all(&self, machine: u32) -> Vec<SocketAddr> {
        self.own.get(&machine).cloned().unwrap_or_else(|| vec![address(machine)])
    }

    /// One of them.
    pub(crate) fn nth(&self, machine: u32, index: u8) -> SocketAddr {
        let own = if self.own.is_empty() { None } else { self.own.get(&machine) };
        own.and_then(|own| own.get(usize::from(index)).copied()).unwrap_or_else(|| address(machine))
    }

    /// The machine at an address, and which of its addresses that is.
    pub(crate) fn machine_at(&self, address: SocketAddr) -> Option<(u32, u8)> {
        if self.own.is_empty() {
            return Some((machine_at(address)?, 0));
        }
        let set = self.machines.get(&address).copied();
        set.or_else(|| machine_at(address).filter(|machine| !self.own.contains_key(machine)).map(|machine| (machine, 0)))
    }

    /// The address from which a machine sends there: its first one that reaches so far.
    pub(crate) fn towards(&self, machine: u32, remote: SocketAddr) -> Option<SocketAddr> {
        if self.own.is_empty() {
            return Some(address(machine));
        }
        let reaches = |own: &SocketAddr| in_reach(own.ip(), remote.ip());
        match self.own.get(&machine) {
            Some(own) => own.iter().copied().find(reaches),
            None => Some(address(machine)).filter(reaches),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_machine_sends_from_the_address_that_reaches_the_other_one() {
        let (four, six, home) = (parsed("203.0.113.1:1"), parsed("[2001:db8::1]:1"), parsed("192.168.1.2:1"));
        let mut places = Places::default();
        places.set(5, &[home, four, six]);
        places.set(6, &[six]);
        let towards = |machine, remote| places.towards(machine, parsed(remote));
        assert_eq!(towards(5, "192.168.1.9:1"), Some(home));
        assert_eq!([towards(5, "[2001:db8::2]:1"), towards(6, "[2001:db8::2]:1")], [Some(six), Some(six)]);
        assert_eq!([towards(6, "203.0.113.9:1"), towards(7, "192.168.1.9:1")], [None, None]);
        assert_eq!(towards(7, "203.0.113.9:1"), Some(address(7)));
        // A private address reaches out, too.
        assert_eq!(towards(5, "203.0.113.9:1"), Some(home));
    }

    #[test]
    fn an_address_leads_to_whom_it_was_given_last() {
        let (first, second) = (parsed("203.0.113.1:1"), parsed("203.0.113.2:1"));
        let mut places = Places::default();
        places.set(1, &[first, second]);
        assert_eq!([places.machine_at(first), places.machine_at(second)], [Some((1, 0)), Some((1, 1))]);
        places.set(2, &[second]);
        places.set(1, &[first]);
        assert_eq!([places.machine_at(first), places.machine_at(second)], [Some((1, 0)), Some((2, 0))]);
        assert_eq!([places.machine_at(address(1)), places.machine_at(address(3))], [None, Some((3, 0))]);
        assert_eq!((places.nth(1, 0), places.nth(3, 0), places.all(2)), (first, address(3), vec![second]));
    }
}
