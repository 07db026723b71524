//! What a node keeps of itself across restarts (spec: DHT-130).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Reach;
use crate::address::is_lasting;
use crate::dht::estimate::Estimate;
use crate::dht::id::Variant;
use crate::dht::realm::Realm;
use crate::dht::table::Broken;
use crate::time::Time;

/// What was stored beside the reach itself.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// The last look-ups' estimates of the network's size.
    pub(crate) estimate: Estimate,
}

/// The only format (spec: DHT-130).
const FORMAT: u8 = 0x01;
const HELD_64: u8 = 1;
const SERVED: u8 = 1 << 1;
/// Values of the estimate at most.
const VALUES_MAX: usize = 16;

impl Reach {
    /// As bytes, at most 55.
    pub(crate) fn store(&self, estimate: &Estimate) -> Vec<u8> {
        let mut out = Vec::with_capacity(56);
        let flag = |is_so: bool, bit: u8| if is_so { bit } else { 0 };
        // In a global realm without an address there is nothing to resume.
        let serves = self.role.serves_at(self.address()).filter(|at| at.is_some() || !self.realm.is_global());
        let flags = flag(self.has_held_64, HELD_64) | flag(serves.is_some(), SERVED);
        out.extend_from_slice(&[FORMAT, self.realm.family(), self.realm.letter(), self.variant.number(), flags]);
        if let Some(at) = serves.flatten().filter(|_| self.realm.is_global()) {
            match at.ip() {
                IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
            }
            out.extend_from_slice(&at.port().to_be_bytes());
        }
        let count = estimate.values().take(VALUES_MAX).count();
        out.push(u8::try_from(count).unwrap_or_default());
        estimate.values().take(count).for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
        out
    }

    /// Takes back what was stored, at the start.
    ///
    /// # Errors
    /// [`Broken`] for another format, another realm's, or what is not whole; then nothing has changed.
    pub(crate) fn restore(&mut self, bytes: &[u8], now: Time) -> Result<Saved, Broken> {
        match bytes {
            [FORMAT, ..] => {}
            [other, ..] => return Err(Broken::Format(*other)),
            [] => return Err(Broken::Content),
        }
        let Some((item, saved)) = read(bytes, self.realm) else { return Err(Broken::Content) };
        self.variant = item.variant;
        self.has_held_64 |= item.has_held_64;
        if item.has_served {
            self.role.resume(item.at);
            if let Some(at) = self.fixed {
                self.role.on_located(at, self.realm);
            }
        }
        self.move_if(now);
        Ok(saved)
    }
}

struct Item {
    variant: Variant,
    has_held_64: bool,
    has_served: bool,
    at: Option<SocketAddr>,
}

fn read(bytes: &[u8], realm: Realm) -> Option<(Item, Saved)> {
    let ([_, of_family, of_reach, variant, flags], mut rest) = bytes.split_first_chunk()?;
    let is_sound = *of_family == realm.family() && *of_reach == realm.letter() && *variant < 8 && *flags <= HELD_64 | SERVED;
    is_sound.then_some(())?;
    let has_served = flags & SERVED != 0;
    let at = if has_served && realm.is_global() { Some(address(&mut rest, realm)?) } else { None };
    let [count] = take(&mut rest)?;
    let values = (0..count).map(|_| take(&mut rest).map(u16::from_be_bytes)).collect::<Option<Vec<_>>>()?;
    (rest.is_empty() && values.len() <= VALUES_MAX).then_some(())?;
    let item = Item { variant: Variant::from_low_bits(*variant), has_held_64: flags & HELD_64 != 0, has_served, at };
    Some((item, Saved { estimate: Estimate::from_values(values) }))
}

fn address(rest: &mut &[u8], realm: Realm) -> Option<SocketAddr> {
    let ip: IpAddr = if realm.is_v6 { Ipv6Addr::from(take::<16>(rest)?).into() } else { Ipv4Addr::from(take::<4>(rest)?).into() };
    let at = SocketAddr::new(ip, u16::from_be_bytes(take(rest)?));
    (Realm::of(at) == Some(realm) && is_lasting(at)).then_some(at)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}
