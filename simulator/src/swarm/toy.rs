//! A machine for tests: says a number to another one each second, and remembers what it hears.

use std::collections::VecDeque;
use std::net::SocketAddr;

use overcom_core::{Action, Event, Notice, Packet, Path, Time};

use super::{Birth, Machine, address};
use crate::{millis, secs};

/// A teller and a listener in one.
#[derive(Debug)]
pub(crate) struct Toy {
    pub(crate) birth: Birth,
    to: Option<SocketAddr>,
    next: Option<Time>,
    said: u8,
    pub(crate) heard: Vec<(Time, SocketAddr, Vec<u8>)>,
    pub(crate) told: Vec<String>,
    pub(crate) waiting: VecDeque<Action>,
    pub(crate) recycled: usize,
}

impl Toy {
    /// Only listens.
    pub(crate) fn silent(birth: &Birth) -> Self {
        let (heard, told, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { birth: *birth, to: None, next: None, said: 0, heard, told, waiting, recycled: 0 }
    }

    /// Tells machine `to` 0, 1, 2 and on, half a second from now and then each second.
    pub(crate) fn telling(birth: &Birth, to: u32) -> Self {
        Self { to: Some(address(to)), next: Some(birth.now + millis(500)), ..Self::silent(birth) }
    }

    pub(crate) fn say(&mut self, remote: SocketAddr, bytes: &[u8]) {
        let path = Path { local: self.birth.address, remote };
        self.waiting.push_back(Action::SendDatagram { path, packet: Packet::from(bytes.to_vec()) });
    }

    /// What it heard, without when and from whom.
    pub(crate) fn words(&self) -> Vec<&[u8]> {
        self.heard.iter().map(|(_, _, bytes)| &bytes[..]).collect()
    }
}

impl Machine for Toy {
    fn handle(&mut self, now: Time, event: Event<'_>) {
        self.told.push(format!("{event:?}").split(' ').next().unwrap_or_default().to_owned());
        if let Event::Datagram { path, bytes, .. } = event {
            self.heard.push((now, path.remote, bytes.to_vec()));
        } else if let (Event::Tick, Some(to), Some(next)) = (event, self.to, self.next)
            && next <= now
        {
            self.say(to, &[self.said]);
            self.said += 1;
            self.next = Some(now + secs(1));
        }
    }

    fn poll(&mut self) -> Option<Action> {
        self.waiting.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        self.next
    }

    fn recycle(&mut self, _: Packet) {
        self.recycled += 1;
    }
}

/// What an application is told of that a toy can tell, too.
pub(crate) fn notice() -> Action {
    Action::Notify { notice: Notice::Ready }
}
