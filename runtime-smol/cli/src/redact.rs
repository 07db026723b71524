//! Recordings and answers without what is nobody else's business.
//!
//! What stays is listed; everything else that could say something goes: each text becomes a number, the same text the same
//! number, and bytes become their length. So whoever helps sees that two addresses are the same, and not which one it is.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

/// Fields whose texts are words of this program.
pub(crate) const KEPT: &[&str] =
    &["build", "shell", "crypto", "digest", "keep", "why", "outcome", "Err", "notice", "phase", "version", "reach", "standing", "policy"];
/// Events and commands that are no more than their name.
pub(crate) const WORDS: &[&str] = &["tick", "suspend"];
/// What stands in the place of a line that cannot be read.
pub(crate) const NO_JSON: &str = "a line that is no JSON";

/// Replaces texts, the same one by the same number as long as this is there.
#[derive(Default)]
pub(crate) struct Redactor {
    numbers: BTreeMap<String, usize>,
}

impl Redactor {
    /// A value without what is secret or personal.
    pub(crate) fn value(&mut self, value: &Value) -> Value {
        self.within("", value)
    }

    /// A line of a recording. It is no recording any more, and says so.
    fn line(&mut self, line: &[u8]) -> Value {
        let Ok(Value::Object(mut object)) = serde_json::from_slice::<Value>(line) else {
            return json!({ "redacted": NO_JSON });
        };
        let header = object.remove("overcom_trace").map(|version| ("redacted_trace".to_owned(), self.value(&version)));
        object.remove("secret");
        let rest = self.value(&Value::Object(object));
        let rest = rest.as_object().cloned().unwrap_or_default();
        Value::Object(header.into_iter().chain(rest).collect())
    }

    fn within(&mut self, name: &str, value: &Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
            Value::String(text) if name == "bytes" => json!(text.len() * 3 / 4),
            Value::String(text) if KEPT.contains(&name) || name == "is" && WORDS.contains(&text.as_str()) => value.clone(),
            Value::String(text) => self.number(text),
            Value::Array(all) => all.iter().map(|one| self.within(name, one)).collect(),
            Value::Object(object) => {
                let each = object.iter().map(|(name, value)| (name.clone(), self.within(name, value)));
                Value::Object(each.collect::<Map<_, _>>())
            }
        }
    }

    fn number(&mut self, text: &str) -> Value {
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(text.to_owned()).or_insert(next);
        format!("#{number}").into()
    }
}

/// A recording on its way through a [`Redactor`], line by line.
pub(crate) struct Redacted<W> {
    out: W,
    redactor: Redactor,
    line: Vec<u8>,
}

impl<W: Write> Redacted<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, redactor: Redactor::default(), line: Vec::new() }
    }

    /// What it has written into.
    #[cfg(test)]
    pub(crate) fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Write for Redacted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                writeln!(self.out, "{}", self.redactor.line(&line))?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_bytes_go_and_what_is_the_same_stays_the_same() {
        let mut redacted = Redacted::new(Vec::new());
        let lines = "{\"overcom_trace\":1,\"secret\":true,\"shell\":\"smol\",\"start\":{\"seed\":\"AAAA\",\"credentials\":{\"secret\":\"BBBB\"}}}\n\
            {\"event\":{\"at\":1,\"is\":\"tick\"}}\n\
            {\"event\":{\"at\":2,\"is\":{\"pipe_bytes\":{\"pipe\":3,\"bytes\":\"CCCCCCCC\"}}}}\n\
            {\"command\":{\"at\":3,\"is\":{\"send\":{\"to\":\"dd\",\"message\":\"{\\\"type\\\":\\\"love\\\",\\\"payload\\\":1}\",\"keep\":\"disk\"}}}}\n\
            {\"command\":{\"at\":4,\"is\":{\"forget\":{\"user\":\"dd\"}}}}\n";
        let (first, second) = lines.split_at(40);
        redacted.write_all(first.as_bytes()).expect("memory takes it");
        redacted.write_all(second.as_bytes()).expect("memory takes it");
        let text = String::from_utf8(redacted.out).expect("it is text");
        for gone in ["AAAA", "BBBB", "CCCC", "dd", "love", "overcom_trace"] {
            assert!(!text.contains(gone), "{gone} is in {text}");
        }
        for kept in ["\"redacted_trace\":1", "smol", "tick", "disk", "\"bytes\":6"] {
            assert!(text.contains(kept), "{kept} is missing in {text}");
        }
        let user = text.lines().nth(4).and_then(|line| line.split("\"user\":").nth(1)).expect("a number");
        assert!(text.lines().nth(3).is_some_and(|line| line.contains(&format!("\"to\":{}", &user[..4]))), "{text}");
    }
}
