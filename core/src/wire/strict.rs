//! The strict walk: one pass over JSON that other nodes will have to carry, without recursion and without a tree.
//!
//! Signed content travels verbatim inside other messages. Content that is valid alone but breaks a line, or that two
//! readers understand differently, would cut off honest forwarders; so it is refused where it first appears.

use alloc::vec::Vec;

use super::check::{digits_end, plain_end};
use super::{CONTENT_BYTES_MAX, CONTENT_DEPTH_MAX, INTEGER_MAX, LINE_BYTES_MAX};
use crate::error::WireError;

mod keys;

use keys::{Compared, Keys, Unread};

/// No limit may ask for more: the walk keeps its open containers in one word.
const DEPTH_MAX: usize = 32;

/// What a walk allows.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The longest input, in bytes.
    pub(crate) bytes_max: usize,
    /// The deepest nesting; `{}` is 1. Never more than 32.
    pub(crate) depth_max: usize,
    /// Which numbers.
    pub(crate) numbers: Numbers,
}

impl Limits {
    /// Signed content in which only the protocol has a say.
    pub(crate) const CONTENT: Self = Self { bytes_max: CONTENT_BYTES_MAX, depth_max: CONTENT_DEPTH_MAX, numbers: Numbers::Integers };
    /// What an application sends.
    pub(crate) const PAYLOAD: Self = Self { numbers: Numbers::Any, ..Self::CONTENT };
    /// The payload of a message that is not signed by itself: what fits into a line (spec: MSG-1).
    pub(crate) const MESSAGE: Self = Self { bytes_max: LINE_BYTES_MAX - 1_024, depth_max: 12, numbers: Numbers::Any };
}

/// Which numbers a walk allows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Whatever JSON calls a number; it stays as written.
    Any,
    /// Integers from 0 to 2⁵³−1 without fraction or exponent.
    Integers,
}

/// Checks that `bytes` are one JSON value in the strict form (spec: WIRE-3). O(n), or O(n log n) where an object has
/// more than 16 keys; allocates only when more than 32 keys are open at once.
///
/// # Errors
/// What is wrong first, as far as the walk came: `TooLong`, `Utf8`, `TooDeep`, `Space`, `DuplicateKey`, `Surrogate`,
/// `Number`, `Escape` or `Json`.
pub(crate) fn walk(bytes: &[u8], limits: Limits) -> Result<(), WireError> {
    if bytes.len() > limits.bytes_max {
        return Err(WireError::TooLong);
    }
    walk_text(utf8(bytes)?, limits)
}

/// [`walk`] over what is text already.
///
/// # Errors
/// Like [`walk`], but for `Utf8`.
pub(crate) fn walk_text(text: &str, limits: Limits) -> Result<(), WireError> {
    if text.len() > limits.bytes_max {
        return Err(WireError::TooLong);
    }
    scan::<false, _>(text, limits, Compared::of(text)).map(|_| ())
}

/// [`walk_text`] that lets an object have a key twice: for a reader, whom the message's parser tells what it makes of it.
///
/// # Errors
/// Like [`walk_text`], but for `DuplicateKey`.
pub(crate) fn walk_read(text: &str, limits: Limits) -> Result<(), WireError> {
    if text.len() > limits.bytes_max {
        return Err(WireError::TooLong);
    }
    scan::<false, _>(text, limits, Unread).map(|_| ())
}

fn utf8(bytes: &[u8]) -> Result<&str, WireError> {
    core::str::from_utf8(bytes).map_err(|_| WireError::Utf8)
}

/// An application's JSON as it will be signed and sent: without white space between tokens, all else as written
/// (spec: WIRE-7). Limits are those of signed content.
///
/// # Errors
/// Like [`walk`]; white space outside strings is none.
pub(crate) fn compact(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    compact_within(bytes, Limits::PAYLOAD)
}

/// [`compact`] with other limits; `bytes_max` counts what is left without white space.
///
/// # Errors
/// Like [`compact`]; `TooLong` also for input over 1 MiB, white space included.
pub(crate) fn compact_within(bytes: &[u8], limits: Limits) -> Result<Vec<u8>, WireError> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(WireError::TooLong);
    }
    let text = utf8(bytes)?;
    let out = scan::<true, _>(text, limits, Compared::of(text))?;
    if out.len() > limits.bytes_max { Err(WireError::TooLong) } else { Ok(out) }
}

/// The walk; with `SPACES`, white space between tokens is passed over and what is left is returned.
fn scan<const SPACES: bool, K: Keys>(text: &str, limits: Limits, keys: K) -> Result<Vec<u8>, WireError> {
    let bytes = text.as_bytes();
    let mut walk = Walk::<SPACES, K> { bytes, at: 0, limits, objects: 0, depth: 0, keys, kept: Vec::new(), kept_to: 0 };
    walk.document()?;
    Ok(walk.kept)
}

struct Walk<'a, const SPACES: bool, K> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    /// The open containers, the innermost one's bit the lowest: 1 for an object. Most of what a walk over a short text
    /// costs is to lay out what it keeps.
    objects: u32,
    depth: usize,
    keys: K,
    /// With `SPACES`: the bytes up to `kept_to`, without white space.
    kept: Vec<u8>,
    kept_to: usize,
}

