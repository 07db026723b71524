//! The one protocol that programs and this command line speak with a node: JSON Lines, on standard input and output and on
//! the control socket. `schema/overcom.json` says every line; a test holds it against what is really said.

mod fault;
mod lines;
mod notice;
mod request;
mod said;

pub(crate) use fault::Fault;
pub(crate) use lines::{LINE_BYTES_MAX, Line, Lines};
pub(crate) use notice::{NOTICES, line_of, missed_line};
pub(crate) use request::{Id, Op, Request, hint, parse, too_long};
pub(crate) use said::{EntryLine, Hello, InvitationLine, LinkLine, OutboxLine, Shown, Why, answer};

/// The version of this protocol. A change that an existing reader or writer would not understand raises it.
pub(crate) const PROTOCOL: u32 = 1;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    /// Texts of the published schema.
    pub(super) fn listed(pointer: &str) -> Vec<String> {
        let schema: Value = serde_json::from_str(include_str!("../../schema/overcom.json")).expect("it is JSON");
        let list = schema.pointer(pointer).and_then(Value::as_array).expect("a list").iter();
        list.map(|text| text.as_str().expect("a text").to_owned()).collect()
    }

    #[test]
    fn the_schema_has_the_ops_and_the_notices_of_this_program() {
        let refs = |pointer: &str, prefix: &str| -> Vec<String> {
            let schema: Value = serde_json::from_str(include_str!("../../schema/overcom.json")).expect("it is JSON");
            let all = schema.pointer(pointer).and_then(Value::as_array).expect("a list").iter();
            all.map(|one| one["$ref"].as_str().and_then(|text| text.strip_prefix(prefix)).expect("a definition").to_owned()).collect()
        };
        assert_eq!(refs("/$defs/request/oneOf", "#/$defs/request/"), super::request::OPS);
        assert_eq!(refs("/$defs/notice/oneOf", "#/$defs/notice/"), super::NOTICES);
        assert_eq!(listed("/$defs/kind/enum"), super::NOTICES);
    }
}
