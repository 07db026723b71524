//! What a swarm runs.

use overcom_core::{Action, Event, Node, Packet, Solo, Time};

/// A state machine without I/O: it is told what happens, and asked what it wants done and when it wants to be woken.
///
/// [`Node`] is one; so is anything that lives on datagrams and time alone. The contract is that of core: `poll` until it
/// says `None` after every `handle`; [`Event::Tick`] at the deadline or later; nothing but these calls changes it.
pub trait Machine {
    /// Tells it what happened.
    fn handle(&mut self, now: Time, event: Event<'_>);

    /// The next thing that it wants done.
    fn poll(&mut self) -> Option<Action>;

    /// When it wants to be told a `Tick` at the latest; after a `Tick` it must not lie in the past for ever.
    /// Asked more often than anything else: it must be O(1).
    fn deadline(&self) -> Option<Time>;

    /// Gives a packet back that `poll` handed out, to be filled again.
    fn recycle(&mut self, packet: Packet);
}

/// Core's own machines have all of it as methods.
macro_rules! machines {
    ($($machine:ty),*) => {$(
        impl Machine for $machine {
            fn handle(&mut self, now: Time, event: Event<'_>) {
                Self::handle(self, now, event);
            }

            fn poll(&mut self) -> Option<Action> {
                Self::poll(self)
            }

            fn deadline(&self) -> Option<Time> {
                Self::deadline(self)
            }

            fn recycle(&mut self, packet: Packet) {
                Self::recycle(self, packet);
            }
        }
    )*};
}

machines!(Node, Solo);

/// For machines of different types in one swarm, and for large ones of which many are down.
impl<M: Machine + ?Sized> Machine for Box<M> {
    fn handle(&mut self, now: Time, event: Event<'_>) {
        (**self).handle(now, event);
    }

    fn poll(&mut self) -> Option<Action> {
        (**self).poll()
    }

    fn deadline(&self) -> Option<Time> {
        (**self).deadline()
    }

    fn recycle(&mut self, packet: Packet) {
        (**self).recycle(packet);
    }
}
