//! `overcom names`: what people are called.

use clap::{Args, Subcommand};
use overcom_core::Address;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum What {
    /// Gives a user a name, and says where their device can be dialled
    Add {
        /// The name; it works wherever an id does
        #[arg(value_name = "NAME")]
        called: String,
        /// The user's id oc1…
        id: String,
        /// HOST:PORT, an IPv6 address in brackets, of a device of theirs; may be said again
        #[arg(long = "at", value_name = "ADDRESS")]
        addresses: Vec<Address>,
        /// Take the name from whom it belongs to now
        #[arg(long)]
        replace: bool,
    },
    /// Takes a name away; the user stays in the address book
    Remove {
        /// The name
        #[arg(value_name = "NAME")]
        called: String,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    if !matches!(arguments.what, Some(What::Add { .. })) {
        arguments.place.data.kept()?;
    }
    smol::block_on(Client::with(&arguments.place, async |client| carry_out(client, arguments).await))
}

/// Whose name it is already, if that is somebody else than `who`, an id or a name.
pub(super) async fn other_owner(client: &mut Client, name: &str, who: &str) -> Result<Option<String>, Fail> {
    let known = client.call("names", json!({})).await?;
    let user = |name: &str| known.get("names").and_then(|names| names.get(name)).and_then(Value::as_str);
    Ok(user(name).filter(|owner| *owner != user(who).unwrap_or(who)).map(str::to_owned))
}

async fn carry_out(client: &mut Client, arguments: &Arguments) -> Result<String, Fail> {
    match &arguments.what {
        Some(What::Add { called, id, addresses, replace }) => {
            if let Some(owner) = other_owner(client, called, id).await?.filter(|_| !replace) {
                let advice = "give another name, or say --replace";
                return Err(Fail::usage(format!("{called} is the name of {owner} already: {advice}")));
            }
            client.call("name", json!({ "name": called, "user": id })).await?;
            if !addresses.is_empty() {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                client.call("introduce", json!({ "user": id, "addresses": addresses })).await?;
            }
            Ok(String::new())
        }
        Some(What::Remove { called }) => client.call("name", json!({ "name": called, "user": null })).await.map(|_| String::new()),
        None => {
            let answer = client.call("names", json!({})).await?;
            if arguments.json {
                return Ok(format!("{answer}\n"));
            }
            let names = answer.get("names").and_then(Value::as_object);
            let line = |(name, user): (&String, &Value)| format!("{name:<16} {}\n", user.as_str().unwrap_or_default());
            let unnamed = answer.get("unnamed").and_then(Value::as_array).into_iter().flatten();
            let text: String = names.into_iter().flatten().map(line).collect();
            let unnamed: String = unnamed.filter_map(Value::as_str).map(|user| format!("{:<16} {user}\n", "(no name)")).collect();
            let text = text + &unnamed;
            Ok(if text.is_empty() {
                "nobody is known yet: overcom invite prints a line for somebody, overcom names add names one\n".into()
            } else {
                text
            })
        }
    }
}
