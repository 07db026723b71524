//! `overcom why`: what was tried to reach somebody, and what came of it.

use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Who: a name (overcom names), or an id oc1…
    #[arg(value_name = "NAME")]
    who: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    smol::block_on(async {
        let mut client = Client::open(&arguments.place).await?;
        let answer = client.call("why", json!({ "user": arguments.who })).await;
        let closed = client.close().await;
        let answer = answer?;
        closed?;
        if arguments.json {
            return Ok(format!("{answer}\n"));
        }
        let said = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        let linked = answer.get("linked").and_then(Value::as_array).map_or(0, Vec::len);
        let devices = if linked == 1 { "device is" } else { "devices are" };
        let link = if linked == 0 { String::new() } else { format!("  {linked} of their {devices} linked now\n") };
        Ok(said("text").replace(said("user"), &arguments.who) + &link)
    })
}
