//! The numbers that `core/SPEC.md` gives for what can be configured, against the desktop profile's.

use std::collections::{BTreeMap, BTreeSet};

use overcom_core::Config;
use serde_json::Value;

const SPEC: &str = include_str!("../core/SPEC.md");
const CONFIG: &str = include_str!("../core/src/config.rs");

/// Fields whose documentation cites a clause that gives no number for them, and why that is so.
const WITHOUT_A_NUMBER: [(&str, &str); 3] = [
    ("window_messages", "its clause gives the least that a window may be, and the default is measured"),
    ("search_units", "FIND-10 says how a budget is shared, not how large it is"),
    ("dht", "DHT-158 says what taking part is; that a node does is no number"),
];

fn profile(config: Config) -> BTreeMap<String, u64> {
    let Ok(Value::Object(fields)) = serde_json::to_value(config) else { panic!("a configuration is an object") };
    fields.into_iter().filter_map(|(name, value)| Some((name, value.as_u64()?))).collect()
}

fn clause(id: &str) -> &'static str {
    SPEC.lines().find(|line| line.starts_with(&format!("**{id}** "))).unwrap_or_else(|| panic!("SPEC.md has no {id}"))
}

/// As the clauses write small numbers in words.
fn word(number: u64) -> String {
    let words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    usize::try_from(number).ok().and_then(|at| words.get(at)).map_or_else(|| number.to_string(), |word| (*word).into())
}

/// As the clauses write large ones.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What each clause must say if these are the numbers, and which fields that pins.
fn said(of: impl Fn(&str) -> u64) -> Vec<(&'static str, &'static [&'static str], String)> {
    let waits: Vec<String> = (0..=of("retries")).map(|retry| ((of("retry_ms_first") << retry) / 1_000).to_string()).collect();
    let (last, earlier) = waits.split_last().unwrap();
    let links = (of("links_user_max"), of("links_service_out_max"), of("links_service_in_max"));
    let (single, group) = (of("dht_requests_per_second"), of("dht_group_requests_per_second"));
    vec![
        ("WIRE-1", &["line_bytes_max"], format!("longer than {} bytes", grouped(of("line_bytes_max")))),
        ("HS-11", &["handshake_ms_max"], format!("proven {} seconds after", word(of("handshake_ms_max") / 1_000))),
        ("LINK-10", &["keep_alive_ms"], format!("no record for {} s", of("keep_alive_ms") / 1_000)),
        ("LINK-12", &["idle_ms_max"], format!("for {} minutes", word(of("idle_ms_max") / 60_000))),
        (
            "LINK-13",
            &["links_user_max", "links_service_out_max", "links_service_in_max"],
            format!("{} with users, {} service links dialled, {} accepted", links.0, links.1, links.2),
        ),
        ("MSG-10", &["acknowledge_ms_max"], format!("after {} ms", of("acknowledge_ms_max"))),
        ("MSG-13", &["retries", "retry_ms_first"], format!("at once, after {} and {last} s more", earlier.join(", "))),
        ("MSG-13", &["retry_ms_disk"], format!("every {} minutes", word(of("retry_ms_disk") / 60_000))),
        ("FIND-12", &["search_units_per_minute"], format!("of {} in a minute", of("search_units_per_minute"))),
        ("FIND-13", &["dials_for_others_per_minute"], format!("{} in a minute altogether", of("dials_for_others_per_minute"))),
        ("DHT-52", &["dht_wide"], format!("{}in a wide table", if of("dht_wide") == 1 { "or, " } else { "never " })),
        (
            "DHT-71",
            &["dht_requests_per_second", "dht_group_requests_per_second"],
            format!("{single} requests a second from an address and {group} from a group, with bursts of {} and {}", 2 * single, 4 * group),
        ),
        ("DHT-73", &["dht_reply_bytes_per_second"], format!("within {} bytes a second", grouped(of("dht_reply_bytes_per_second")))),
        ("DHT-74", &["dht_endpoints_per_second"], format!("at most {} addresses a second", word(of("dht_endpoints_per_second")))),
        ("DHT-157", &["dht_binds"], format!("on a phone, and to {} elsewhere", word(of("dht_binds")))),
        ("DHT-74", &["dht_endpoints_per_second"], format!("application may {} a second", 4 * of("dht_endpoints_per_second"))),
    ]
}

/// Fields whose default cites a clause.
fn citing(source: &str) -> BTreeSet<&str> {
    let (mut found, mut is_cited) = (BTreeSet::new(), false);
    for line in source.lines().map(str::trim) {
        if line.starts_with("///") {
            is_cited |= line.contains("(spec:");
        } else {
            let field = line.split_once(": u32 = ").map(|(name, _)| name);
            found.extend(field.filter(|_| is_cited));
            is_cited = false;
        }
    }
    found
}

// spec-test: LINK-13, FIND-13
#[test]
fn the_desktop_profile_has_the_numbers_that_the_specification_gives() {
    let desktop = profile(Config::desktop());
    let differing: Vec<String> = said(|field| desktop[field])
        .into_iter()
        .filter(|(id, _, text)| !clause(id).contains(text.as_str()))
        .map(|(id, fields, text)| format!("{id} does not say \"{text}\" ({})", fields.join(", ")))
        .collect();
    assert_eq!(differing, Vec::<String>::new());
}

#[test]
fn every_default_that_cites_a_clause_is_compared_with_it() {
    let compared: BTreeSet<&str> = said(|_| 1).into_iter().flat_map(|(_, fields, _)| fields).copied().collect();
    let excused: BTreeSet<&str> = WITHOUT_A_NUMBER.into_iter().map(|(field, _)| field).collect();
    let missing: Vec<_> = citing(CONFIG).into_iter().filter(|field| !compared.contains(field) && !excused.contains(field)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "compare them with their clauses in tests/numbers.rs");
    assert!(compared.is_disjoint(&excused));
}

#[test]
fn any_other_number_is_noticed() {
    let desktop = profile(Config::desktop());
    // Clauses that a wrong number of one field contradicts.
    let contradicted = |wrong: &str, value: u64| -> Vec<&str> {
        let number = |field: &str| if field == wrong { value } else { desktop[field] };
        said(number).into_iter().filter(|(id, _, text)| !clause(id).contains(text.as_str())).map(|(id, ..)| id).collect()
    };
    for (id, fields, _) in said(|field| desktop[field]) {
        for field in fields {
            let other = if *field == "dht_wide" { 0 } else { desktop[*field] + if field.contains("_ms") { 60_000 } else { 1 } };
            assert!(contradicted(field, other).contains(&id), "{id} holds with {field} {other}");
        }
    }
}

/// What is between devices must not depend on how large one of them is; what is within one may.
#[test]
fn profiles_differ_in_sizes_and_not_in_what_others_rely_on() {
    let desktop = profile(Config::desktop());
    let shared = ["handshake_ms_max", "keep_alive_ms", "acknowledge_ms_max", "retry_ms_first", "retries", "retry_ms_disk"];
    let limits = ["search_units_per_minute", "search_units", "dials_for_others_per_minute", "dht_requests_per_second"];
    for (name, config) in [("mobile", Config::mobile()), ("embedded", Config::embedded())] {
        let other = profile(config);
        for field in shared.into_iter().chain(limits) {
            assert_eq!(other[field], desktop[field], "{name}: {field}");
        }
        // And none takes more than a desktop does.
        assert!(other.iter().all(|(field, value)| *value <= desktop[field]), "{name}");
    }
}
