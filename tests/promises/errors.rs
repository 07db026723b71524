//! `core/ERRORS.md`: every refusal, failure and reason to close, with its cause and the way out, from the enums themselves.

use std::fmt::Debug;

use overcom_core::trace::ReplayError;
use overcom_core::{
    CloseReason, CommandError, ConfigError, ConnectError, FailReason, InvitationError, Refusal, ResolveError, StoreError, Tampered,
    Undialled, Waiting, WireError,
};
use syn::Item;

use super::{AGAIN, keep, read, text};

/// One enum: where it is, what it is about, and each value with its cause and the way out.
struct Family {
    file: &'static str,
    name: &'static str,
    about: &'static str,
    values: Vec<(String, (&'static str, &'static str))>,
}

fn family<T: Debug>(
    file: &'static str,
    name: &'static str,
    about: &'static str,
    values: impl IntoIterator<Item = T>,
    explain: impl Fn(&T) -> (&'static str, &'static str),
) -> Family {
    // The name alone: `Payload(Json)` is `Payload`.
    let name_of = |value: &T| format!("{value:?}").split(['(', ' ']).next().unwrap_or_default().to_owned();
    Family { file, name, about, values: values.into_iter().map(|value| (name_of(&value), explain(&value))).collect() }
}

fn families() -> Vec<Family> {
    let fails = [
        FailReason::NotFound,
        FailReason::Unreachable,
        FailReason::Refused(CloseReason::App),
        FailReason::Unanswered,
        FailReason::Ended,
        FailReason::TooLong,
        FailReason::Forgotten,
        FailReason::Expired,
        FailReason::InvitationUnknown,
        FailReason::InvitationUsed,
        FailReason::InvitationEnded,
        FailReason::NoNetwork,
    ];
    let configs = [ConfigError::OutOfRange("dials_max"), ConfigError::Delegation(WireError::Json), ConfigError::Keys, ConfigError::Expired];
    let wires = [
        WireError::Base64,
        WireError::IdText,
        WireError::AppId,
        WireError::Utf8,
        WireError::Json,
        WireError::TooLong,
        WireError::TooDeep,
        WireError::Space,
        WireError::DuplicateKey,
        WireError::Surrogate,
        WireError::Number,
        WireError::Escape,
        WireError::Signature,
        WireError::Window,
        WireError::Address,
        WireError::Port,
    ];
    let connects = [ConnectError::Refused, ConnectError::TimedOut, ConnectError::Unreachable, ConnectError::Failed];
    let closes = CloseReason::ALL.into_iter().chain([CloseReason::Unknown(499)]);
    let refused = |why: &FailReason| {
        let is_refused = matches!(why, FailReason::Refused(_));
        if is_refused { ("whoever answers refuses, or is refused", "look at the reason to close that it holds") } else { why.explain() }
    };
    vec![
        family("error.rs", "CommandError", "A command was refused, and nothing has changed.", CommandError::ALL, |why| why.explain()),
        family("notice.rs", "FailReason", "A command was taken and came to nothing: `Notice::Failed`.", fails, refused),
        family("view/explain.rs", "Waiting", "A message has not arrived yet: `Explanation::why`.", Waiting::ALL, |why| why.explain()),
        family("close.rs", "CloseReason", "A pipe or a link ended: `Notice::LinkDown`, `Notice::Refused`.", closes, |why| why.explain()),
        family("error.rs", "ConfigError", "`Node::new` refused.", configs, ConfigError::explain),
        family("error.rs", "WireError", "Bytes or text are not what they should be.", wires, |why| why.explain()),
        family("error.rs", "Undialled", "Nobody can be dialled at an address, or others cannot.", Undialled::ALL, |why| why.explain()),
        family("error.rs", "InvitationError", "An invitation cannot be used.", InvitationError::ALL, |why| why.explain()),
        family("error.rs", "ConnectError", "A connection was not made.", connects, |why| why.explain()),
        family("error.rs", "ResolveError", "A host name has no address.", [ResolveError::Unknown, ResolveError::Failed], |why| {
            why.explain()
        }),
        family("error.rs", "StoreError", "Storage failed: `Notice::Stopped`.", StoreError::ALL, |why| why.explain()),
        family(
            "identity/delegation.rs",
            "Refusal",
            "A genuine delegation does not count just now.",
            [Refusal::NotYet, Refusal::Expired],
            |why| match why {
                Refusal::NotYet => ("its time has not come, or a clock is wrong", "set the clock, or wait"),
                Refusal::Expired => ("its time is over", "sign a newer one with the identity: overcom delegate"),
            },
        ),
        family("crypto/mod.rs", "Tampered", "A sealed buffer does not open.", [Tampered], |_| {
            ("another key, nonce or associated data, or bytes that were changed", "end the link that it came on; a node does so by itself")
        }),
        replays(),
    ]
}

