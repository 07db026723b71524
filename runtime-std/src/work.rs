//! Work that blocks, on threads of its own: storage and name look-ups. Answers wait until the shell asks for them.

use std::collections::VecDeque;
use std::net::{IpAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use overcom_core::{Batch, Driver, Event, OpId, Page, ResolveError, StoreError, Time};

use crate::queue::{Inlet, Outlet, queue};
use crate::store::{Loaded, Store};

/// Storage calls that may wait. A node has one durable batch under way and a few soft ones (spec: STORE-4); guess.
const STORE_QUEUE_MAX: usize = 4_096;
/// Look-ups that may wait; a node has as many dials under way at most (guess).
const LOOKUP_QUEUE_MAX: usize = 64;
/// Batches that share one commit at most, so that a commit stays short (guess).
const BATCHES_PER_COMMIT_MAX: usize = 256;

/// Work that is done: the answer to a `Store`, a `Load` or a `Resolve`.
#[derive(Clone, PartialEq, Debug)]
pub enum Finished {
    /// This batch and all before it are stored, or not.
    Stored(OpId, Result<(), StoreError>),
    /// A page is read, or not.
    Loaded(OpId, Result<Loaded, StoreError>),
    /// A name is looked up, or not.
    Resolved(OpId, Result<Vec<IpAddr>, ResolveError>),
}

impl Finished {
    /// Tells a node.
    pub fn hand_in(&self, driver: &mut Driver, now: Time) {
        driver.handle(now, self.event());
    }

    /// As the event that it is.
    pub fn event(&self) -> Event<'_> {
        match self {
            Self::Stored(op, outcome) => Event::stored(*op, *outcome),
            Self::Loaded(op, Ok((items, more))) => Event::loaded(*op, Ok(Page { items, more: *more })),
            Self::Loaded(op, Err(why)) => Event::loaded(*op, Err(*why)),
            Self::Resolved(op, Ok(addresses)) => Event::resolved(*op, Ok(addresses)),
            Self::Resolved(op, Err(why)) => Event::resolved(*op, Err(*why)),
        }
    }
}

/// What wakes a shell that sleeps. Called from other threads; it must not block.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// The blocking work of one node: a storage thread, and a look-up thread that starts with the first name.
///
/// Dropping it waits until everything that was given to storage is stored. A look-up is not waited for.
pub struct Work {
    store: Option<Inlet<Request>>,
    storage: Option<JoinHandle<()>>,
    names: Option<Inlet<Question>>,
    answers: Sender<Finished>,
    done: Receiver<Finished>,
    /// Answers of calls that found a queue full or a thread gone.
    refused: VecDeque<Finished>,
    waker: Waker,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("refused", &self.refused).finish_non_exhaustive()
    }
}

impl Work {
    /// Starts the storage thread. `waker` is called after each answer.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn start(store: impl Store + 'static, waker: Waker) -> io::Result<Self> {
        let (requests, inbox) = queue(STORE_QUEUE_MAX);
        let (answers, done) = channel();
        let (reply, wake) = (answers.clone(), Arc::clone(&waker));
        let storage = thread::Builder::new().name("overcom-store".into()).spawn(move || keep(store, &inbox, &reply, &wake))?;
        Ok(Self { store: Some(requests), storage: Some(storage), names: None, answers, done, refused: VecDeque::new(), waker })
    }

    /// Starts to store a batch. Answers come in the order of these calls.
    pub fn store(&mut self, op: OpId, batch: Batch, durable: bool) {
        if !self.request(Request::Store(op, batch, durable)) {
            self.refused.push_back(Finished::Stored(op, Err(StoreError::Failed)));
        }
    }

    /// Starts to read a range; it sees every batch that was given before.
    pub fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        if !self.request(Request::Load(op, from, to, limit)) {
            self.refused.push_back(Finished::Loaded(op, Err(StoreError::Failed)));
        }
    }

    /// Starts to look a name up. A full queue answers at once that nobody could be asked.
    pub fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        if self.names.is_none() {
            self.names = start_lookups(self.answers.clone(), Arc::clone(&self.waker)).ok();
        }
        let taken = self.names.as_ref().is_some_and(|names| names.try_send((op, name.into(), port)).is_ok());
        if !taken {
            self.refused.push_back(Finished::Resolved(op, Err(ResolveError::Failed)));
        }
    }

    /// The next answer, if there is one.
    pub fn next_finished(&mut self) -> Option<Finished> {
        // What was refused was asked after everything that is done or under way: it comes last.
        match self.done.try_recv() {
            Ok(finished) => Some(finished),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => self.refused.pop_front(),
        }
    }

    fn request(&self, request: Request) -> bool {
        self.store.as_ref().is_some_and(|store| store.try_send(request).is_ok())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        drop(self.store.take());
        if let Some(storage) = self.storage.take() {
            // A store that panicked has said so on stderr; there is nothing to add.
            let _ = storage.join();
        }
    }
}

