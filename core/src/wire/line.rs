//! The lines that links carry: JSON objects with one key, which says what they are (spec: LINK-1).

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::close::CloseReason;
use crate::error::WireError;
use crate::id::{BootId, InvitationId, SearchId, StreamId, deserialize_base64, serialize_base64};
use crate::identity::{Delegation, Revocation};
use crate::time::WallTime;
use crate::wire::check::{digits_end, plain_end};
use crate::wire::{INTEGER_MAX, Limits, walk_read};

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    /// An application's message.
    #[serde(borrow)]
    Message(MessageLine<'a>),
    /// Messages that the application at the other end has taken.
    Acknowledged(Acknowledged),
    /// Which stream the next messages are of.
    Stream(StreamId),
    /// Who I am: the first line of a side that has not shown it yet.
    Hello(Hello),
    /// What of your streams I have, and where mine begin.
    Resume(Resume),
    /// My delegation is a newer one.
    Delegation(Delegation),
    /// A revocation.
    Revocation(Revocation),
    /// Somebody looks for somebody.
    #[serde(borrow)]
    Search(SearchLine<'a>),
    /// What became of a search.
    SearchAnswer(SearchAnswer),
    /// I was invited.
    Join(JoinLine),
    /// What became of a join.
    Joined(JoinedLine),
    /// A device wants to be bound over this link; its form is the DHT's.
    #[serde(borrow)]
    Bind(&'a RawValue),
    /// What became of a bind.
    #[serde(borrow)]
    Bound(&'a RawValue),
    /// The record of a device that wants to be bound.
    #[serde(borrow)]
    Device(&'a RawValue),
    /// Are you there?
    Ping(#[serde(deserialize_with = "integer")] u64),
    /// I am here.
    Pong(#[serde(deserialize_with = "integer")] u64),
    /// The last line of a link.
    Close(CloseLine),
}

/// `{"message":{"number":7,"disk":true,"type":"bla","payload":"hello"}}`
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageLine<'a> {
    /// Its number in the stream.
    #[serde(deserialize_with = "integer")]
    pub(crate) number: u64,
    /// Whether the reader must store its mark before it acknowledges.
    #[serde(default)]
    pub(crate) disk: bool,
    /// The type; written without escapes (spec: MSG-2).
    pub(crate) r#type: &'a str,
    /// The payload, verbatim.
    #[serde(borrow, serialize_with = "write_verbatim", deserialize_with = "verbatim")]
    pub(crate) payload: &'a str,
}

/// `{"acknowledged":{"stream":…,"upto":7}}`
#[derive(Serialize, Deserialize)]
pub(crate) struct Acknowledged {
    /// Of which stream.
    pub(crate) stream: StreamId,
    /// All numbers up to this one.
    #[serde(deserialize_with = "integer")]
    pub(crate) upto: u64,
}

/// Who a side is.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hello {
    /// On user links: the proof.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) delegation: Option<Delegation>,
    /// This life of the process.
    pub(crate) boot: BootId,
    /// What its wall clock says.
    pub(crate) time: WallTime,
}

/// Where the streams between two devices stand (spec: LINK-21).
#[derive(Serialize, Deserialize)]
pub(crate) struct Resume {
    /// My streams with messages that you have not acknowledged, oldest first; the last one is the one that new messages go to.
    pub(crate) streams: Vec<StreamStart>,
    /// Your streams of which I remember how far I acknowledged them, newest last, at most four.
    pub(crate) received: Vec<(StreamId, u64)>,
    /// How many messages you may have unacknowledged.
    pub(crate) messages: u32,
    /// How many bytes of messages you may have unacknowledged.
    pub(crate) bytes: u32,
    /// The longest line that I read.
    #[serde(default = "line_default", skip_serializing_if = "is_line_default")]
    pub(crate) line: u32,
}

/// The longest line of who does not say it (spec: WIRE-1).
const fn line_default() -> u32 {
    1 << 20
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
const fn is_line_default(line: &u32) -> bool {
    *line == line_default()
}

/// Where one stream goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StreamStart {
    /// The stream.
    pub(crate) id: StreamId,
    /// The first number that was not acknowledged.
    #[serde(deserialize_with = "integer")]
    pub(crate) first: u64,
    /// The highest acknowledged number that was to survive a crash of the reader.
    #[serde(deserialize_with = "integer")]
    pub(crate) disk: u64,
}

/// A search on its way: `content` is signed by the searcher, `budget` belongs to the hop.
#[derive(Serialize, Deserialize)]
pub(crate) struct SearchLine<'a> {
    /// How many nodes it may still visit.
    pub(crate) budget: u32,
    /// [`SearchContent`], as signed.
    #[serde(borrow)]
    pub(crate) content: &'a RawValue,
    /// Over `content`, by the searcher's device.
    pub(crate) signature: String,
    /// The searcher's delegation.
    pub(crate) delegation: Delegation,
}

/// What a searcher signs.
#[derive(Serialize, Deserialize)]
pub(crate) struct SearchContent {
    /// Random.
    pub(crate) id: SearchId,
    /// Who is looked for.
    pub(crate) wanted: crate::id::UserId,
    /// Where the searcher can be dialled, at most three.
    pub(crate) addresses: Vec<SocketAddr>,
    /// When it was signed.
    pub(crate) time: WallTime,
}

/// What became of a search, told back hop by hop.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SearchAnswer {
    /// Which one.
    pub(crate) id: SearchId,
    /// 200 dialling back, 202 passed on, 404 nobody to ask, 429 too many.
    pub(crate) status: u16,
}

/// That this side has an invitation's secret, and where it can be dialled (spec: INVITE-6).
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct JoinLine {
    /// Which invitation.
    pub(crate) id: InvitationId,
    /// The MAC under its secret.
    #[serde(serialize_with = "serialize_base64", deserialize_with = "deserialize_base64")]
    pub(crate) proof: [u8; 32],
    /// At most eight.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What became of a join (spec: INVITE-8).
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct JoinedLine {
    /// Which invitation.
    pub(crate) id: InvitationId,
    /// 200 taken, 404 unknown, 409 used by somebody else, 410 over, 503 no room now.
    pub(crate) status: u16,
}

/// Why a link ends.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct CloseLine {
    /// The status of HTTP that comes closest.
    pub(crate) status: u16,
    /// The reason.
    pub(crate) reason: CloseReason,
}

impl<'de> Deserialize<'de> for CloseLine {
    /// A newer version may have reasons of its own: what is left of them is the status (spec: LINK-31).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Said {
            status: u16,
            reason: String,
        }
        let Said { status, reason } = Said::deserialize(deserializer)?;
        let known: Result<CloseReason, ValueError> = CloseReason::deserialize(reason.as_str().into_deserializer());
        Ok(Self { status, reason: known.unwrap_or(CloseReason::Unknown(status)) })
    }
}

