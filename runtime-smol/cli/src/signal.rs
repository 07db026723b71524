//! Signals that ask this process to end. The first one lets it end in order, the next one ends it at once.

use std::sync::OnceLock;

use async_signal::{Signal, Signals};
use smol::channel::{Receiver, bounded};
use smol::future::or;
use smol::stream::StreamExt as _;

use crate::fail::Fail;

/// Ctrl-C, and what service managers send.
const ENDING: &[Signal] = &[
    Signal::Int,
    #[cfg(unix)]
    Signal::Term,
];

/// The first signal that came.
static FIRST: OnceLock<Signal> = OnceLock::new();
/// Closed when it has come; nothing is ever sent.
static COMES: OnceLock<Receiver<()>> = OnceLock::new();

/// Waits until a signal has asked this process to end; at once if one has. From the first call on signals do nothing else.
pub(crate) async fn asked() -> Signal {
    let _ = COMES.get_or_init(watch).recv().await;
    match FIRST.get() {
        Some(signal) => *signal,
        // Signals cannot be watched here: they do what they do by themselves.
        None => smol::future::pending().await,
    }
}

/// Does `work`, unless a signal asks this process to end.
pub(crate) async fn unless_asked<T>(work: impl Future<Output = Result<T, Fail>>) -> Result<T, Fail> {
    or(async { Err(Fail::asked(asked().await)) }, work).await
}

fn watch() -> Receiver<()> {
    let (comes, receiver) = bounded(1);
    let Ok(mut signals) = Signals::new(ENDING) else { return receiver };
    smol::spawn(async move {
        if let Some(Ok(signal)) = signals.next().await {
            let _ = FIRST.set(signal);
        }
        drop(comes);
        if let Some(Ok(signal)) = signals.next().await {
            std::process::exit(code(signal).into());
        }
    })
    .detach();
    receiver
}

/// What a shell says of a process that a signal has ended.
pub(crate) fn code(signal: Signal) -> u8 {
    // Signals have numbers from 1 to 31.
    128 | (signal as u8)
}
