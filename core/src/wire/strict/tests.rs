use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::wire::{LINE_DEPTH_MAX, check_line};

fn lenient(json: &str) -> Result<(), WireError> {
    walk(json.as_bytes(), Limits::PAYLOAD)
}

fn integers(json: &str) -> Result<(), WireError> {
    walk(json.as_bytes(), Limits::CONTENT)
}

// spec-test: WIRE-3
#[test]
fn plain_json_of_every_kind_is_accepted() {
    for json in
        ["null", "true", "false", "0", "-1.5e+9", "1E9", "\"\"", "\"\\u00e9\\n\\\"\"", "{}", "[]", r#"{"a":[{},[],{"a":"b","b":"ä"}]}"#]
    {
        assert_eq!(lenient(json), Ok(()), "{json}");
    }
}

// spec-test: WIRE-3
#[test]
fn what_is_not_json_is_refused() {
    let cases = [
        "",
        "{",
        "[",
        "[1",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "{1:2}",
        "{}{}",
        "1,",
        "[1}",
        "{\"a\":1]",
        "]",
        "}",
        "nul",
        "tru",
        "True",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "NaN",
        "'a'",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12",
        "{\"a\" 1}",
        "[1 2]",
        "//",
        "\u{feff}1",
    ];
    for json in cases {
        assert!(matches!(lenient(json), Err(WireError::Json | WireError::Space)), "{json}: {:?}", lenient(json));
    }
}

// spec-test: WIRE-4
#[test]
fn white_space_outside_strings_and_control_bytes_anywhere_are_refused() {
    for json in
        [" 1", "1 ", "[1, 2]", "{ }", "{\"a\": 1}", "{\"a\" :1}", "{ \"a\":1}", "[\n]", "1\n", "\"a\nb\"", "\"\u{0}\"", "\"\\\n\"", "\u{0}"]
    {
        assert_eq!(lenient(json), Err(WireError::Space), "{json:?}");
    }
    assert_eq!(lenient("\" \u{7f}\""), Ok(()));
}

// spec-test: WIRE-4
#[test]
fn halves_of_characters_and_broken_utf_8_are_refused() {
    for json in [r#""\ud800""#, r#""\ud800x""#, r#""\ud800\n""#, r#""\ud800\ud800""#, r#""\udc00""#, r#""\ud83d\u0041""#] {
        assert_eq!(lenient(json), Err(WireError::Surrogate), "{json}");
    }
    assert_eq!(lenient(r#""\ud83d\ude00""#), Ok(()));
    for bytes in [b"\"\xff\"".as_slice(), b"\"\xed\xa0\x80\"", b"\"\xc0\xaf\"", b"\xe2\x82"] {
        assert_eq!(walk(bytes, Limits::PAYLOAD), Err(WireError::Utf8));
    }
}

// spec-test: WIRE-5
#[test]
fn a_key_twice_in_one_object_is_refused_at_any_depth() {
    for json in [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"c":{"a":2},"a":3}]}"#, r#"{"":1,"":2}"#] {
        assert_eq!(lenient(json), Err(WireError::DuplicateKey), "{json}");
    }
    assert_eq!(lenient(r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#), Ok(()));
}

#[test]
fn a_reader_takes_a_key_twice_and_refuses_whatever_else_a_writer_refuses() {
    let (limits, twice) = (Limits::MESSAGE, r#"{"b":[{"a":1,"c":{"a":2},"a":[3,1e9,"\"é"]}],"d":12345678901}"#);
    assert_eq!((walk_text(twice, limits), walk_read(twice, limits)), (Err(WireError::DuplicateKey), Ok(())));
    let once = twice.replacen("\"a\"", "\"x\"", 1);
    for at in (0..once.len()).filter(|at| once.is_char_boundary(*at)) {
        for with in ["", "{", "}", "[", "]", ",", ":", "\"", "\\", "\u{1f}", " ", "7", "/", "\u{7f}", "e"] {
            let mut changed = once.clone();
            changed.replace_range(at..at + once[at..].chars().next().map_or(0, char::len_utf8), with);
            let (written, read) = (walk_text(&changed, limits), walk_read(&changed, limits));
            assert!(written == read || written == Err(WireError::DuplicateKey), "{changed}: {written:?} {read:?}");
        }
    }
}

#[test]
fn a_number_ends_at_its_first_other_byte_whatever_its_length() {
    for length in 1..40 {
        let number = "1234567890".repeat(4)[..length].to_owned();
        assert_eq!(lenient(&number), Ok(()));
        for other in ["/", ":", "a", "\u{b9}", "\u{0}", "@"] {
            for before in 1..=length {
                let broken = format!("[{}{other}{}]", &number[..before], &number[before..]);
                assert!(lenient(&broken).is_err(), "{broken}");
            }
        }
    }
}

/// An object of `count` keys, the last of which is `last`.
fn wide(count: usize, last: &str) -> String {
    let mut out = String::from("{");
    for index in 1..count {
        out.push_str(&format!("\"k{index}\":{{\"x\":1,\"y\":[{{\"x\":2}}]}},"));
    }
    out.push_str(&format!("\"{last}\":0}}"));
    out
}

// spec-test: WIRE-5
#[test]
fn a_key_twice_is_found_in_objects_of_any_width() {
    for count in [2, 15, 16, 17, 18, 31, 32, 33, 34, 64, 65, 500] {
        assert_eq!(lenient(&wide(count, "last")), Ok(()), "{count}");
        assert_eq!(lenient(&wide(count, "k1")), Err(WireError::DuplicateKey), "{count}");
        assert_eq!(lenient(&wide(count, &format!("k{}", count - 1))), Err(WireError::DuplicateKey), "{count}");
        // What an inner object does must not disturb the outer one.
        let nested = format!("{{\"a\":{},\"b\":{},\"c\":1}}", wide(count, "z"), wide(count, "z"));
        assert_eq!(lenient(&nested), Ok(()), "{count}");
        assert_eq!(lenient(&nested.replace("\"c\"", "\"a\"")), Err(WireError::DuplicateKey), "{count}");
    }
}

// spec-test: WIRE-5
#[test]
fn a_key_with_an_escape_is_refused() {
    for json in [r#"{"\u0061":1}"#, r#"{"a\n":1}"#, r#"{"\"":1}"#, r#"[{"a":{"b\\":1}}]"#] {
        assert_eq!(lenient(json), Err(WireError::Escape), "{json}");
    }
}

// spec-test: WIRE-6
#[test]
fn protocol_numbers_are_integers_that_every_reader_keeps() {
    for json in ["0", "1", "9007199254740991", "[1,2]"] {
        assert_eq!(integers(json), Ok(()), "{json}");
    }
    for json in ["-0", "-1", "1.0", "1e3", "9007199254740992", "18446744073709551616", "99999999999999999999999999", "0.0"] {
        assert_eq!(integers(json), Err(WireError::Number), "{json}");
        assert_eq!(lenient(json), Ok(()), "{json}");
    }
}

// spec-test: WIRE-2
#[test]
fn content_is_bounded_in_length_and_depth() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(lenient(&nested(CONTENT_DEPTH_MAX)), Ok(()));
    assert_eq!(lenient(&nested(CONTENT_DEPTH_MAX + 1)), Err(WireError::TooDeep));
    assert_eq!(lenient(&"{\"a\":".repeat(100_000)), Err(WireError::TooLong));
    assert_eq!(lenient(&"{\"a\":".repeat(10_000)), Err(WireError::TooDeep));
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(lenient(&long(CONTENT_BYTES_MAX)), Ok(()));
    assert_eq!(lenient(&long(CONTENT_BYTES_MAX + 1)), Err(WireError::TooLong));
    let deeper = Limits { depth_max: 1_000, ..Limits::PAYLOAD };
    assert_eq!(walk(nested(32).as_bytes(), deeper), Ok(()));
    assert_eq!(walk(nested(33).as_bytes(), deeper), Err(WireError::TooDeep));
}

// spec-test: WIRE-7
#[test]
fn compaction_takes_away_space_between_tokens_and_nothing_else() {
    let json = " { \"a b\" : [ 1.50 , -0 ,1e400, \"x  y\\u0020\\n\" ] ,\r\n\t\"c\":{ } , \"d\" : [\n] , \"e\":null } \n";
    assert_eq!(compact(json.as_bytes()).unwrap(), br#"{"a b":[1.50,-0,1e400,"x  y\u0020\n"],"c":{},"d":[],"e":null}"#);
    assert_eq!(compact(b" 1 ").unwrap(), b"1");
    assert_eq!(compact(b"\t\"a\"").unwrap(), b"\"a\"");
}

// spec-test: WIRE-7
#[test]
fn compaction_refuses_what_the_walk_would_refuse_later() {
    for (json, why) in [
        (r#"{ "a": 1, "a": 2 }"#, WireError::DuplicateKey),
        (r#"{ "\u0061": 1 }"#, WireError::Escape),
        ("\"\\ud800\"", WireError::Surrogate),
        ("\"a\nb\"", WireError::Space),
        ("1 2", WireError::Json),
        ("", WireError::Json),
        (" ", WireError::Json),
        ("[[[[[[[[[]]]]]]]]]", WireError::TooDeep),
        ("1\u{b}", WireError::Space),
    ] {
        assert_eq!(compact(json.as_bytes()), Err(why), "{json:?}");
    }
    let spaces = |count: usize| [vec![b' '; count], b"1".to_vec()].concat();
    assert_eq!(compact(&spaces(CONTENT_BYTES_MAX)).unwrap(), b"1");
    assert_eq!(compact(&spaces(LINE_BYTES_MAX)), Err(WireError::TooLong));
    assert_eq!(compact(format!("\"{}\"", "x".repeat(CONTENT_BYTES_MAX)).as_bytes()), Err(WireError::TooLong));
}

// spec-test: WIRE-1
#[test]
fn a_line_is_bounded_in_length_and_depth_and_free_of_control_bytes() {
    let nested = |depth: usize| format!("{}\"}}]\\\"{{\"{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(check_line(nested(LINE_DEPTH_MAX).as_bytes()), Ok(()));
    assert_eq!(check_line(nested(LINE_DEPTH_MAX + 1).as_bytes()), Err(WireError::TooDeep));
    assert_eq!(check_line(&vec![b'1'; LINE_BYTES_MAX]), Ok(()));
    assert_eq!(check_line(&vec![b'1'; LINE_BYTES_MAX + 1]), Err(WireError::TooLong));
    for line in ["{\"a\":\t1}", "\"a\nb\"", "\"\\\n\"", "\"abcdefghijk\u{1f}\"", "\u{0}"] {
        assert_eq!(check_line(line.as_bytes()), Err(WireError::Space), "{line:?}");
    }
    assert_eq!(check_line(b"{\"a\": \"\\\\\"}"), Ok(()));
}

#[test]
fn a_quote_a_backslash_and_a_control_byte_are_found_at_every_offset() {
    for length in 0..20 {
        for at in 0..length {
            for byte in [b'"', b'\\', 0, 0x1f] {
                // Neighbours that differ from the wanted bytes by one must not be taken for them.
                for filler in [b'!', b'#', b'[', b']', 0x20, 0x7f, 0x80, 0xff] {
                    let mut bytes = vec![filler; length];
                    bytes[at] = byte;
                    assert_eq!(plain_end(&bytes, 0), at, "{bytes:?}");
                }
            }
        }
        assert_eq!(plain_end(&vec![b'x'; length], 0), length);
    }
}

/// Any JSON value of at most content depth, with keys that need no escapes.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 20, |inner| {
        let key = any::<String>().prop_map(|key| key.replace(|c: char| c == '"' || c == '\\' || c < ' ', "_"));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..20).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    // spec-test: WIRE-3
    #[test]
    fn the_walk_accepts_what_compaction_makes_of_any_value(value in values()) {
        let compacted = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(walk(&compacted, Limits::PAYLOAD), Ok(()));
        prop_assert_eq!(compact(&compacted).unwrap(), compacted.clone());
        let pretty = pretty(&compacted);
        prop_assert_eq!(compact(&pretty).unwrap(), compacted.clone());
        prop_assert_eq!(walk(&pretty, Limits::PAYLOAD).is_ok(), pretty == compacted);
        prop_assert_eq!(check_line(&compacted), Ok(()));
    }

    // spec-test: WIRE-3
    #[test]
    fn whatever_mutation_the_walk_accepts_serde_json_accepts_too(value in values(), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.remove(at); } else { bytes[at] = byte; }
        let accepted = walk(&bytes, Limits::PAYLOAD).is_ok();
        if accepted {
            prop_assert!(serde_json::from_slice::<&RawValue>(&bytes).is_ok());
            prop_assert_eq!(compact(&bytes).unwrap(), bytes.clone());
        }
        prop_assert!(crate::fuzz::strict(&bytes) && crate::fuzz::line(&bytes));
        if walk(&bytes, Limits::CONTENT).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        prop_assert!(crate::fuzz::strict(&bytes) && crate::fuzz::line(&bytes));
        prop_assert!(crate::fuzz::delegation(&bytes) && crate::fuzz::revocation(&bytes));
    }

    #[test]
    fn no_text_of_json_tokens_makes_it_panic(text in r#"[\[\]{}:,"\\u0-9a-fDd8 .eE+\-]{0,40}"#) {
        let bytes = text.as_bytes();
        prop_assert!(crate::fuzz::strict(bytes) && crate::fuzz::line(bytes));
        if walk(bytes, Limits::PAYLOAD).is_ok() {
            prop_assert!(serde_json::from_slice::<&RawValue>(bytes).is_ok());
        }
    }
}

/// The same JSON with spaces wherever they may stand: around every token outside strings that is not a word or number.
fn pretty(compacted: &[u8]) -> Vec<u8> {
    let (mut out, mut inside, mut escaped) = (Vec::new(), false, false);
    for byte in compacted {
        if !inside && b"{}[]:,".contains(byte) {
            out.extend_from_slice(&[b' ', *byte, b'\n']);
        } else {
            out.push(*byte);
        }
        inside ^= *byte == b'"' && !escaped;
        escaped = inside && *byte == b'\\' && !escaped;
    }
    out
}
