//! `overcom forget`: somebody leaves the address book, with their names and with what waits for them.

use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Who: a name (overcom names), or an id oc1…; messages that wait for them are given up
    #[arg(value_name = "NAME")]
    who: String,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    smol::block_on(Client::with_kept(&arguments.place, async |client| forget(client, &arguments.who).await))
}

async fn forget(client: &mut Client, who: &str) -> Result<String, Fail> {
    let known = client.call("names", json!({})).await?;
    let names = known.get("names").and_then(Value::as_object).cloned().unwrap_or_default();
    client.call("forget", json!({ "user": who })).await?;
    let user = names.get(who).and_then(Value::as_str).unwrap_or(who);
    for (name, _) in names.iter().filter(|(_, owner)| owner.as_str() == Some(user)) {
        client.call("name", json!({ "name": name, "user": null })).await?;
    }
    Ok(String::new())
}
