//! Who may use whom inside core, and which outside crate is named in which file.

use super::{File, Finding, source};
use std::collections::BTreeMap;

/// Modules that hold no protocol state: everybody may use them.
const BASE: [&str; 11] = ["time", "id", "error", "address", "close", "config", "map", "timer", "rng", "crypto", "wire"];

/// What machines and their neighbours may use beside the base. `node` wires everything and stands in no row.
const MAY_USE: &[(&str, &[&str])] = &[
    // the base itself
    ("time", &[]),
    ("id", &["error"]),
    ("error", &["id", "time"]),
    ("map", &["rng"]),
    ("address", &[]),
    ("timer", &["time", "id", "map"]),
    ("rng", &["crypto"]),
    ("crypto", &["error", "id", "rng"]),
    ("config", &["time", "id", "error", "crypto"]),
    ("wire", &["time", "id", "error", "config", "close", "crypto", "identity"]),
    // the face
    ("message", &["time", "id", "error", "config", "command", "wire"]),
    ("close", &[]),
    ("event", &["time", "id", "error", "action"]),
    ("action", &["time", "id", "error", "notice"]),
    ("command", &["time", "id", "error", "config", "identity", "invitation", "message", "view", "wire"]),
    ("notice", &["time", "id", "error", "identity", "action", "close", "command", "invitation", "message", "view"]),
    ("invitation", &["command", "identity"]),
    ("view", &["time", "id", "error", "action", "close", "command", "event", "message", "notice"]),
    ("driver", &["time", "id", "error", "event", "action", "command", "notice", "node", "trace"]),
    ("app", &["time", "id", "error", "event", "action", "command", "message", "notice", "node", "rng", "driver"]),
    ("trace", &["event", "action", "command", "notice", "message", "close", "view", "identity", "node"]),
    // what machines are handed
    ("cx", &["event", "action", "command", "notice", "message", "close", "view", "trace"]),
    // the machines: never each other, but that a link begins as a handshake, and that a search is checked by who one is
    ("identity", &["cx"]),
    ("handshake", &["cx", "identity", "close", "notice"]),
    ("link", &["cx", "identity", "close", "event", "action", "notice", "message", "view", "handshake", "trace"]),
    ("inbox", &["cx", "action"]),
    ("outbox", &["cx", "identity", "event", "action", "command", "notice", "message", "close", "view"]),
    ("referral", &["cx", "identity", "event", "action", "command", "notice", "message", "close", "view", "handshake"]),
    ("invites", &["cx", "identity", "action", "command", "notice", "invitation", "view"]),
    ("dht", &["cx", "identity", "event", "action", "command", "notice", "message", "close", "view"]),
    ("broadcast", &["cx", "identity", "event", "action", "command", "notice", "message", "close", "view"]),
    ("round", &["cx", "identity", "event", "action", "command", "notice", "message", "close", "view"]),
    ("mailbox", &["cx", "identity", "event", "action", "command", "notice", "message", "close", "view"]),
    ("devices", &["cx", "identity", "event", "action", "command", "notice", "message", "close", "view"]),
];

/// Modules that see everything: the wiring, the front door and the entrances for fuzzers.
const WIRING: [&str; 3] = ["node", "lib", "fuzz"];

/// Outside crates and the only places that name them.
const HOMES: &[(&str, &[&str])] = &[
    ("ed25519_dalek", &["core/src/crypto"]),
    ("x25519_dalek", &["core/src/crypto"]),
    ("snow", &["core/src/crypto"]),
    ("sha2", &["core/src/crypto"]),
    ("hkdf", &["core/src/crypto"]),
    ("hmac", &["core/src/crypto"]),
    ("chacha20poly1305", &["core/src/crypto"]),
    ("cryptoxide", &["core/src/crypto"]),
    ("subtle", &["core/src/crypto"]),
    ("rand_chacha", &["core/src/rng.rs"]),
    ("hashbrown", &["core/src/map.rs"]),
    ("siphasher", &["core/src/map.rs", "core/src/crypto"]),
    ("xxhash_rust", &["core/src/trace", "core/src/crypto"]),
    ("base64", &["core/src/id.rs"]),
    ("bech32", &["core/src/id.rs"]),
];

/// Which module each name comes from that the crate's root exports again.
type Origins = BTreeMap<String, String>;

fn check(files: &[File]) -> Vec<Finding> {
    let own: Vec<(&File, &str)> = files.iter().filter_map(|file| Some((file, own_path(&file.path)?))).collect();
    let mut origins = Origins::new();
    for (file, inner) in &own {
        let module = module_path(inner).first().map_or("lib", |part| *part).to_owned();
        let mut is_macro = false;
        for line in source::lines(&file.text) {
            is_macro = is_macro && line.code != "}" || line.code.ends_with("! {") && !line.code.starts_with(' ');
            if let Some(name) = declared(&line.code).or_else(|| is_macro.then(|| defined(&line.code)).flatten()) {
                origins.entry(name.to_owned()).or_insert_with(|| module.clone());
            }
        }
    }
    own.into_iter().flat_map(|(file, inner)| check_file(file, inner, &origins)).collect()
}

