//! The devices of one user that have proven themselves.

use alloc::vec::Vec;

use super::Delegation;
use crate::id::DeviceId;

/// One delegation a device, by device. Most users have one, and there may be thousands of users: no room is held for more.
#[derive(Default)]
pub(crate) struct Devices(Vec<Delegation>);

impl Devices {
    /// What a device has shown.
    pub(crate) fn get(&self, device: DeviceId) -> Option<&Delegation> {
        self.place(device).ok().and_then(|at| self.0.get(at))
    }

    /// All of them, by device.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Delegation> {
        self.0.iter()
    }

    /// Keeps a delegation in the place of its device's old one. One more device than `devices_max` makes the one go
    /// whose delegation ends first; which one.
    pub(crate) fn keep(&mut self, delegation: Delegation, devices_max: usize) -> Option<DeviceId> {
        if let Ok(at) = self.place(delegation.device()) {
            if let Some(old) = self.0.get_mut(at) {
                *old = delegation;
            }
            return None;
        }
        let mut gone = None;
        if self.0.len() >= devices_max.max(1) {
            let first = self.0.iter().enumerate().min_by_key(|(_, old)| old.until()).map(|(at, _)| at);
            gone = first.map(|at| self.0.remove(at).device());
        }
        let at = self.place(delegation.device()).unwrap_or_else(|at| at);
        self.0.reserve_exact(1);
        self.0.insert(at, delegation);
        gone
    }

    fn place(&self, device: DeviceId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&device, Delegation::device)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::id::AppId;
    use crate::identity::{DeviceKeys, IdentitySecret};
    use crate::rng::{Rng, Seed};
    use crate::time::WallTime;

    #[test]
    fn one_device_too_many_makes_the_one_go_that_ends_first_and_a_renewal_takes_its_own_place() {
        let mut rng = Rng::from_seed(&Seed::from_bytes([1; 32]));
        let identity = IdentitySecret::from_bytes(rng.array());
        let from = WallTime::from_millis(1_000_000);
        let delegation = |hours: u64, keys: &DeviceKeys| {
            let grant = keys.grant(AppId::new("devices").unwrap(), from, from + Duration::from_secs(3_600 * hours));
            Delegation::sign(&identity, &grant).unwrap()
        };
        let keys: Vec<DeviceKeys> = (0..4).map(|_| DeviceKeys::draw(&mut rng)).collect();
        let mut devices = Devices::default();
        let shown: Vec<Delegation> = keys.iter().zip([5, 3, 9, 4]).map(|(keys, hours)| delegation(hours, keys)).collect();
        for delegation in &shown[..3] {
            assert_eq!(devices.keep(delegation.clone(), 3), None);
        }
        assert_eq!(devices.keep(delegation(6, &keys[1]), 3), None);
        assert_eq!(devices.keep(shown[3].clone(), 3), Some(shown[0].device()));
        assert_eq!(devices.get(shown[0].device()), None);
        assert_eq!(devices.get(shown[1].device()).map(Delegation::until), Some(from + Duration::from_secs(3_600 * 6)));
        assert!(devices.iter().map(Delegation::device).is_sorted());
        assert_eq!(devices.iter().count(), 3);
    }
}
