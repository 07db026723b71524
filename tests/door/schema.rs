//! The published schema, held against what the program really says and reads.

use serde_json::{Map, Value, json};

use super::Talk;
use crate::cli::Home;

/// The schema, and the part of JSON Schema that it uses. A keyword that is not known here is a mistake in the schema.
pub(super) struct Schema(Value);

impl Schema {
    pub(super) fn published() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime-smol/cli/schema/overcom.json");
        Self(serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("it is JSON"))
    }

    /// What is wrong with `value` as a whole line that the program says.
    pub(super) fn line(&self, value: &Value) -> Result<(), String> {
        self.check(&json!({ "oneOf": self.0["oneOf"] }), value)
    }

    /// What is wrong with `value` by the definition `name`.
    pub(super) fn named(&self, name: &str, value: &Value) -> Result<(), String> {
        self.check(&json!({ "$ref": format!("#/$defs/{name}") }), value)
    }

    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let Value::Object(schema) = schema else {
            return if schema == &json!(true) { Ok(()) } else { Err(format!("{schema} is no schema")) };
        };
        schema.iter().try_for_each(|(keyword, rule)| self.keyword(schema, keyword, rule, value))
    }

    fn keyword(&self, schema: &Map<String, Value>, keyword: &str, rule: &Value, value: &Value) -> Result<(), String> {
        let list = || rule.as_array().into_iter().flatten();
        let is = match keyword {
            "description" => true,
            "$ref" => {
                let name = rule.as_str().and_then(|text| text.strip_prefix("#/$defs/")).expect("a definition");
                let definition = self.0["$defs"].get(name).unwrap_or_else(|| panic!("there is no definition {name}"));
                return self.check(definition, value).map_err(|why| format!("{name}: {why}"));
            }
            "type" if rule.is_array() => list().any(|kind| is_a(kind, value)),
            "type" => is_a(rule, value),
            "const" => value == rule,
            "enum" => list().any(|known| known == value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().expect("a number")),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().expect("a number")),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().expect("a number")),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().expect("a number")),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().expect("a number")),
            "pattern" => value.as_str().is_none_or(|text| text.starts_with("oc1") && text.len() > 50),
            "items" => return value.as_array().into_iter().flatten().try_for_each(|item| self.check(rule, item)),
            "required" => value.as_object().is_none_or(|object| list().all(|name| object.contains_key(name.as_str().expect("a name")))),
            "properties" => return self.properties(rule, value),
            "additionalProperties" => return self.others(schema, rule, value),
            "oneOf" => {
                let checked: Vec<_> = list().map(|schema| self.check(schema, value)).collect();
                if checked.iter().filter(|checked| checked.is_ok()).count() == 1 {
                    return Ok(());
                }
                return Err(format!("{value} fits none or several of: {checked:?}"));
            }
            "anyOf" => list().any(|schema| self.check(schema, value).is_ok()),
            unknown => panic!("the schema uses {unknown}, which this test does not know"),
        };
        if is { Ok(()) } else { Err(format!("{value} is against {keyword}: {rule}")) }
    }

    fn properties(&self, rule: &Value, value: &Value) -> Result<(), String> {
        let (Some(rules), Some(object)) = (rule.as_object(), value.as_object()) else { return Ok(()) };
        let both = rules.iter().filter_map(|(name, rule)| object.get(name).map(|value| (name, rule, value)));
        both.into_iter().try_for_each(|(name, rule, value)| self.check(rule, value).map_err(|why| format!("{name}: {why}")))
    }

    fn others(&self, schema: &Map<String, Value>, rule: &Value, value: &Value) -> Result<(), String> {
        let known = schema.get("properties").and_then(Value::as_object);
        let is_other = |name: &String| known.is_none_or(|known| !known.contains_key(name));
        value.as_object().into_iter().flatten().filter(|(name, _)| is_other(name)).try_for_each(|(name, value)| {
            if rule == &json!(false) { Err(format!("{name} is not expected in {value}")) } else { self.check(rule, value) }
        })
    }

    fn definitions(&self, prefix: &str) -> Vec<String> {
        let all = self.0["$defs"].as_object().expect("definitions");
        all.keys().filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect()
    }
}

fn is_a(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("a kind") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        unknown => panic!("there is no type {unknown}"),
    }
}

#[test]
fn a_line_that_the_schema_does_not_allow_is_found() {
    let schema = Schema::published();
    for good in [json!({ "id": 1, "ok": {} }), json!({ "notice": "queued", "tag": 1 })] {
        schema.line(&good).expect("it is allowed");
    }
    for bad in [
        json!({}),
        json!({ "id": 1 }),
        json!({ "id": [], "ok": {} }),
        json!({ "notice": "queued" }),
        json!({ "notice": "queued", "tag": -1 }),
        json!({ "notice": "queued", "tag": 1, "id": 1 }),
        json!({ "notice": "rumour" }),
        json!({ "id": 1, "error": { "code": "whim", "message": "", "hint": "" } }),
    ] {
        assert!(schema.line(&bad).is_err(), "{bad}");
    }
    assert!(schema.named("request/send", &json!({ "op": "send", "to": "ann" })).is_err());
}

