//! Somebody who has recorded what a device said when it bound itself, and says it again.

use alloc::format;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::{WALL, draw_credentials};
use crate::action::Path;
use crate::address::Scope;
use crate::cx::Cx;
use crate::dht::bind::{Bind, LinkName, Status};
use crate::dht::record::{AddressRecord, DeviceRecord};
use crate::dht::{Dht, Heard};
use crate::id::to_base64;
use crate::identity::Credentials;
use crate::{Config, NodeKey, NodeSecret, PipeId, Rng, Seed};

/// The device's own link.
const OWN: PipeId = PipeId::new(1);
/// After so many replays the device binds anew, so that what is replayed is fresh, and what was said before is old.
const FRESH: u64 = 2_000;
/// As long a clock may be off (spec: DHT-154), and a little.
const STALE: Duration = Duration::from_secs(601);

/// A machine that keeps a home, and a device that is bound there.
pub struct Replays {
    tracker: Dht,
    cx: Cx,
    own: Credentials,
    rng: Rng,
    /// The device's link, what it has said on it last, and the time before.
    link: LinkName,
    said: Option<Bind>,
    old: Option<Bind>,
    count: u64,
}

/// What is done with a recorded bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replay {
    /// Said as it is on another link.
    Elsewhere,
    /// Said on another link, with that link's name in it.
    Moved,
    /// Said on the device's own link, more than ten minutes later.
    Later,
    /// Said to a machine with another key, over a link of the same name.
    OtherTracker,
}

impl Replays {
    /// With everything drawn from this seed; `None` if the device could not be bound.
    pub fn new(seed: u64) -> Option<Self> {
        let config = Config::test().dht_verifies_per_second(1_000_000);
        let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork("replays", seed);
        let mut cx = Cx::new(config, rng.fork("cx", 0), crate::Time::from_secs(1), WALL);
        let keys = NodeSecret::from_bytes(rng.array()).noise_pair(&config.crypto);
        let mut tracker = Dht::new(&cx, keys, rng.fork("dht", 0));
        let at = end(1);
        tracker.on_addresses(&mut cx, &[at], false);
        let request = format!(r#"{{"v":1,"t":"R9xUDJTOtwQ","q":"ping","pad":"{}"}}"#, ".".repeat(150));
        tracker.on_datagram(&mut cx, Path { local: at, remote: end(9) }, request.as_bytes());
        let link = LinkName { tracker: tracker.key(), name: rng.array() };
        let own = draw_credentials(8)?;
        let mut replays = Self { tracker, cx, own, rng, link, said: None, old: None, count: 0 };
        replays.pass(Duration::from_secs(10));
        replays.bind().then_some(replays)
    }

    /// Replays the next way; whether it was taken. With `is_checked` off the machine believes what a bind says of its link.
    pub fn replay(&mut self, is_checked: bool) -> Option<(Replay, bool)> {
        self.count = self.count.saturating_add(1);
        if self.count.is_multiple_of(FRESH) && !self.bind() {
            return None;
        }
        self.pass(Duration::from_millis(1));
        let (said, old) = (self.said.clone()?, self.old.clone().or_else(|| self.said.clone())?);
        let other = LinkName { name: self.rng.array(), ..self.link };
        let (way, bind, link) = match self.count % 4 {
            0 => (Replay::Elsewhere, said, other),
            1 => (Replay::Moved, moved(&said, &self.link, &other)?, other),
            2 if self.old.is_some() => (Replay::Later, old, self.link),
            2 => (Replay::Elsewhere, said, other),
            _ => (Replay::OtherTracker, said, LinkName { tracker: NodeKey::from_bytes(self.rng.array()), ..self.link }),
        };
        let pipe = PipeId::new(self.count.saturating_add(1));
        let link = if is_checked { link } else { self.link };
        let heard = self.tracker.on_bind(&mut self.cx, pipe, &link, end(66), &bind);
        let is_taken = matches!(heard, Heard::Answer(bound) if matches!(bound.status, Status::Bound | Status::Unreachable));
        self.tracker.on_bind_closed(pipe);
        self.drain();
        Some((way, is_taken))
    }

    /// Whether the device is still bound, and nobody else.
    pub fn is_bound(&self) -> bool {
        self.tracker.view(self.cx.now).binds == 1
    }

    /// The device binds itself, as it does each time that its record is another.
    fn bind(&mut self) -> bool {
        self.pass(STALE);
        let (crypto, wall) = (self.cx.config.crypto, self.cx.wall);
        let Ok(record) = AddressRecord::sign(&crypto, &self.own, Scope::Private, wall.as_millis(), Vec::new(), Vec::new()) else {
            return false;
        };
        let bind = Bind::sign(&crypto, &self.own, record, &self.link, 0, wall);
        let mut heard = self.tracker.on_bind(&mut self.cx, OWN, &self.link, end(8), &bind);
        if matches!(heard, Heard::Answer(bound) if bound.status == Status::NoDevice) {
            let device = DeviceRecord::new(Some(self.own.delegation().clone()), None).map(|record| record.to_json());
            let is_asked = device.is_some_and(|json| self.tracker.on_bind_device(&mut self.cx, OWN, end(8), &json));
            if is_asked {
                heard = self.tracker.on_bind(&mut self.cx, OWN, &self.link, end(8), &bind);
            }
        }
        self.drain();
        self.old = self.said.replace(bind);
        matches!(heard, Heard::Answer(bound) if bound.status == Status::Bound)
    }

    fn pass(&mut self, length: Duration) {
        let now = self.cx.now + length;
        self.cx.set_now(now);
        self.tracker.on_tick(&mut self.cx);
        self.drain();
    }

    fn drain(&mut self) {
        self.cx.actions.clear();
        while self.tracker.told().is_some() {}
    }
}

/// A bind with another link's name in the place of its own.
fn moved(bind: &Bind, from: &LinkName, to: &LinkName) -> Option<Bind> {
    Bind::from_json(&bind.to_json().replace(&to_base64(&from.name), &to_base64(&to.name))).ok()
}

fn end(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 7575)
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec-test: DHT-154
    #[test]
    fn no_replay_is_taken_and_without_the_check_those_are_that_nothing_else_refuses() {
        let mut replays = Replays::new(1).unwrap();
        for _ in 0..2 * FRESH {
            assert!(matches!(replays.replay(true), Some((_, false))));
        }
        assert!(replays.is_bound());
        let mut unchecked = Replays::new(1).unwrap();
        let taken: Vec<_> = (0..2 * FRESH).filter_map(|_| unchecked.replay(false)).collect();
        assert_eq!(taken.len(), usize::try_from(2 * FRESH).unwrap());
        for (way, is_taken) in taken {
            assert_eq!(is_taken, matches!(way, Replay::Elsewhere | Replay::OtherTracker), "{way:?}");
        }
    }
}
