//! Lines of a stream, each within a bound: what is longer is passed over without being held.

use std::io;

use smol::io::{AsyncRead, AsyncReadExt as _};

/// A request of a program, without its newline: as long as the longest message (spec: WIRE-1).
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;
/// Read at once (guess: what a pipe holds).
const CHUNK_BYTES: usize = 64 << 10;

/// One line.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// Its bytes, without the newline.
    Text(Vec<u8>),
    /// It was longer than the bound, and is gone.
    TooLong,
}

/// Reads lines. Holds one and a chunk at most.
pub(crate) struct Lines<R> {
    reader: R,
    /// What was read; from `used` to `filled` it was not looked at yet.
    chunk: Box<[u8]>,
    used: usize,
    filled: usize,
    line: Vec<u8>,
    /// Of the present line so far, held or not.
    length: usize,
    max: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, max: usize) -> Self {
        Self { reader, chunk: vec![0; CHUNK_BYTES].into(), used: 0, filled: 0, line: Vec::new(), length: 0, max }
    }

    /// The next line; `None` at the end of the stream. The last one need not end with a newline.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if self.used == self.filled {
                self.filled = self.reader.read(&mut self.chunk).await?;
                self.used = 0;
                if self.filled == 0 {
                    return Ok((self.length > 0).then(|| self.take()));
                }
            }
            let rest = self.chunk.get(self.used..self.filled).unwrap_or_default();
            let (part, has_ended) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => (rest.get(..at).unwrap_or_default(), true),
                None => (rest, false),
            };
            self.used += part.len() + usize::from(has_ended);
            self.length = self.length.saturating_add(part.len());
            if self.length <= self.max {
                self.line.extend_from_slice(part);
            } else {
                self.line = Vec::new();
            }
            if has_ended {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let length = std::mem::take(&mut self.length);
        let line = std::mem::take(&mut self.line);
        if length > self.max { Line::TooLong } else { Line::Text(line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], max: usize) -> Vec<Line> {
        smol::block_on(async {
            let mut lines = Lines::new(text, max);
            let mut all = Vec::new();
            while let Some(line) = lines.next().await.expect("memory reads") {
                all.push(line);
            }
            all
        })
    }

    #[test]
    fn a_line_over_the_bound_is_passed_over_and_the_next_one_is_read() {
        let long = vec![b'x'; 300_000];
        let text = [b"a\n".as_slice(), &long, b"\nb"].concat();
        assert_eq!(read(&text, 4), [Line::Text(b"a".into()), Line::TooLong, Line::Text(b"b".into())]);
        assert_eq!(read(b"abcd\nabcde\n\n", 4), [Line::Text(b"abcd".into()), Line::TooLong, Line::Text(Vec::new())]);
        assert_eq!(read(b"", 4), []);
    }

    #[test]
    fn no_more_than_the_bound_is_held_of_a_line_without_end() {
        smol::block_on(async {
            let long = vec![b'x'; 10 << 20];
            let mut lines = Lines::new(long.as_slice(), LINE_BYTES_MAX);
            assert_eq!(lines.next().await.expect("memory reads"), Some(Line::TooLong));
            assert!(lines.line.capacity() == 0, "{}", lines.line.capacity());
        });
    }
}
