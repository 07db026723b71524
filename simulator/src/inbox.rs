//! Applications of the simulator's own: one that keeps what it is told, one that watches another.

use overcom_core::{App, AppCx, Notice, Received, Saved, Time};

/// Notices that are kept for checks (guess: more than a scenario's assertions look at).
const NOTICES_MAX: usize = 100_000;

/// The application of a [`Sim`](crate::Sim) that has none: it keeps the messages.
#[derive(Debug, Default)]
pub struct Inbox {
    messages: Vec<Received>,
}

impl Inbox {
    /// An empty one.
    pub const fn new() -> Self {
        Self { messages: Vec::new() }
    }

    /// What came, in order, since the process started.
    pub fn messages(&self) -> &[Received] {
        &self.messages
    }
}

impl App for Inbox {
    fn on_start(&mut self, _cx: &mut AppCx<'_>, _saved: Saved) {}

    fn on_notice(&mut self, _cx: &mut AppCx<'_>, notice: Notice) {
        if let Notice::Message(message) = notice {
            self.messages.push(message);
        }
    }
}

/// Passes everything on to the application and remembers what it was told.
#[derive(Debug)]
pub(crate) struct Watched<A> {
    pub(crate) app: A,
    pub(crate) started: bool,
    pub(crate) notices: Vec<Notice>,
    /// How many of them stand in the ladder already.
    pub(crate) told: usize,
}

impl<A> Watched<A> {
    pub(crate) const fn new(app: A) -> Self {
        Self { app, started: false, notices: Vec::new(), told: 0 }
    }
}

impl<A: App> App for Watched<A> {
    fn on_start(&mut self, cx: &mut AppCx<'_>, saved: Saved) {
        self.started = true;
        self.app.on_start(cx, saved);
    }

    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(notice.clone());
        }
        self.app.on_notice(cx, notice);
    }

    fn on_deadline(&mut self, cx: &mut AppCx<'_>) {
        self.app.on_deadline(cx);
    }

    fn deadline(&self) -> Option<Time> {
        self.app.deadline()
    }
}
