//! Recordings, ladders and replay.

use crate::{Action, Command, Event, Time};

/// Records what goes through a [`Driver`](crate::Driver).
#[derive(Debug)]
pub struct Recorder {
    inputs: u64,
    actions: u64,
}

impl Recorder {
    pub(crate) fn on_event(&mut self, _now: Time, _event: &Event<'_>) {
        self.inputs = self.inputs.saturating_add(1);
    }

    pub(crate) fn on_command(&mut self, _now: Time, _command: &Command) {
        self.inputs = self.inputs.saturating_add(1);
    }

    pub(crate) fn on_action(&mut self, _now: Time, _action: &Action) {
        self.actions = self.actions.saturating_add(1);
    }
}