/// A request for each op, in an order in which each does something.
fn requests(user: &str, at: &str, bobs_line: &str, own: &str, revocation: &Value) -> Vec<(&'static str, Value)> {
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    vec![
        ("introduce", json!({ "user": user, "addresses": [at], "name": "bob" })),
        ("name", json!({ "name": "robert", "user": "bob" })),
        ("invite", json!({ "life_s": 60, "addresses": ["127.0.0.1:7575"] })),
        ("join", json!({ "line": bobs_line })),
        ("invitations", json!({})),
        ("withdraw", json!({ "invitation": own })),
        ("names", json!({})),
        ("find", json!({ "user": "bob" })),
        ("locate", json!({ "user": "bob", "app": null, "device": null })),
        ("dht", json!({})),
        ("publish", json!({ "policy": "contacts" })),
        ("publish", json!({ "policy": "everyone", "addresses": ["192.0.2.1:7575"] })),
        ("send", json!({ "to": "bob", "type": "note", "payload": { "a": [1, null] }, "keep": "disk", "life_s": 60, "device": null })),
        ("send", json!({ "to": "bob", "type": "note", "keep": "memory" })),
        // Nobody is there: it stays in the outbox.
        ("send", json!({ "to": nobody, "type": "note" })),
        ("why", json!({ "user": "bob" })),
        ("status", json!({})),
        ("links", json!({})),
        ("outbox", json!({})),
        ("renew", json!({})),
        ("revoke", json!({ "revocation": revocation })),
        ("enter", json!({ "entries": ["127.0.0.1:9"] })),
        ("entries", json!({})),
        ("enter", json!({ "entries": [] })),
        ("listen", json!({ "notices": null, "types": null })),
        ("name", json!({ "name": "robert", "user": null })),
        ("credit", json!({})),
        ("taken", json!({ "notices": 0 })),
        ("forget", json!({ "user": "bob" })),
        ("forget", json!({ "user": nobody })),
        ("send", json!({ "to": "carol", "type": "note" })),
        ("stop", json!({})),
    ]
}

/// A request for each op, and every line that came of it, is allowed by the schema.
#[test]
fn what_the_program_says_and_reads_is_what_the_schema_allows() {
    let schema = Schema::published();
    let (ann, bob) = (Home::new("schema-ann"), Home::new("schema-bob"));
    ann.told(&["id"]);
    let device = overcom_core::DeviceId::from_bytes([9; 16]).to_string();
    let revoked = ann.told(&["revoke", &device, "--json"]);
    let (mut ann, mut bob) = (Talk::start(&ann), Talk::start(&bob));
    schema.line(&ann.node.hello).expect("a hello");
    let (user, at) = (bob.user().to_owned(), bob.address().to_owned());
    let tag = bob.ok("invite", json!({}))["tag"].clone();
    let invited = bob.notice("invited");
    assert_eq!(invited["tag"], tag);
    let bobs_line = invited["line"].as_str().expect("a line").to_owned();
    ann.ok("invite", json!({}));
    let own = ann.notice("invited")["invitation"].as_str().expect("an id").to_owned();
    let revocation = crate::cli::json(&revoked);
    let requests = requests(&user, &at, &bobs_line, &own, &revocation);
    let mut used: Vec<String> = Vec::new();
    for (op, fields) in requests {
        let mut request = json!({ "id": 1, "op": op });
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        schema.named(&format!("request/{op}"), &request).expect("it may be asked");
        schema.named("request", &request).expect("it may be asked");
        let answer = if op == "revoke" {
            // As it was written: what is signed has an order.
            ann.asked += 1;
            ann.write(format!("{{\"id\":{},\"op\":\"revoke\",\"revocation\":{}}}\n", ann.asked, revoked.trim()).as_bytes());
            ann.answer(ann.asked)
        } else {
            ann.ask(op, fields)
        };
        schema.line(&answer).expect("an answer");
        match answer.get("ok") {
            Some(ok) => schema.named(&format!("ok/{op}"), ok).expect("what an answer to it holds"),
            None => assert_eq!(answer["error"]["code"], "unknown_name", "{answer}"),
        }
        if op == "join" {
            ann.notice("joined");
            bob.notice("joined_by");
        }
        if request["to"] == "bob" {
            bob.notice("message");
            ann.notice("delivered");
        }
        used.push(op.to_owned());
    }
    let (rest, status, _) = ann.end();
    assert_eq!(status.code(), Some(0));
    let bobs = bob.end().0;
    let mut kinds: Vec<&str> = Vec::new();
    for notice in rest.iter().chain(&bobs) {
        schema.line(notice).expect("a notice");
        kinds.extend(notice["notice"].as_str());
    }
    for kind in ["message", "delivered", "found", "invited", "joined", "joined_by", "failed", "link_up", "link_down", "renewed", "quiet"] {
        assert!(kinds.contains(&kind), "{kind} was not told: {kinds:?}");
    }
    used.sort();
    used.dedup();
    assert_eq!(used, schema.definitions("request/"), "every op is tried");
    assert_eq!(used, schema.definitions("ok/"), "every op's answer is described");
}

#[test]
fn a_life_that_is_longer_than_the_schema_allows_is_refused_with_the_longest_one() {
    let (home, schema) = (Home::new("life"), Schema::published());
    let mut talk = Talk::start(&home);
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    for (op, life_s, is_taken) in
        [("send", 604_800, true), ("send", 604_801, false), ("invite", 2_592_000, true), ("invite", 2_592_001, false)]
    {
        let mut fields = json!({ "life_s": life_s });
        if op == "send" {
            fields.as_object_mut().expect("an object").extend([("to".into(), nobody.as_str().into()), ("type".into(), "note".into())]);
        }
        let mut request = json!({ "id": 1, "op": op });
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        assert_eq!(schema.named(&format!("request/{op}"), &request).is_ok(), is_taken, "{request}");
        let answer = talk.ask(op, fields);
        assert_eq!(answer.get("ok").is_some(), is_taken, "{answer}");
        let told = |part: &str| answer["error"][part].as_str().unwrap_or_default();
        if op == "send" && !is_taken {
            assert!(told("code") == "bad_field" && told("message").contains("life_s") && told("hint").contains("604800"), "{answer}");
        }
    }
    assert_eq!(talk.ok("outbox", json!({}))["count"], 1, "what was refused is not kept");
}