impl<'a> MessageLine<'a> {
    /// Reads what [`write_message`] writes, before [`check_line`](crate::wire::check_line): the frame by comparing, and the
    /// payload by the walk that its sender takes too, which lets nothing pass that the check would not. Keys that stand
    /// twice are no more looked for than by the JSON parser that reads other lines. `None` for anything else, which may be
    /// the same message in other words. Most lines are messages, so they are read apart.
    pub(crate) fn parse_as_written(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(FRAME)?.strip_suffix("}}")?;
        let (digits, rest) = rest.split_at_checked(digits_end(rest.as_bytes()))?;
        if digits.starts_with('0') {
            return None;
        }
        let number = digits.parse().ok().filter(|number| *number <= INTEGER_MAX)?;
        let rest = rest.strip_prefix(',')?;
        let (disk, rest) = match rest.strip_prefix(DISK) {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let rest = rest.strip_prefix(TYPE)?;
        let (r#type, rest) = rest.split_at_checked(plain_end(rest.as_bytes(), 0))?;
        let payload = rest.strip_prefix(PAYLOAD)?;
        walk_read(payload, Limits::MESSAGE).ok()?;
        Some(Self { number, disk, r#type, payload })
    }

    /// Reads a message's line in any words; `None` if it is a line of another kind.
    pub(crate) fn parse_as_json(text: &'a str) -> Option<Result<Self, WireError>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole<'a> {
            #[serde(borrow)]
            message: MessageLine<'a>,
        }
        text.starts_with("{\"message\":").then(|| {
            let whole: Whole<'a> = serde_json::from_str(text).map_err(|_| WireError::Json)?;
            Ok(whole.message)
        })
    }
}

impl Line<'_> {
    /// Reads one line without its newline.
    pub(crate) fn parse(text: &str) -> Result<Line<'_>, WireError> {
        serde_json::from_str(text).map_err(|_| WireError::Json)
    }

    /// Writes the line with its newline.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        // These types always serialise: no map with keys that are not strings, no failing writer.
        if let Ok(text) = serde_json::to_vec(self) {
            out.extend_from_slice(&text);
            out.push(b'\n');
        }
    }
}

/// Reads a number of the protocol's own: no larger than every reader keeps (spec: WIRE-6).
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number <= INTEGER_MAX { Ok(number) } else { Err(serde::de::Error::custom("a number above 2^53-1")) }
}

