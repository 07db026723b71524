//! One conversation in JSON Lines: standard input and output, or a connection to the control socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use smol::channel::{Receiver, Sender, bounded, unbounded};
use smol::io::{self, AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::hub::{Ending, Out, SessionId, Told};
use crate::proto::{LINE_BYTES_MAX, Line, Lines, Op, Request, parse, too_long};

/// Requests whose answers were not written yet; then no more are read (guess).
const UNANSWERED_MAX: usize = 256;
/// What those requests and their answers may take; then no more are read either (guess: two of the longest).
const UNANSWERED_BYTES_MAX: usize = 2 << 20;
/// The longest answer: every name that there may be, with its id.
const ANSWER_BYTES_MAX: usize = 640 << 10;
/// An answer to what asks for no list (guess).
const ANSWER_BYTES: usize = 4 << 10;
/// Lines that wait are written at once, up to this many bytes and one line (guess: what a pipe holds).
const WRITE_BYTES: usize = 64 << 10;

/// What begins sessions with a hub.
#[derive(Clone)]
pub(crate) struct Entrance {
    hub: Sender<Told>,
    next: Arc<AtomicU64>,
}

/// What the end of a session means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The node is run for it and ends with it. It is told every notice from the start.
    Master,
    /// The node stays. It is told what it asks for.
    Guest,
}

impl Entrance {
    pub(crate) fn new(hub: Sender<Told>) -> Self {
        Self { hub, next: Arc::default() }
    }

    /// Tells the hub something that is no session's.
    pub(crate) async fn tell(&self, told: Told) {
        // A hub that is gone has ended already.
        let _ = self.hub.send(told).await;
    }

    /// One whole session. It is over when both ways are, or when the other end cannot be written to, which is an error.
    pub(crate) async fn hold(
        self,
        role: Role,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
    ) -> io::Result<()> {
        let session = self.next.fetch_add(1, Ordering::Relaxed);
        let ((out, lines), (may, asked), room) = (unbounded(), bounded(UNANSWERED_MAX), Arc::new(Room::new()));
        self.tell(Told::Enter { session, out, is_listening: role == Role::Master }).await;
        let reading = smol::spawn(read(self.hub.clone(), session, role, reader, (may, room.clone())));
        let written = write(&self.hub, session, lines, (asked, room), writer).await;
        drop(reading);
        self.tell(match (role, &written) {
            (Role::Master, Err(_)) => Told::End(Ending::Deaf),
            (Role::Master | Role::Guest, _) => Told::Leave { session },
        })
        .await;
        written
    }
}

/// What a session's requests and answers take until they are written. One reader takes, one writer gives back.
struct Room {
    taken: AtomicUsize,
    given: (Sender<()>, Receiver<()>),
}

impl Room {
    fn new() -> Self {
        Self { taken: AtomicUsize::new(0), given: bounded(1) }
    }

    /// Waits until there is room; there always is for one alone.
    async fn take(&self, bytes: usize) {
        loop {
            let taken = self.taken.load(Ordering::Acquire);
            if taken == 0 || taken.saturating_add(bytes) <= UNANSWERED_BYTES_MAX {
                break;
            }
            // Both ends of this are here: it does not end.
            let _ = self.given.1.recv().await;
        }
        self.taken.fetch_add(bytes, Ordering::AcqRel);
    }

    fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::AcqRel);
        // One that was not heard yet says the same.
        let _ = self.given.0.try_send(());
    }
}

/// What a request of so many bytes may take with its answer, in which a refusal may repeat a part of it.
fn cost(request: &Request, length: usize) -> usize {
    let answer = match request.op {
        Ok(Op::Names | Op::Links | Op::Outbox | Op::Invitations | Op::Dht | Op::Why { .. }) => ANSWER_BYTES_MAX,
        Ok(_) | Err(_) => ANSWER_BYTES,
    };
    2 * length + answer
}

/// Hands every line to the hub, in order.
async fn read(hub: Sender<Told>, session: SessionId, role: Role, reader: impl AsyncRead + Unpin, (may, room): (Sender<usize>, Arc<Room>)) {
    let mut lines = Lines::new(reader, LINE_BYTES_MAX);
    // What cannot be read has ended.
    while let Ok(Some(line)) = lines.next().await {
        let length = if let Line::Text(text) = &line { text.len() } else { 0 };
        let request = match line {
            // Shells and people leave blank lines; they ask nothing.
            Line::Text(text) if text.trim_ascii().is_empty() => continue,
            Line::Text(text) => parse(&text),
            Line::TooLong => too_long(),
        };
        let cost = cost(&request, length);
        room.take(cost).await;
        if may.send(cost).await.is_err() || hub.send(Told::Ask { session, request }).await.is_err() {
            return;
        }
    }
    // A hub that is gone has ended already.
    let _ = hub
        .send(match role {
            Role::Master => Told::End(Ending::Asked),
            Role::Guest => Told::Leave { session },
        })
        .await;
}

/// Writes lines as they come, each at once, those that wait together.
async fn write(
    hub: &Sender<Told>,
    session: SessionId,
    lines: Receiver<Out>,
    (asked, room): (Receiver<usize>, Arc<Room>),
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    // The first line answers nothing.
    let mut is_greeting = true;
    while let Ok(first) = lines.recv().await {
        let (mut bytes, mut notices, mut answered) = (Vec::new(), 0, 0);
        let mut next = Some(first);
        while let Some(line) = next {
            match line {
                Out::Answer(text) => {
                    bytes.extend_from_slice(text.as_bytes());
                    if !std::mem::take(&mut is_greeting) {
                        answered += asked.try_recv().unwrap_or_default();
                    }
                }
                Out::Notice(text) => {
                    bytes.extend_from_slice(text.as_bytes());
                    notices += 1;
                }
            }
            next = if bytes.len() < WRITE_BYTES { lines.try_recv().ok() } else { None };
        }
        writer.write_all(&bytes).await?;
        writer.flush().await?;
        room.give(answered);
        if notices > 0 {
            // A hub that is gone needs no credit.
            let _ = hub.send(Told::Flushed { session, notices }).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these requests a session reads while nobody reads its answers.
    fn read_ahead(line: &str, lines: usize) -> usize {
        smol::block_on(async {
            let (hub, told) = unbounded();
            let (may, asked) = bounded(UNANSWERED_MAX);
            let input = io::Cursor::new(line.repeat(lines).into_bytes());
            let reading = smol::spawn(read(hub, 0, Role::Guest, input, (may, Arc::new(Room::new()))));
            let mut count = 0;
            while told.len() != count || count == 0 {
                count = told.len();
                smol::Timer::after(std::time::Duration::from_millis(100)).await;
            }
            drop((reading, asked));
            count
        })
    }

    #[test]
    fn who_reads_no_answers_is_bounded_by_their_number_and_by_what_they_take() {
        assert_eq!(read_ahead("{\"op\":\"status\"}\n", 1_000), UNANSWERED_MAX);
        assert_eq!(read_ahead("{\"op\":\"names\"}\n", 1_000), UNANSWERED_BYTES_MAX / ANSWER_BYTES_MAX);
        assert_eq!(read_ahead(&format!("{{\"op\":\"find\",\"user\":\"{}\"}}\n", "x".repeat(900 << 10)), 3), 1);
    }
}