impl<const SPACES: bool, K: Keys> Walk<'_, SPACES, K> {
    fn document(&mut self) -> Result<(), WireError> {
        loop {
            // A container that opens is followed by its first value, anything else is complete.
            if self.value()? {
                continue;
            }
            if !self.ends()? {
                break;
            }
        }
        self.spaces();
        match self.peek() {
            None => self.keep(self.at),
            Some(byte) => return Err(unexpected(byte)),
        }
        Ok(())
    }

    /// Takes one value, or the beginning of a container that has content: then `true`.
    fn value(&mut self) -> Result<bool, WireError> {
        self.spaces();
        match self.peek() {
            Some(b'"') => self.string().map(|_| false),
            Some(b'{') => self.open(true, b'}'),
            Some(b'[') => self.open(false, b']'),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            Some(byte) => Err(unexpected(byte)),
            None => Err(WireError::Json),
        }
    }

    /// Behind a value: closes what closes. `true` if another value follows, `false` at the end of all.
    fn ends(&mut self) -> Result<bool, WireError> {
        while self.depth > 0 {
            self.spaces();
            match (self.peek(), self.is_in_object()) {
                (Some(b','), true) => {
                    self.step();
                    self.key()?;
                    return Ok(true);
                }
                (Some(b','), false) => {
                    self.step();
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.step();
                    if self.is_in_object() {
                        self.keys.close()?;
                    }
                    self.depth = self.depth.saturating_sub(1);
                    self.objects >>= 1;
                }
                (Some(byte), _) => return Err(unexpected(byte)),
                (None, _) => return Err(WireError::Json),
            }
        }
        Ok(false)
    }

    const fn is_in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn open(&mut self, object: bool, end: u8) -> Result<bool, WireError> {
        if self.depth >= self.limits.depth_max.min(DEPTH_MAX) {
            return Err(WireError::TooDeep);
        }
        self.step();
        self.spaces();
        if self.peek() == Some(end) {
            self.step();
            return Ok(false);
        }
        self.objects = (self.objects << 1) | u32::from(object);
        self.depth = self.depth.saturating_add(1);
        if object {
            self.keys.open()?;
            self.key()?;
        }
        Ok(true)
    }

    fn key(&mut self) -> Result<(), WireError> {
        self.spaces();
        match self.peek() {
            Some(b'"') => {}
            Some(byte) => return Err(unexpected(byte)),
            None => return Err(WireError::Json),
        }
        let from = self.at.saturating_add(1);
        if self.string()? {
            return Err(WireError::Escape);
        }
        self.keys.push(from..self.at.saturating_sub(1))?;
        self.spaces();
        match self.peek() {
            Some(b':') => self.step(),
            Some(byte) => return Err(unexpected(byte)),
            None => return Err(WireError::Json),
        }
        Ok(())
    }

    /// Takes a string; whether it has escapes.
    fn string(&mut self) -> Result<bool, WireError> {
        let mut escaped = false;
        self.step();
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.step();
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(WireError::Space),
                None => return Err(WireError::Json),
            }
        }
    }

    fn escape(&mut self) -> Result<(), WireError> {
        self.step();
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.step();
                Ok(())
            }
            Some(b'u') => match self.unit()? {
                0xD800..=0xDBFF => {
                    if self.peek() != Some(b'\\') {
                        return Err(WireError::Surrogate);
                    }
                    self.step();
                    if self.peek() != Some(b'u') {
                        return Err(WireError::Surrogate);
                    }
                    if matches!(self.unit()?, 0xDC00..=0xDFFF) { Ok(()) } else { Err(WireError::Surrogate) }
                }
                0xDC00..=0xDFFF => Err(WireError::Surrogate),
                _ => Ok(()),
            },
            Some(0..0x20) => Err(WireError::Space),
            _ => Err(WireError::Json),
        }
    }

    /// The `u` and four digits of an escape.
    fn unit(&mut self) -> Result<u32, WireError> {
        self.step();
        let mut unit: u32 = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or(WireError::Json)?;
            unit = (unit << 4) | digit;
            self.step();
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), WireError> {
        let from = self.at;
        let mut plain = true;
        if self.peek() == Some(b'-') {
            plain = false;
            self.step();
        }
        if self.peek() == Some(b'0') {
            self.step();
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            plain = false;
            self.step();
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            plain = false;
            self.step();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.step();
            }
            self.digits()?;
        }
        if self.limits.numbers == Numbers::Integers {
            let value = self.bytes.get(from..self.at).and_then(|digits| core::str::from_utf8(digits).ok()?.parse::<u64>().ok());
            if !plain || value.is_none_or(|value| value > INTEGER_MAX) {
                return Err(WireError::Number);
            }
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), WireError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(WireError::Json);
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.at.saturating_add(digits_end(rest));
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<bool, WireError> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(WireError::Json);
        }
        self.at = self.at.saturating_add(word.len());
        Ok(false)
    }

    /// With `SPACES`, passes over white space and keeps what stood before it.
    fn spaces(&mut self) {
        if !SPACES || !self.peek().is_some_and(is_space) {
            return;
        }
        self.keep(self.at);
        while self.peek().is_some_and(is_space) {
            self.step();
        }
        self.kept_to = self.at;
    }

    fn keep(&mut self, to: usize) {
        if SPACES && let Some(run) = self.bytes.get(self.kept_to..to) {
            self.kept.extend_from_slice(run);
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn unexpected(byte: u8) -> WireError {
    if byte <= 0x20 { WireError::Space } else { WireError::Json }
}

#[cfg(test)]
mod tests;
