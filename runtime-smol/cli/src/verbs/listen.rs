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
    let is_json = arguments.json || !std::io::stdout().is_terminal();
    let mut left = arguments.count;
    while left != Some(0) {
        let message = client.notice().await?;
        let line = if is_json { format!("{message}\n") } else { words(&message) };
        crate::print(&line)?;
        client.call("taken", json!({ "notices": 1 })).await?;
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// `ann note {"milk":2}`.
fn words(message: &Value) -> String {
    let text = |key: &str| message.get(key).and_then(Value::as_str);
    let from = text("name").or(text("from")).unwrap_or_default();
    format!("{from} {} {}\n", text("type").unwrap_or_default(), message.get("payload").unwrap_or(&Value::Null))
}
