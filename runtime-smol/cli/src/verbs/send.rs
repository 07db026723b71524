//! `overcom send`: one message, and what came of it.

use std::io::Read as _;
use std::time::Duration;

use clap::Args;
use overcom_std::Clock;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::proto::LINE_BYTES_MAX;
use crate::run::Place;
use crate::verbs::why::explained;

#[derive(Args)]
pub(crate) struct Arguments {
    /// To whom: a name (overcom names), or an id oc1…
    #[arg(value_name = "NAME")]
    to: String,
    /// What kind of message, for instance note
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The JSON that it carries; - reads it from standard input
    #[arg(default_value = "null")]
    payload: String,
    /// The payload is text, not JSON
    #[arg(long)]
    text: bool,
    /// Do not wait for the delivery: it is kept, and sent while a node runs
    #[arg(long)]
    no_wait: bool,
    /// For how many seconds to wait for the delivery
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "no_wait", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: u64,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let payload = payload(arguments)?;
    smol::block_on(Client::with(&arguments.place, async |client| send(client, arguments, &payload).await))
}

#[derive(Serialize)]
struct Request<'a> {
    to: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    payload: &'a RawValue,
}

/// As JSON that is sent as it was written.
fn payload(arguments: &Arguments) -> Result<Box<RawValue>, Fail> {
    let mut text = arguments.payload.clone();
    if text == "-" {
        text.clear();
        let most = LINE_BYTES_MAX as u64;
        let read = std::io::stdin().lock().take(most + 1).read_to_string(&mut text);
        read.map_err(|why| {
            let why = if why.kind() == std::io::ErrorKind::InvalidData {
                // As what it is sent, its bytes would be lost.
                "it is no UTF-8; send bytes as text, for instance in base64".into()
            } else {
                overcom_std::advice(&why)
            };
            Fail::usage(format!("standard input cannot be read: {why}"))
        })?;
        if text.len() as u64 > most {
            return Err(Fail::usage("standard input is longer than 1 MiB less 1 KiB, which a message may have: send it in parts"));
        }
    }
    if arguments.text {
        text = Value::String(text).to_string();
    }
    RawValue::from_string(text.trim().to_owned())
        .map_err(|why| Fail::usage(format!("the payload is no JSON ({why}): write it as '{{\"milk\":2}}', or say --text")))
}

async fn send(client: &mut Client, arguments: &Arguments, payload: &RawValue) -> Result<String, Fail> {
    let clock = Clock::start();
    not_to_oneself_alone(client, &arguments.to).await?;
    client.call("listen", json!({ "notices": ["queued", "delivered", "failed"] })).await?;
    // Not by json!, which would write its numbers in another form.
    let request = Request { to: &arguments.to, kind: &arguments.kind, payload };
    let tag = client.call("send", request).await?.get("tag").cloned().unwrap_or_default();
    let patience = Duration::from_secs(arguments.wait);
    loop {
        let passed = clock.now().since(overcom_core::Time::ZERO);
        let Some(notice) = client.notice_within(patience.saturating_sub(passed)).await? else {
            return Err(waiting(client, arguments).await?);
        };
        if notice.get("tag") != Some(&tag) {
            continue;
        }
        let said = |key: &str| notice.get(key).and_then(Value::as_str).unwrap_or_default();
        match said("notice") {
            "queued" if arguments.no_wait => {
                return Ok("kept; it is sent as soon as a node runs and the other device can be reached\n".into());
            }
            "delivered" => return Ok(format!("delivered in {} ms\n", clock.now().since(overcom_core::Time::ZERO).as_millis())),
            "failed" => return Err(Fail::failed(format!("not delivered: {}; {}", said("message"), said("hint")))),
            _ => {}
        }
    }
}

/// Refuses oneself where no other device of one's own is known: it would wait for its whole life, and nobody could mend that.
async fn not_to_oneself_alone(client: &mut Client, to: &str) -> Result<(), Fail> {
    let why = client.call("why", json!({ "user": to })).await?;
    // The network may know of another one.
    if is_oneself_alone(client, &why) && client.call("dht", json!({})).await?["dht"].is_null() {
        let advice = "name somebody else, or say where another device of yours is: overcom names add NAME ID --at ADDRESS";
        return Err(Fail::usage(format!("{to} is yourself, and no other device of yours is known here; {advice}")));
    }
    Ok(())
}

fn is_oneself_alone(client: &Client, why: &Value) -> bool {
    let has_none = |key: &str| why[key].as_array().is_none_or(Vec::is_empty);
    why["user"] == client.user() && ["linked", "known", "addresses"].into_iter().all(has_none)
}

/// It is kept, and this is what it waits for.
async fn waiting(client: &mut Client, arguments: &Arguments) -> Result<Fail, Fail> {
    let why = client.call("why", json!({ "user": arguments.to })).await?;
    let text = explained(&why, &arguments.to);
    let advice = if client.is_own() { "it goes on with overcom node --serve" } else { "the node goes on" };
    let oneself = if is_oneself_alone(client, &why) { "that is yourself, and no other device of yours is known\n" } else { "" };
    let (wait, text) = (arguments.wait, text.trim_end());
    Ok(Fail::later(format!("not delivered within {wait} s, but kept for 7 days: {advice}\n{oneself}{text}")))
}
