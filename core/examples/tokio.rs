//! Under tokio: the smol handle as it is. Readiness and time come from a thread that it brings along.
//!
//! ```sh
//! cargo run -p overcom-tests --example tokio
//! ```

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use overcom_core::{AppId, Command, Config, Message, Notice};
use overcom_smol::Node;
use overcom_std::{Clock, MemoryStore, Setup, keys};
use smol::stream::StreamExt as _;
use tokio::{select, spawn, time};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = AppId::new("example.tokio")?;
    let (mut ann, mut ben) = (start(&app).await?, start(&app).await?);
    let (user, address) = (ben.handle().look(|node| node.me().user).await?, ben.local_addr());
    // Each in a task of its own; a handle speaks with its node from anywhere.
    let bens = ben.handle();
    let reader = spawn(async move {
        // The notices as a stream, for anybody's combinators: these are smol's, `futures` has the same.
        let texts = ben.notices().filter_map(|notice| {
            let Notice::Message(message) = notice else { return None };
            println!("ben got {} from {}", message.payload(), message.from.user);
            Some(message.payload().to_owned())
        });
        texts.collect::<Vec<_>>().await
    });
    ann.send(Command::introduce(user, [address.into()])).await?;
    ann.send(Command::send(user, Message::new("note", "hello from tokio")?)).await?;
    let mut late = pin!(time::sleep(Duration::from_secs(30)));
    loop {
        select! {
            notice = ann.next() => match notice {
                Some(Notice::Delivered { .. }) => break println!("delivered"),
                Some(_) => {}
                None => return Err("the node has stopped".into()),
            },
            () = &mut late => return Err("it was not delivered within 30 s".into()),
            _ = tokio::signal::ctrl_c() => return ann.close().await.map_err(Into::into),
        }
    }
    // Says good-bye; `stop` does not.
    ann.close().await?;
    bens.stop()?;
    assert_eq!(reader.await?, ["\"hello from tokio\""]);
    Ok(())
}

/// A node whose future runs on tokio. `Node::bind` does the same on smol's own executor, and works here too.
async fn start(app: &AppId) -> Result<Node, Box<dyn Error>> {
    let credentials = keys::ephemeral(app, Clock::start().wall())?;
    let (mut node, running) = Node::split(Setup::bind("127.0.0.1:0", Config::desktop(), credentials)?, MemoryStore::new())?;
    spawn(running);
    while !matches!(node.next().await.ok_or("the node does not start")?, Notice::Started { .. }) {}
    Ok(node)
}
