//! `overcom listen`: messages as they come.

use std::io::IsTerminal as _;

use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Show messages of this type only, and pass the others over; may be said again
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print a JSON object a line; so it does wherever no terminal reads it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let heard = smol::block_on(Client::with(&arguments.place, async |client| listen(client, arguments).await));
    match heard {
        // Without a number of messages it lasts until it is asked to end.
        Err(fail) if fail.is_asked() && arguments.count.is_none() => Ok(String::new()),
        heard => heard.map(|()| String::new()),
    }
}

async fn listen(client: &mut Client, arguments: &Arguments) -> Result<(), Fail> {
    let types = if arguments.types.is_empty() { Value::Null } else { json!(arguments.types) };
    // A message is taken once it is shown: the next one is asked for only then.
    client.call("credit", json!({})).await?;
    client.call("listen", json!({ "notices": ["message"], "types": types })).await?;
    let is_terminal = std::io::stdout().is_terminal();
    let is_json = arguments.json || !is_terminal;
    let mut left = arguments.count;
    while left != Some(0) {
        let message = client.notice().await?;
        let line = if is_json { message.to_string() } else { words(&message) };
        crate::print(&(if is_terminal { tame(&line) } else { line } + "\n"))?;
        client.call("taken", json!({ "notices": 1 })).await?;
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// `ann note {"milk":2}`.
fn words(message: &Value) -> String {
    let text = |key: &str| message.get(key).and_then(Value::as_str);
    let from = text("name").or(text("from")).unwrap_or_default();
    format!("{from} {} {}", text("type").unwrap_or_default(), message.get("payload").unwrap_or(&Value::Null))
}

/// A line for a terminal: what would move its cursor, colour it or turn the order of its letters round is shown as JSON escapes it.
fn tame(line: &str) -> String {
    let mut tame = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() || is_format(c) {
            tame.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            tame.push(c);
        }
    }
    tame
}

/// Unicode's format characters and separators of lines, without the two joiners that words of some scripts and emojis need.
const fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_stays_the_same_json() {
        let payload = "\u{9b}2J\u{85}\u{7f}\u{202e}evil\u{2066}\u{200f}\u{e0041} \u{fc}\u{5d0}\u{1f469}\u{200d}\u{1f680}";
        let message = json!({ "from": "oc1", "type": "note", "payload": payload });
        let line = tame(&words(&message));
        assert!(line.chars().all(|c| !c.is_control() && !is_format(c)), "{line:?}");
        assert!(line.starts_with("oc1 note \"\\u009b2J") && line.ends_with("\u{fc}\u{5d0}\u{1f469}\u{200d}\u{1f680}\""), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&tame(&message.to_string())).expect("still JSON"), message);
    }
}