/// A name and a port to look up.
type Question = (OpId, String, u16);

enum Request {
    Store(OpId, Batch, bool),
    Load(OpId, Vec<u8>, Vec<u8>, u32),
}

/// The storage thread: everything that is queued goes into one commit, answers in order.
fn keep(mut store: impl Store, inbox: &Outlet<Request>, answers: &Sender<Finished>, waker: &Waker) {
    // After a failure nothing more is stored: a later batch must not survive where an earlier one is lost (spec: SHELL-10).
    let mut broken = None;
    // Nobody knows what a store is like that has panicked.
    let mut has_panicked = false;
    while let Ok(first) = inbox.recv() {
        let mut next = Some(first);
        while let Some(request) = next.take() {
            let finished = match request {
                Request::Load(op, from, to, limit) => Finished::Loaded(op, guarded(&mut has_panicked, || store.load(&from, &to, limit))),
                Request::Store(op, batch, durable) => {
                    let mut last = op;
                    let mut batches = vec![(batch, durable)];
                    while batches.len() < BATCHES_PER_COMMIT_MAX && next.is_none() {
                        match inbox.try_recv() {
                            Ok(Request::Store(op, batch, durable)) => {
                                last = op;
                                batches.push((batch, durable));
                            }
                            Ok(load) => next = Some(load),
                            Err(_) => break,
                        }
                    }
                    if broken.is_none() {
                        broken = guarded(&mut has_panicked, || store.store(&batches)).err();
                    }
                    Finished::Stored(last, broken.map_or(Ok(()), Err))
                }
            };
            // Nobody listens any more while a shell shuts down; what is queued is still stored.
            let _ = answers.send(finished);
            waker();
        }
    }
}

/// What a store answers; that it failed, if it panics or has panicked. The panic itself is on standard error.
fn guarded<T>(has_panicked: &mut bool, call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    if *has_panicked {
        return Err(StoreError::Failed);
    }
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        *has_panicked = true;
        Err(StoreError::Failed)
    })
}

fn start_lookups(answers: Sender<Finished>, waker: Waker) -> io::Result<Inlet<Question>> {
    let (questions, inbox) = queue::<Question>(LOOKUP_QUEUE_MAX);
    thread::Builder::new().name("overcom-names".into()).spawn(move || {
        while let Ok((op, name, port)) = inbox.recv() {
            if answers.send(Finished::Resolved(op, look_up(&name, port))).is_err() {
                return;
            }
            waker();
        }
    })?;
    Ok(questions)
}

