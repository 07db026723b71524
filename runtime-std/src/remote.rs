//! How other threads speak with an engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

use overcom_core::{Command, CommandError, Node, Tag};

use crate::queue::Inlet;
use crate::work::Waker;

/// Called with an answer on the engine's thread.
type Answer<T> = Box<dyn FnOnce(T) + Send>;

pub(crate) enum Request {
    Command(Box<Command>, Answer<Result<Tag, CommandError>>),
    Look(Box<dyn FnOnce(&Node) + Send>),
    Rebind(Answer<io::Result<()>>),
    Stop,
}

/// Speaks with an engine from other threads. Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    pub(crate) requests: Inlet<Request>,
    pub(crate) waker: Waker,
    /// Notices that are taken and of which the node does not know yet.
    pub(crate) taken: Arc<AtomicU64>,
    /// As in [`Remote::passed`].
    pub(crate) passed: Arc<AtomicU64>,
}

impl Remote {
    /// Asks the node for something; `answer` is called on the engine's thread with what [`Node::command`] says.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if too much is on its way to the engine, [`CommandError::Stopped`] if the engine is gone.
    pub fn command(&self, command: Command, answer: impl FnOnce(Result<Tag, CommandError>) + Send + 'static) -> Result<(), CommandError> {
        self.ask(Request::Command(Box::new(command), Box::new(answer)))
    }

    /// Shows the node to `look` on the engine's thread, which waits for it.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn look(&self, look: impl FnOnce(&Node) + Send + 'static) -> Result<(), CommandError> {
        self.ask(Request::Look(Box::new(look)))
    }

    /// As [`Engine::rebind`](crate::Engine::rebind); `answer` is called on the engine's thread with what it says.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn rebind(&self, answer: impl FnOnce(io::Result<()>) + Send + 'static) -> Result<(), CommandError> {
        self.ask(Request::Rebind(Box::new(answer)))
    }

    /// The application is through with `notices` more of a [`Bare`](crate::Bare) engine's notices, in the order in which they
    /// were handed over (spec: SHELL-14). The node is told in the engine's next turn.
    pub fn taken(&self, notices: u64) {
        self.taken.fetch_add(notices, Ordering::Relaxed);
        (self.waker)();
    }

    /// The application is through with so many notices in all that are no messages and that it cannot say
    /// [`taken`](Self::taken) of yet, as an older message is not taken. Say it anew when the number has changed.
    pub fn passed(&self, notices: u64) {
        self.passed.store(notices, Ordering::Relaxed);
        (self.waker)();
    }

    /// Ends the engine after its present turn.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn stop(&self) -> Result<(), CommandError> {
        self.ask(Request::Stop)
    }

    fn ask(&self, request: Request) -> Result<(), CommandError> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        match self.requests.try_send(request) {
            Ok(()) => (self.waker)(),
            Err(Full(_)) => return Err(CommandError::Busy),
            Err(Disconnected(_)) => return Err(CommandError::Stopped),
        }
        Ok(())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}
