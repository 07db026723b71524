//! `overcom stop`: ends the node that runs.

use clap::Args;
use serde_json::json;

use crate::client::{Client, ended};
use crate::data::Data;
use crate::fail::Fail;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: Data,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let folder = arguments.data.folder()?;
    smol::block_on(async {
        let Some(mut client) = Client::of_running(&folder).await? else {
            crate::say(&format!("no node runs in {}", folder.display()));
            return Ok(String::new());
        };
        client.call("stop", json!({})).await?;
        drop(client);
        // Good-byes, the last store and the end of a recording take a moment.
        ended(&folder).await?;
        Ok("the node has ended\n".into())
    })
}