fn own_path(path: &str) -> Option<&str> {
    path.strip_prefix("core/src/").filter(|inner| inner.ends_with(".rs") && !inner.ends_with("tests.rs"))
}

/// The public item that a line declares, if it stands at the top level of its file.
fn declared(code: &str) -> Option<&str> {
    let code = code.strip_prefix("pub ")?;
    let words: Vec<&str> = source::words(code).into_iter().map(|(_, word)| word).collect();
    let kind = words.iter().position(|word| matches!(*word, "struct" | "enum" | "trait" | "type" | "fn" | "const" | "static"))?;
    // `const fn` and the like: the name follows the last of them.
    let last = words.iter().skip(kind).position(|word| *word == "fn").map_or(kind, |further| kind + further);
    words.get(last + 1).copied()
}

/// The type that a line within a macro call at the top level names first: `bytes_id! { DeviceId, 16 }`.
fn defined(code: &str) -> Option<&str> {
    source::words(code.trim_start()).first().map(|(_, word)| *word).filter(|word| word.starts_with(char::is_uppercase))
}

fn check_file(file: &File, inner: &str, origins: &Origins) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = module_path(inner);
    let module = place.first().map_or("lib", |part| *part);
    let lines = source::lines(&file.text);
    let code: Vec<&str> = lines.iter().map(|line| if line.is_test { "" } else { line.code.as_str() }).collect();
    for (index, line) in code.iter().enumerate() {
        for (name, homes) in HOMES {
            if source::holds(line, name) && !homes.iter().any(|home| file.path.starts_with(home)) {
                findings.push(Finding::new(
                    &file.path,
                    index + 1,
                    format!("{name} is named only in {}: call what is there", homes.join(", ")),
                ));
            }
        }
    }
    for (line, used) in used_modules(&code.join("\n"), &place) {
        let is_module = MAY_USE.iter().any(|(name, _)| *name == used) || WIRING.contains(&used.as_str());
        let origin = if is_module { &used } else { origins.get(&used).unwrap_or(&used) };
        if let Err(advice) = may_use(module, origin) {
            findings.push(Finding::new(&file.path, line, advice));
        }
    }
    findings
}

fn may_use(module: &str, used: &str) -> Result<(), String> {
    if module == used || WIRING.contains(&module) {
        return Ok(());
    }
    if used.starts_with(char::is_uppercase) {
        return Err(format!("crate::{used} is declared in no module of core: name where it comes from"));
    }
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
        return Err(format!("module {module} has no row in the table of tests/tidy/modules.rs: add one"));
    };
    // The base itself is layered: only its rows apply to it.
    let is_base = BASE.contains(&used) && !BASE.contains(&module);
    if is_base || allowed.contains(&used) {
        return Ok(());
    }
    Err(format!("{module} may not use {used}: push an effect and let node carry it over, or move what both need into the base"))
}

/// `link/registry.rs` is `link::registry`; `link/mod.rs` is `link`; `lib.rs` is the root.
fn module_path(inner: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = inner.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&("mod" | "lib"))) {
        parts.pop();
    }
    parts
}

/// The top-level modules that code names through `crate::` or through `super::` from where it stands, with lines.
fn used_modules(code: &str, place: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let inline = inline_modules(code);
    for (at, word) in source::words(code) {
        let after = &code[at + word.len()..];
        let Some(rest) = after.strip_prefix("::") else { continue };
        let before = &code[..at];
        if before.ends_with("::") || before.ends_with('$') {
            continue;
        }
        let rest = match word {
            "crate" => rest,
            "super" => match climb(rest, place.len() + inline.iter().filter(|module| module.contains(&at)).count()) {
                Some(rest) => rest,
                None => continue,
            },
            _ => continue,
        };
        for (offset, name) in heads(rest) {
            let line = code[..code.len() - rest.len() + offset].matches('\n').count() + 1;
            found.push((line, name.to_owned()));
        }
    }
    found
}

/// The extents of `mod name { … }` within a file, in bytes.
fn inline_modules(code: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in source::words(code).into_iter().filter(|(_, word)| *word == "mod") {
        let Some(open) = code[at..].find(['{', ';']).map(|offset| at + offset).filter(|open| code[*open..].starts_with('{')) else {
            continue;
        };
        let mut depth = 0_usize;
        let close = code[open..].char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        found.push(open..close.map_or(code.len(), |(offset, _)| open + offset));
    }
    found
}

/// Follows further `super::` up from a file at this depth; `Some` only when the crate's root is reached.
fn climb(mut rest: &str, depth: usize) -> Option<&str> {
    let mut left = depth.checked_sub(1)?;
    while let Some(higher) = rest.strip_prefix("super::") {
        rest = higher;
        left = left.checked_sub(1)?;
    }
    (left == 0).then_some(rest)
}