fn look_up(name: &str, port: u16) -> Result<Vec<IpAddr>, ResolveError> {
    let found = (name, port).to_socket_addrs().map_err(|_| ResolveError::Failed)?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|address| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(ResolveError::Unknown) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::store::MemoryStore;

    /// Takes calls only when told, and notes how many batches each holds.
    struct Gate {
        open: Receiver<()>,
        calls: Arc<Mutex<Vec<usize>>>,
        inner: MemoryStore,
        fails_at: Option<usize>,
    }

    impl Store for Gate {
        fn store(&mut self, batches: &[(Batch, bool)]) -> Result<(), StoreError> {
            self.open.recv().map_err(|_| StoreError::Failed)?;
            let mut calls = self.calls.lock().unwrap();
            calls.push(batches.len());
            if self.fails_at == Some(calls.len()) {
                return Err(StoreError::Full);
            }
            self.inner.store(batches)
        }

        fn load(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Loaded, StoreError> {
            self.inner.load(from, to, limit)
        }
    }

    struct Bench {
        work: Work,
        woken: Receiver<()>,
        open: Sender<()>,
        calls: Arc<Mutex<Vec<usize>>>,
    }

    fn bench(fails_at: Option<usize>) -> Bench {
        let (open, gate) = channel();
        let (wake, woken) = channel();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let store = Gate { open: gate, calls: Arc::clone(&calls), inner: MemoryStore::new(), fails_at };
        let wake = Mutex::new(wake);
        let waker: Waker = Arc::new(move || wake.lock().unwrap().send(()).unwrap_or_default());
        Bench { work: Work::start(store, waker).unwrap(), woken, open, calls }
    }

    impl Bench {
        fn wait(&mut self) -> Finished {
            loop {
                if let Some(finished) = self.work.next_finished() {
                    return finished;
                }
                self.woken.recv_timeout(Duration::from_secs(20)).unwrap();
            }
        }
    }

    fn batch(key: &[u8]) -> Batch {
        let mut batch = Batch::default();
        batch.put(key, b"value".as_slice());
        batch
    }

    fn op(n: u64) -> OpId {
        OpId::new(n)
    }

    // spec-test: SHELL-9
    #[test]
    fn what_gathers_during_a_sync_shares_the_next_and_a_load_sees_all_before_it() {
        let mut bench = bench(None);
        bench.work.store(op(1), batch(b"a"), true);
        // The first batch is with the store, which waits; give it time to be taken alone.
        thread::sleep(Duration::from_millis(50));
        for n in 2..=9 {
            bench.work.store(op(n), batch(&[b'a' + u8::try_from(n).unwrap()]), true);
        }
        bench.work.load(op(10), b"a".to_vec(), b"z".to_vec(), 100);
        for _ in 0..2 {
            bench.open.send(()).unwrap();
        }
        assert_eq!(bench.wait(), Finished::Stored(op(1), Ok(())));
        assert_eq!(bench.wait(), Finished::Stored(op(9), Ok(())));
        let Finished::Loaded(_, Ok((items, more))) = bench.wait() else { panic!("no page") };
        assert_eq!((items.len(), more), (9, false));
        assert_eq!(*bench.calls.lock().unwrap(), [1, 8]);
    }

    // spec-test: SHELL-10
    #[test]
    fn after_a_failed_batch_no_later_one_is_stored() {
        let mut bench = bench(Some(1));
        bench.work.store(op(1), batch(b"a"), true);
        bench.open.send(()).unwrap();
        assert_eq!(bench.wait(), Finished::Stored(op(1), Err(StoreError::Full)));
        bench.work.store(op(2), batch(b"b"), true);
        assert_eq!(bench.wait(), Finished::Stored(op(2), Err(StoreError::Full)));
        assert_eq!(bench.calls.lock().unwrap().len(), 1);
    }

    /// Panics in the calls of one kind.
    struct Panics {
        in_load: bool,
    }

    impl Store for Panics {
        fn store(&mut self, _: &[(Batch, bool)]) -> Result<(), StoreError> {
            assert!(self.in_load, "a mistake in a store");
            Ok(())
        }

        fn load(&mut self, _: &[u8], _: &[u8], _: u32) -> Result<Loaded, StoreError> {
            assert!(!self.in_load, "a mistake in a store");
            Ok((Vec::new(), false))
        }
    }

    // spec-test: SHELL-10
    #[test]
    fn a_store_that_panics_has_failed_and_is_asked_nothing_more() {
        for in_load in [true, false] {
            let (wake, woken) = channel();
            let wake = Mutex::new(wake);
            let waker: Waker = Arc::new(move || wake.lock().unwrap().send(()).unwrap_or_default());
            let mut work = Work::start(Panics { in_load }, waker).unwrap();
            for number in 0..3 {
                let is_load = in_load == (number % 2 == 0);
                if is_load {
                    work.load(op(number), vec![], vec![], 1);
                } else {
                    work.store(op(number), batch(b"a"), true);
                }
                woken.recv_timeout(Duration::from_secs(20)).unwrap();
                let failed = Err(StoreError::Failed);
                let expected =
                    if is_load { Finished::Loaded(op(number), failed) } else { Finished::Stored(op(number), failed.map(|_: Loaded| ())) };
                assert_eq!(work.next_finished(), Some(expected), "{number}");
            }
        }
    }

    #[test]
    fn dropping_it_stores_what_was_given() {
        let mut bench = bench(None);
        for n in 0..3 {
            bench.work.store(op(n), batch(b"k"), false);
            bench.open.send(()).unwrap();
        }
        drop(bench.work);
        assert_eq!(bench.calls.lock().unwrap().iter().sum::<usize>(), 3);
    }

    #[test]
    fn a_name_is_looked_up_and_nonsense_is_not_found() {
        let mut bench = bench(None);
        bench.work.resolve(op(1), "localhost", 80);
        let Finished::Resolved(_, Ok(addresses)) = bench.wait() else { panic!("localhost has no address") };
        assert!(addresses.iter().all(IpAddr::is_loopback));
        bench.work.resolve(op(2), "no such name.invalid", 80);
        assert!(matches!(bench.wait(), Finished::Resolved(_, Err(_))));
    }
}