/// Reads JSON of any kind as it stands.
fn verbatim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    <&RawValue>::deserialize(deserializer).map(RawValue::get)
}

fn write_verbatim<S: Serializer>(json: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let json: &RawValue = serde_json::from_str(json).map_err(serde::ser::Error::custom)?;
    json.serialize(serializer)
}

/// How a message's line begins, and what stands behind its number when it is kept on disk.
const FRAME: &str = "{\"message\":{\"number\":";
const DISK: &str = "\"disk\":true,";
/// What stands before its type, and between its type and its payload.
pub(crate) const TYPE: &str = "\"type\":\"";
pub(crate) const PAYLOAD: &str = "\",\"payload\":";

/// Writes a message's line: one copy, no allocation (spec: MSG-4).
pub(crate) fn write_message(out: &mut Vec<u8>, number: u64, disk: bool, kind: &str, payload: &str) {
    out.extend_from_slice(FRAME.as_bytes());
    write_number(out, number);
    out.push(b',');
    if disk {
        out.extend_from_slice(DISK.as_bytes());
    }
    for part in [TYPE, kind, PAYLOAD, payload, "}}\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes an acknowledgement's line without an allocation: there is one for a few messages.
pub(crate) fn write_acknowledged(out: &mut Vec<u8>, acknowledged: &Acknowledged) {
    out.extend_from_slice(b"{\"acknowledged\":{\"stream\":\"");
    out.extend_from_slice(crate::id::short_base64(acknowledged.stream.as_bytes(), &mut [0; 88]).unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\",\"upto\":");
    write_number(out, acknowledged.upto);
    out.extend_from_slice(b"}}\n");
}

/// Writes a number in digits.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at = at.saturating_sub(1);
        if let Some(slot) = digits.get_mut(at) {
            *slot = b'0'.wrapping_add(u8::try_from(rest % 10).unwrap_or(0));
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// How many bytes [`write_message`] adds to a message at most.
pub(crate) const MESSAGE_FRAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_line_written_by_hand_reads_back_as_serde_reads_it() {
        for (number, disk) in [(0, false), (7, true), (INTEGER_MAX, false)] {
            let mut out = Vec::new();
            write_message(&mut out, number, disk, "bla", r#"{"a":[1,2]}"#);
            let text = core::str::from_utf8(&out).unwrap().strip_suffix('\n').unwrap();
            let Ok(Line::Message(line)) = Line::parse(text) else { panic!("{text}") };
            assert_eq!((line.number, line.disk, line.r#type, line.payload), (number, disk, "bla", r#"{"a":[1,2]}"#));
        }
    }

    #[test]
    fn a_message_line_is_read_the_same_by_hand_and_by_serde_whatever_is_changed_in_it() {
        let read = |message: &MessageLine<'_>| (message.number, message.disk, String::from(message.r#type), String::from(message.payload));
        let (mut by_hand, mut by_serde) = (0, 0);
        for disk in [false, true] {
            let mut line = Vec::new();
            write_message(&mut line, 1_020, disk, "bla", r#"{"a":[1,"}}"],"b":null}"#);
            line.pop();
            let alphabet = b"{}[]\",:\\ 0179adeno-";
            for at in 0..line.len() {
                for byte in alphabet.iter().copied().map(Some).chain([None]) {
                    let mut changed = line.clone();
                    match byte {
                        Some(byte) => changed[at] = byte,
                        None => drop(changed.remove(at)),
                    }
                    let text = core::str::from_utf8(&changed).unwrap();
                    let json = MessageLine::parse_as_json(text).and_then(Result::ok).map(|message| read(&message));
                    if let Some(message) = MessageLine::parse_as_written(text) {
                        assert_eq!(Some(read(&message)), json, "{text}");
                        by_hand += 1;
                    }
                    by_serde += usize::from(json.is_some());
                }
            }
        }
        assert!(by_hand > 100 && by_serde > by_hand, "{by_hand} {by_serde}");
    }

    #[test]
    fn an_acknowledgement_written_by_hand_is_what_serde_writes() {
        for upto in [0, 7, u64::MAX] {
            let acknowledged = || Acknowledged { stream: StreamId::from_bytes([0xFB; 16]), upto };
            let (mut by_hand, mut by_serde) = (Vec::new(), Vec::new());
            write_acknowledged(&mut by_hand, &acknowledged());
            Line::Acknowledged(acknowledged()).write(&mut by_serde);
            assert_eq!(by_hand, by_serde);
        }
    }

    // spec-test: WIRE-6
    #[test]
    fn a_number_that_some_reader_would_not_keep_is_refused_in_every_line() {
        let stream = "AAAAAAAAAAAAAAAAAAAAAA";
        for number in ["9007199254740991", "9007199254740992", "1.0", "1e3", "-1", "18446744073709551616"] {
            let lines = [
                alloc::format!(r#"{{"message":{{"number":{number},"type":"bla","payload":1}}}}"#),
                alloc::format!(r#"{{"message":{{"type":"bla","number":{number},"payload":1}}}}"#),
                alloc::format!(r#"{{"acknowledged":{{"stream":"{stream}","upto":{number}}}}}"#),
                alloc::format!(
                    r#"{{"resume":{{"streams":[{{"id":"{stream}","first":{number},"disk":0}}],"received":[],"messages":1,"bytes":1}}}}"#
                ),
                alloc::format!(
                    r#"{{"resume":{{"streams":[{{"id":"{stream}","first":1,"disk":{number}}}],"received":[],"messages":1,"bytes":1}}}}"#
                ),
                alloc::format!(r#"{{"ping":{number}}}"#),
                alloc::format!(r#"{{"pong":{number}}}"#),
            ];
            for line in lines {
                assert_eq!(Line::parse(&line).is_ok(), number == "9007199254740991", "{line}");
                let message = MessageLine::parse_as_json(&line).map(|read| read.is_ok());
                assert!(MessageLine::parse_as_written(&line).is_none() || message == Some(true), "{line}");
                assert_eq!(message, line.starts_with("{\"message").then_some(number == "9007199254740991"), "{line}");
            }
        }
    }

    // spec-test: LINK-1
    #[test]
    fn a_line_of_an_unknown_kind_and_one_with_two_kinds_are_refused() {
        for bad in [r#"{"nonsense":1}"#, r#"{"ping":1,"pong":1}"#, "{}", "[]", "", r#"{"ping":-1}"#] {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
    }

    // spec-test: LINK-30, LINK-31
    #[test]
    fn every_reason_is_read_as_it_was_written_and_a_newer_one_keeps_its_status() {
        for reason in CloseReason::ALL {
            let mut out = Vec::new();
            Line::Close(CloseLine { status: reason.status(), reason }).write(&mut out);
            let text = core::str::from_utf8(&out).unwrap().strip_suffix('\n').unwrap();
            let Ok(Line::Close(close)) = Line::parse(text) else { panic!("{text}") };
            assert_eq!((close.status, close.reason), (reason.status(), reason));
        }
        for reason in ["because", "unknown", "", "Full"] {
            let text = alloc::format!(r#"{{"close":{{"status":451,"reason":"{reason}","more":[1]}}}}"#);
            let Ok(Line::Close(close)) = Line::parse(&text) else { panic!("{text}") };
            assert_eq!((close.status, close.reason), (451, CloseReason::Unknown(451)));
        }
        for bad in
            [r#"{"close":{"status":70000,"reason":"idle"}}"#, r#"{"close":{"status":410,"reason":7}}"#, r#"{"close":{"status":410}}"#]
        {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
    }
}
