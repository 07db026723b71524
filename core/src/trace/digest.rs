//! The running digest over what a node did (spec: TRACE-4).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write as _};

use xxhash_rust::xxh3::Xxh3;

use crate::{Action, Notice};

/// XXH3-128 over every action in order, without times: when a shell polled must not matter (C1).
pub(crate) struct Digester {
    // The state has 576 bytes, aligned to 64: too much to lie inside whatever holds a recorder.
    state: Box<Xxh3>,
    actions: u64,
}

impl Digester {
    pub(crate) fn new() -> Self {
        Self { state: Box::new(Xxh3::new()), actions: 0 }
    }

    /// Adds an action: its debug form, then everything that the debug form hides.
    pub(crate) fn add(&mut self, action: &Action) {
        self.actions = self.actions.saturating_add(1);
        // Infallible: the sink takes everything.
        let _ = writeln!(Sink(&mut self.state), "{action:?}");
        match action {
            Action::SendDatagram { packet, .. } | Action::Write { packet, .. } => self.bytes(packet.bytes()),
            Action::Store { batch, .. } => {
                for change in &batch.changes {
                    self.bytes(&change.key);
                    self.bytes(&[u8::from(change.value.is_some())]);
                    self.bytes(change.value.as_deref().unwrap_or_default());
                }
            }
            Action::Notify { notice: Notice::Message(received) } => self.bytes(received.payload().as_bytes()),
            Action::Notify { notice: Notice::Restored { items, .. } } => {
                for item in items {
                    self.bytes(&item.key);
                    self.bytes(&item.value);
                }
            }
            // The line with its secret: a digest tells nothing of it.
            Action::Notify { notice: Notice::Invited { invitation, .. } } => self.bytes(invitation.to_secret_text().as_str().as_bytes()),
            Action::Connect { .. } | Action::Close { .. } | Action::Resolve { .. } | Action::Load { .. } | Action::Notify { .. } => {}
        }
    }

    /// With the length in front, so that no two lists of parts give the same bytes.
    fn bytes(&mut self, bytes: &[u8]) {
        self.state.update(&(bytes.len() as u64).to_le_bytes());
        self.state.update(bytes);
    }

    /// How many actions it covers.
    pub(crate) const fn actions(&self) -> u64 {
        self.actions
    }

    /// The digest so far; costs about a microsecond.
    pub(crate) fn value(&self) -> u128 {
        self.state.digest128()
    }

    /// The digest so far, as it stands in lines.
    pub(crate) fn text(&self) -> String {
        format!("{:032x}", self.value())
    }
}

struct Sink<'a>(&'a mut Xxh3);

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digester({} actions)", self.actions)
    }
}
