//! A bell beside a sleeping future: sockets ring it, each with its own name.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use overcom_core::PipeId;

/// What may be ready.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// The listener may have connections.
    Listener,
    /// The datagram socket may have some.
    Datagrams,
    /// A pipe may have bytes or room, or has ended.
    Pipe(PipeId),
}

/// Wakes the future that runs an engine, and notes what for, so that it need not ask every socket.
#[derive(Debug, Default)]
pub struct Bell(Mutex<Rung>);

#[derive(Debug, Default)]
struct Rung {
    sleeper: Option<Waker>,
    /// At most one entry for each time a socket was armed.
    by: Vec<Source>,
}

impl Bell {
    /// From now on this task is woken, once.
    pub fn sleep(&self, task: &Waker) {
        self.rung().sleeper = Some(task.clone());
    }

    /// Something other than a socket has changed.
    pub fn ring(&self) {
        let sleeper = self.rung().sleeper.take();
        sleeper.into_iter().for_each(Waker::wake);
    }

    /// The sockets that have rung since the last call.
    pub fn rung_by(&self) -> Vec<Source> {
        mem::take(&mut self.rung().by)
    }

    /// What `source` rings with.
    pub fn waker_of(self: &Arc<Self>, source: Source) -> Waker {
        Arc::new(Ringer { source, bell: Arc::clone(self) }).into()
    }

    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Ringer {
    source: Source,
    bell: Arc<Bell>,
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        self.bell.rung().by.push(self.source);
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_socket_wakes_the_sleeper_once_and_is_named() {
        let (bell, count) = (Arc::new(Bell::default()), Arc::new(Count::default()));
        bell.sleep(&Arc::clone(&count).into());
        bell.waker_of(Source::Listener).wake();
        bell.waker_of(Source::Pipe(PipeId::new(3))).wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(bell.rung_by(), [Source::Listener, Source::Pipe(PipeId::new(3))]);
        assert_eq!(bell.rung_by(), []);
    }
}
