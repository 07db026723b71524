//! A bounded queue between threads that takes memory for what waits in it only. The bounded one of std takes all of it at once, which
//! for the queues of an engine is ten times what a node takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError, TrySendError, channel};

/// A queue in which so many may wait.
pub(crate) fn queue<T>(most: usize) -> (Inlet<T>, Outlet<T>) {
    let ((sender, receiver), waiting) = (channel(), Arc::<AtomicUsize>::default());
    (Inlet { sender, waiting: Arc::clone(&waiting), most }, Outlet { receiver, waiting })
}

/// Where a queue is filled, by as many threads as like.
pub(crate) struct Inlet<T> {
    sender: Sender<T>,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

// Derived, it would ask the same of what is in the queue.
impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waiting: Arc::clone(&self.waiting), most: self.most }
    }
}

impl<T> Inlet<T> {
    /// Puts one more in; never waits.
    pub(crate) fn try_send(&self, one: T) -> Result<(), TrySendError<T>> {
        let room = |waiting| (waiting < self.most).then_some(waiting + 1);
        if self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_err() {
            return Err(TrySendError::Full(one));
        }
        self.sender.send(one).map_err(|gone| TrySendError::Disconnected(gone.0))
    }
}

/// Where it is emptied.
pub(crate) struct Outlet<T> {
    receiver: Receiver<T>,
    waiting: Arc<AtomicUsize>,
}

impl<T> Outlet<T> {
    /// The oldest; waits for one until nobody can send any more.
    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        let one = self.receiver.recv()?;
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        Ok(one)
    }

    /// The oldest, if there is one.
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let one = self.receiver.try_recv()?;
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        Ok(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_wait_as_may_and_whoever_takes_one_makes_room() {
        let (inlet, outlet) = queue(2);
        assert!(inlet.try_send(1).is_ok() && inlet.clone().try_send(2).is_ok());
        assert!(matches!(inlet.try_send(3), Err(TrySendError::Full(3))));
        assert_eq!(outlet.try_recv(), Ok(1));
        assert!(inlet.try_send(4).is_ok());
        assert_eq!([outlet.recv(), outlet.recv()], [Ok(2), Ok(4)]);
        assert_eq!(outlet.try_recv(), Err(TryRecvError::Empty));
    }

    #[test]
    fn each_side_hears_that_the_other_is_gone() {
        let (inlet, outlet) = queue(2);
        assert!(inlet.try_send(1).is_ok());
        drop(inlet);
        assert_eq!((outlet.recv(), outlet.recv()), (Ok(1), Err(RecvError)));
        let (inlet, outlet) = queue(2);
        drop(outlet);
        assert!(matches!(inlet.try_send(1), Err(TrySendError::Disconnected(1))));
    }

    #[test]
    fn no_more_wait_than_may_however_many_fill_it() {
        let (inlet, outlet) = queue(100);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..100 {
                        assert!(matches!(inlet.try_send(n), Ok(()) | Err(TrySendError::Full(_))));
                    }
                });
            }
        });
        assert_eq!(std::iter::from_fn(|| outlet.try_recv().ok()).count(), 100);
    }
}
