//! The strict walk: one pass over JSON that other nodes will have to carry, without recursion and without a tree.
//!
//! Signed content travels verbatim inside other messages. Content that is valid alone but breaks a line, or that two
//! readers understand differently, would cut off honest forwarders; so it is refused where it first appears.

use alloc::vec::Vec;
use core::ops::Range;

use super::check::plain_end;
use super::{CONTENT_BYTES_MAX, CONTENT_DEPTH_MAX, INTEGER_MAX, LINE_BYTES_MAX};
use crate::error::WireError;

/// No limit may ask for more: the walk keeps its open containers on the stack.
const DEPTH_MAX: usize = 32;
/// Keys of all open objects that are kept without an allocation.
const INLINE_KEYS: usize = 32;
/// An object with more keys is checked by sorting when it closes, so that many keys do not cost their square.
const COMPARED_KEYS: usize = 16;

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
    scan::<false>(utf8(bytes)?, limits).map(|_| ())
}

/// [`walk`] over what is text already.
///
/// # Errors
/// Like [`walk`], but for `Utf8`.
pub(crate) fn walk_text(text: &str, limits: Limits) -> Result<(), WireError> {
    if text.len() > limits.bytes_max {
        return Err(WireError::TooLong);
    }
    scan::<false>(text, limits).map(|_| ())
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
    let out = scan::<true>(utf8(bytes)?, limits)?;
    if out.len() > limits.bytes_max { Err(WireError::TooLong) } else { Ok(out) }
}

/// The walk; with `SPACES`, white space between tokens is passed over and what is left is returned.
fn scan<const SPACES: bool>(text: &str, limits: Limits) -> Result<Vec<u8>, WireError> {
    let mut walk = Walk::<SPACES> {
        bytes: text.as_bytes(),
        at: 0,
        limits,
        frames: [Frame::default(); DEPTH_MAX],
        depth: 0,
        keys: Keys { bytes: text.as_bytes(), inline: [Place::default(); INLINE_KEYS], spill: Vec::new(), length: 0 },
        kept: Vec::new(),
        kept_to: 0,
    };
    walk.document()?;
    Ok(walk.kept)
}

/// An open object or array. Small, as the places of keys are: most of what a walk over a short text costs is to lay them out.
#[derive(Clone, Copy, Default)]
struct Frame {
    object: bool,
    /// Where its keys begin in the stack of keys.
    keys_from: u32,
}

struct Walk<'a, const SPACES: bool> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    frames: [Frame; DEPTH_MAX],
    depth: usize,
    keys: Keys<'a>,
    /// With `SPACES`: the bytes up to `kept_to`, without white space.
    kept: Vec<u8>,
    kept_to: usize,
}

impl<const SPACES: bool> Walk<'_, SPACES> {
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
        while let Some(frame) = self.depth.checked_sub(1).and_then(|index| self.frames.get(index)).copied() {
            self.spaces();
            match (self.peek(), frame.object) {
                (Some(b','), true) => {
                    self.step();
                    self.key(frame)?;
                    return Ok(true);
                }
                (Some(b','), false) => {
                    self.step();
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.step();
                    self.keys.close(frame.keys_from as usize)?;
                    self.depth = self.depth.saturating_sub(1);
                }
                (Some(byte), _) => return Err(unexpected(byte)),
                (None, _) => return Err(WireError::Json),
            }
        }
        Ok(false)
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
        // There are fewer keys than bytes, and at most 1 MiB of these.
        let frame = Frame { object, keys_from: u32::try_from(self.keys.length).map_err(|_| WireError::TooLong)? };
        *self.frames.get_mut(self.depth).ok_or(WireError::TooDeep)? = frame;
        self.depth = self.depth.saturating_add(1);
        if object {
            self.key(frame)?;
        }
        Ok(true)
    }

    fn key(&mut self, frame: Frame) -> Result<(), WireError> {
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
        self.keys.push(frame.keys_from as usize, from..self.at.saturating_sub(1))?;
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
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at = self.at.saturating_add(digits);
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

/// The keys of all open objects, the innermost object's on top.
struct Keys<'a> {
    bytes: &'a [u8],
    inline: [Place; INLINE_KEYS],
    spill: Vec<Place>,
    length: usize,
}

/// Where a key stands: from here, so many bytes.
type Place = (u32, u32);

impl<'a> Keys<'a> {
    /// Adds the key at `place`, of the innermost object, whose keys begin at `from`.
    fn push(&mut self, from: usize, place: Range<usize>) -> Result<(), WireError> {
        let small = |number: usize| u32::try_from(number).map_err(|_| WireError::TooLong);
        let place = (small(place.start)?, small(place.len())?);
        let key = self.key(place);
        if self.length.saturating_sub(from) < COMPARED_KEYS && self.since(from).any(|earlier| earlier == key) {
            return Err(WireError::DuplicateKey);
        }
        match self.inline.get_mut(self.length) {
            Some(slot) => *slot = place,
            None => self.spill.push(place),
        }
        self.length = self.length.saturating_add(1);
        Ok(())
    }

    /// Ends the innermost object; if it was too large to compare each key with each, sorts them.
    fn close(&mut self, from: usize) -> Result<(), WireError> {
        if self.length.saturating_sub(from) > COMPARED_KEYS {
            let mut sorted: Vec<_> = self.since(from).collect();
            sorted.sort_unstable();
            if sorted.iter().zip(sorted.iter().skip(1)).any(|(one, next)| one == next) {
                return Err(WireError::DuplicateKey);
            }
        }
        self.length = from;
        self.spill.truncate(from.saturating_sub(INLINE_KEYS));
        Ok(())
    }

    fn since(&self, from: usize) -> impl Iterator<Item = &'a [u8]> + '_ {
        let inline = self.inline.get(from..self.length.min(INLINE_KEYS)).unwrap_or_default();
        let spill = self.spill.get(from.saturating_sub(INLINE_KEYS)..).unwrap_or_default();
        inline.iter().chain(spill).map(|place| self.key(*place))
    }

    fn key(&self, (from, length): Place) -> &'a [u8] {
        self.bytes.get(from as usize..).and_then(|rest| rest.get(..length as usize)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