/// The first names of a path or of each branch of a `{…}` group; macros and `self` are none.
fn heads(rest: &str) -> Vec<(usize, &str)> {
    let Some(group) = rest.strip_prefix('{') else {
        return source::words(rest)
            .first()
            .filter(|(at, _)| *at == 0)
            .filter(|_| !is_macro(rest))
            .map(|head| vec![*head])
            .unwrap_or_default();
    };
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut is_head = true;
    let words = source::words(group);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_head = true,
            _ => {}
        }
        if is_head
            && depth == 0
            && let Some((_, word)) = words.iter().find(|(start, _)| *start == at)
        {
            is_head = false;
            if *word != "self" {
                found.push((at + 1, *word));
            }
        }
    }
    found
}

fn is_macro(rest: &str) -> bool {
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    rest[name.len()..].starts_with('!')
}

#[test]
fn modules_of_core_use_only_whom_they_may() {
    super::expect_none(&check(&super::repository()));
}

#[cfg(test)]
mod tests {
    use super::{File, check, used_modules};

    fn advice(path: &str, code: &str) -> Vec<String> {
        let known = File::new("core/src/handshake/mod.rs", "pub struct Keys;\npub const fn open() {}\n");
        check(&[known, File::new(path, code)]).into_iter().map(|finding| format!("{}: {}", finding.line, finding.advice)).collect()
    }

    #[test]
    fn a_machine_that_names_its_sibling_is_found() {
        assert!(advice("core/src/inbox.rs", "use crate::handshake::Keys;")[0].contains("inbox may not use handshake"));
        assert!(advice("core/src/link/registry.rs", "\nfn a() { super::super::outbox::b() }")[0].starts_with("2: link may not"));
        assert!(advice("core/src/outbox.rs", "use super::link;")[0].contains("outbox may not use link"));
        assert_eq!(advice("core/src/node.rs", "use crate::{handshake, link};"), Vec::<String>::new());
        assert_eq!(advice("core/src/link/registry.rs", "use super::Line;\nuse crate::link::Line;"), Vec::<String>::new());
    }

    #[test]
    fn what_the_root_exports_again_counts_for_its_module() {
        assert!(advice("core/src/inbox.rs", "use crate::{Keys};")[0].contains("inbox may not use handshake"));
        assert!(advice("core/src/inbox.rs", "crate::open();")[0].contains("inbox may not use handshake"));
        assert_eq!(advice("core/src/node.rs", "use crate::Keys;"), Vec::<String>::new());
    }

    #[test]
    fn the_base_does_not_look_up() {
        assert!(advice("core/src/time.rs", "use crate::node::Node;")[0].contains("time may not use node"));
        assert!(advice("core/src/timer.rs", "use crate::wire;")[0].contains("timer may not use wire"));
        assert_eq!(advice("core/src/link/mod.rs", "use crate::{time::Time, wire};"), Vec::<String>::new());
    }

    #[test]
    fn an_outside_crate_away_from_its_home_is_found() {
        assert!(advice("core/src/node.rs", "let a = hashbrown::HashMap::new();")[0].contains("core/src/map.rs"));
        assert!(advice("core/src/link/mod.rs", "use snow::Builder;")[0].contains("core/src/crypto"));
        assert_eq!(advice("core/src/map.rs", "use hashbrown as inner;"), Vec::<String>::new());
        assert_eq!(advice("core/src/node.rs", "// hashbrown is wrapped\n"), Vec::<String>::new());
    }

    #[test]
    fn a_module_without_a_row_and_a_hidden_origin_are_found() {
        assert!(advice("core/src/new.rs", "use crate::time;")[0].contains("no row"));
        assert!(advice("core/src/link/mod.rs", "use crate::Node;")[0].contains("in no module"));
    }

    #[test]
    fn groups_are_read_by_their_first_names() {
        let names = |code| used_modules(code, &["link"]).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names("use crate::{time::{Time, Span}, id, wire::Line as L};"), ["time", "id", "wire"]);
        assert_eq!(names("let x = crate::map::Map::new(); crate::say!(x); self::y();"), ["map"]);
    }

    #[test]
    fn inside_an_inline_module_super_is_the_file() {
        assert_eq!(advice("core/src/id.rs", "mod inner {\n use super::{Vec, spell};\n}\n"), Vec::<String>::new());
        assert!(advice("core/src/id.rs", "mod inner {\n use super::super::node;\n}\n")[0].contains("id may not use node"));
    }

    #[test]
    fn names_that_macros_declare_have_an_origin() {
        let id = File::new("core/src/id.rs", "bytes_id! {\n    /// What.\n    DeviceId, 16\n}\n");
        let user = File::new("core/src/link/mod.rs", "use crate::DeviceId;\n");
        assert_eq!(check(&[id, user]), Vec::new());
    }

    #[test]
    fn tests_may_use_anyone() {
        assert_eq!(advice("core/src/time.rs", "#[cfg(test)]\nmod tests {\n use crate::node::Node;\n}"), Vec::<String>::new());
    }
}