fn replays() -> Family {
    let all = [
        ReplayError::NoHeader,
        ReplayError::Line(1),
        ReplayError::Version(0),
        ReplayError::Build("".into()),
        ReplayError::Crypto("".into()),
        ReplayError::Start(ConfigError::Keys),
        ReplayError::Differs { node: "".into(), same: 0, by: 1, inputs: 0 },
    ];
    family("trace/replay.rs", "ReplayError", "A recording does not replay: `trace::replay`.", all, |why| match why {
        ReplayError::NoHeader => ("the text does not begin as a recording does", "give it the whole file that was recorded"),
        ReplayError::Line(_) => ("a line is none of a recording's, or was cut", "record again; what stands before that line is whole"),
        ReplayError::Version(_) => ("another version of the format", "replay it with the version of Overcom that recorded it"),
        ReplayError::Build(_) => ("another build recorded it", "replay it with that build, or force it with `Builds::Any`"),
        ReplayError::Crypto(_) => ("this build does not have the crypto table", "build with the feature that has it"),
        ReplayError::Start(_) => ("the recorded configuration or keys are refused", "look at the ConfigError that it holds"),
        ReplayError::Differs { .. } => ("the node does not do again what it did", "report it with the recording: it is a bug of the node"),
        other => panic!("{other:?} has no cause and no way out here"),
    })
}

/// The variants of an enum in a file of core, each with the first sentence of its documentation; of a struct its name.
fn variants(source: &str, name: &str) -> Vec<(String, String)> {
    let file = syn::parse_file(source).unwrap();
    let is_it = |item: &Item| matches!(item, Item::Struct(found) if found.ident == name);
    if file.items.iter().any(is_it) {
        return vec![(name.to_owned(), String::new())];
    }
    let found =
        file.items.into_iter().find_map(|item| if let Item::Enum(found) = item { (found.ident == name).then_some(found) } else { None });
    let found = found.unwrap_or_else(|| panic!("there is no enum {name}"));
    let about = |attributes: &[syn::Attribute]| {
        let line =
            attributes.iter().find(|attribute| attribute.path().is_ident("doc")).map(|attribute| text(&attribute.meta)).unwrap_or_default();
        line.trim_start_matches("doc = \"").trim_end_matches('"').trim().to_owned()
    };
    found.variants.iter().map(|variant| (variant.ident.to_string(), about(&variant.attrs))).collect()
}

fn page(families: &[Family]) -> String {
    let mut page = format!(
        "# What can go wrong, and the way out\n\nEvery refusal, failure and reason to close of `overcom-core`, each with its cause and what to do. The words are those that\n\
         `explain()` of each value gives. A test writes this page from the enums (`{AGAIN}`) and fails when it is not current.\n"
    );
    for family in families {
        page += &format!("\n## {}\n\n{}\n\n| value | cause | what to do |\n|---|---|---|\n", family.name, family.about);
        for (name, (cause, way_out)) in &family.values {
            page += &format!("| `{name}` | {cause} | {way_out} |\n");
        }
    }
    page
}

#[test]
fn every_refusal_failure_and_reason_to_close_stands_on_one_page_with_its_way_out() {
    let families = families();
    for family in &families {
        let declared: Vec<String> =
            variants(&read(&format!("core/src/{}", family.file)), family.name).into_iter().map(|(name, _)| name).collect();
        let named: Vec<String> = family.values.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(named, declared, "{} has other variants: name each of them in tests/promises/errors.rs", family.name);
        for (name, (cause, way_out)) in &family.values {
            assert!(cause.len() > 5 && way_out.len() > 5, "{}::{name} has no cause or no way out", family.name);
        }
    }
    keep("core/ERRORS.md", &page(&families));
}

/// What core's face lists as an error, by the last part of its name.
fn errors_of(face: &str) -> Vec<&str> {
    let listed = face.lines().filter_map(|line| line.strip_suffix(": impl core::error::Error"));
    listed.map(|path| path.rsplit("::").next().unwrap_or(path)).collect()
}

#[test]
fn no_public_error_of_core_is_missing_on_the_page() {
    let families = families();
    let known: Vec<&str> = families.iter().map(|family| family.name).collect();
    let face = read("core/API.txt");
    let declared = errors_of(&face);
    assert!(declared.len() >= 10, "core's face lists its errors otherwise than this test reads them: {declared:?}");
    for name in declared {
        assert!(known.contains(&name), "{name} is not on the page: add it in tests/promises/errors.rs");
    }
    assert_eq!(errors_of("E: impl core::error::Error\ntrace::F: impl core::error::Error\nG: impl fmt::Display"), ["E", "F"]);
}

#[test]
fn variants_are_read_from_the_source_and_not_from_a_list() {
    assert_eq!(variants("/// One.\npub struct E;", "E"), [("E".into(), String::new())]);
    assert_eq!(variants("pub enum E { /// One.\n A, B(u8) }", "E"), [("A".into(), "One.".into()), ("B".into(), String::new())]);
}
