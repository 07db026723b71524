//! One conversation in JSON Lines: standard input and output, or a connection to the control socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smol::channel::{Receiver, Sender, bounded, unbounded};
use smol::io::{self, AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::hub::{Ending, Out, SessionId, Told};
use crate::proto::{LINE_BYTES_MAX, Line, Lines, parse, too_long};

/// Requests whose answers were not written yet; then no more are read (guess).
const UNANSWERED_MAX: usize = 256;
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
        let ((out, lines), (may, asked)) = (unbounded(), bounded(UNANSWERED_MAX));
        self.tell(Told::Enter { session, out, is_listening: role == Role::Master }).await;
        let reading = smol::spawn(read(self.hub.clone(), session, role, reader, may));
        let written = write(&self.hub, session, lines, asked, writer).await;
        drop(reading);
        self.tell(match (role, &written) {
            (Role::Master, Err(_)) => Told::End(Ending::Deaf),
            (Role::Master | Role::Guest, _) => Told::Leave { session },
        })
        .await;
        written
    }
}

/// Hands every line to the hub, in order.
async fn read(hub: Sender<Told>, session: SessionId, role: Role, reader: impl AsyncRead + Unpin, may: Sender<()>) {
    let mut lines = Lines::new(reader, LINE_BYTES_MAX);
    // What cannot be read has ended.
    while let Ok(Some(line)) = lines.next().await {
        let request = match line {
            // Shells and people leave blank lines; they ask nothing.
            Line::Text(text) if text.trim_ascii().is_empty() => continue,
            Line::Text(text) => parse(&text),
            Line::TooLong => too_long(),
        };
        if may.send(()).await.is_err() || hub.send(Told::Ask { session, request }).await.is_err() {
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
    asked: Receiver<()>,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Ok(first) = lines.recv().await {
        let (mut bytes, mut notices) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(line) = next {
            match line {
                Out::Answer(text) => {
                    bytes.extend_from_slice(text.as_bytes());
                    // The first line answers nothing.
                    let _ = asked.try_recv();
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
        if notices > 0 {
            // A hub that is gone needs no credit.
            let _ = hub.send(Told::Flushed { session, notices }).await;
        }
    }
    Ok(())
}
