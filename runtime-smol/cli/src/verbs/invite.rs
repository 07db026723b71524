//! `overcom invite` and `overcom join`: two people come together by one pasted line.

use std::time::Duration;

use clap::Args;
use overcom_core::{Address, Invitation, InvitationId, Time, WallTime};
use overcom_std::Clock;
use serde_json::{Value, json};

use crate::book;
use crate::client::Client;
use crate::data::date;
use crate::fail::Fail;
use crate::run::Place;
use crate::verbs::names::other_owner;

/// A store's time; who waits longer waits in vain (guess).
const INVITED_MAX: Duration = Duration::from_secs(30);
/// The node gives up after some 15 s (guess: a slow machine's twice that).
const JOINED_MAX: Duration = Duration::from_secs(40);

#[derive(Args)]
pub(crate) struct Invite {
    /// For how many hours it may be used, at most 720
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=720))]
    hours: u64,
    /// Where others reach this machine, HOST:PORT, an IPv6 address in brackets; may be said again [default: its own addresses]
    #[arg(long = "at", value_name = "ADDRESS")]
    addresses: Vec<Address>,
    /// Instead, show the invitations that have not ended, and who has used them
    #[arg(long, conflicts_with_all = ["hours", "addresses", "withdraw"])]
    list: bool,
    /// Instead, make an invitation good for nobody; --list shows its id
    #[arg(long, value_name = "ID", allow_hyphen_values = true, conflicts_with_all = ["hours", "addresses"])]
    withdraw: Option<InvitationId>,
    /// With --list: print JSON
    #[arg(long, requires = "list")]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Join {
    /// The invitation oci1…, as it was sent
    #[arg(value_name = "LINE", num_args = 1.., required = true)]
    line: Vec<String>,
    /// What whoever invites is to be called here
    #[arg(long = "as", value_name = "NAME")]
    called: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn invite(arguments: &Invite) -> Result<String, Fail> {
    if arguments.list {
        let answer = smol::block_on(Client::with_kept(&arguments.place, async |client| client.call("invitations", json!({})).await))?;
        return Ok(if arguments.json { format!("{answer}\n") } else { words(&answer) });
    }
    if let Some(id) = &arguments.withdraw {
        let request = json!({ "invitation": id.to_string() });
        smol::block_on(Client::with_kept(&arguments.place, async |client| client.call("withdraw", request).await))?;
        return Ok(String::new());
    }
    let invited = async |client: &mut Client| Ok((client.is_own(), ask(client, arguments).await?));
    let (is_own, (line, id, until)) = smol::block_on(Client::with(&arguments.place, invited))?;
    crate::say(&format!("one person may use this line until {}; hand it to nobody else:", date(until)));
    crate::say(&format!("overcom invite --withdraw {id} takes it back"));
    if is_own {
        crate::say("no node runs here now; overcom node --serve runs one, so that the line leads somewhere");
    }
    Ok(line + "\n")
}

/// `ID  until 2027-01-15 08:00 UTC  open`.
fn words(answer: &Value) -> String {
    let all = answer["invitations"].as_array().into_iter().flatten();
    let line = |invitation: &Value| {
        let text = |key: &str| invitation[key].as_str();
        let until = date(WallTime::from_millis(invitation["until_ms"].as_u64().unwrap_or_default()));
        let used = text("name").or(text("used_by")).map_or("open".to_owned(), |user| format!("used by {user}"));
        format!("{}  until {until}  {used}\n", text("invitation").unwrap_or_default())
    };
    let lines: String = all.map(line).collect();
    if lines.is_empty() { "no invitation is open: overcom invite makes one\n".into() } else { lines }
}

async fn ask(client: &mut Client, arguments: &Invite) -> Result<(String, String, WallTime), Fail> {
    client.call("listen", json!({ "notices": ["invited"] })).await?;
    let addresses: Vec<String> = arguments.addresses.iter().map(ToString::to_string).collect();
    let request = json!({ "life_s": arguments.hours * 3_600, "addresses": addresses });
    let tag = client.call("invite", request).await?.get("tag").cloned().unwrap_or_default();
    while let Some(notice) = client.notice_within(INVITED_MAX).await? {
        let text = |key: &str| notice[key].as_str().map(str::to_owned);
        let of_this = || Some((text("line")?, text("invitation")?, WallTime::from_millis(notice["until_ms"].as_u64()?)));
        if let Some(invited) = of_this().filter(|_| notice["tag"] == tag) {
            return Ok(invited);
        }
    }
    Err(Fail::failed("the invitation was not stored in time; look at the disk (overcom doctor) and try again"))
}

pub(crate) fn join(arguments: &Join) -> Result<String, Fail> {
    let wrong = |why| Fail::usage(format!("the invitation cannot be used: {why}"));
    let invitation: Invitation = arguments.line.concat().parse().map_err(wrong)?;
    arguments.called.as_deref().map_or(Ok(()), book::check)?;
    let mut place = arguments.place.clone();
    // A device that speaks in no app yet speaks in that of whoever invites it.
    if place.app.is_none() && place.data.open_device()?.delegation().is_none() {
        place.app = Some(invitation.app().clone());
    }
    smol::block_on(Client::with(&place, async |client| take(client, &invitation, arguments.called.as_deref()).await))
}

async fn take(client: &mut Client, invitation: &Invitation, called: Option<&str>) -> Result<String, Fail> {
    let clock = Clock::start();
    let user = invitation.user().to_string();
    client.call("listen", json!({ "notices": ["joined", "failed"] })).await?;
    if let Some(name) = called {
        check_name(client, name, &user).await?;
    }
    ask_to_join(client, invitation).await?;
    if let Some(name) = called {
        // Somebody may have got it meanwhile.
        check_name(client, name, &user).await?;
        client.call("name", json!({ "name": name, "user": user })).await?;
    }
    let took = clock.now().since(Time::ZERO).as_millis();
    let advice = if called.is_none() { format!("; overcom names add NAME {user} gives them a name") } else { String::new() };
    Ok(format!("connected with {} in {took} ms{advice}\n", called.unwrap_or(&user)))
}

/// Whether whoever invites may be called so: a name that somebody else has is not taken away.
async fn check_name(client: &mut Client, name: &str, user: &str) -> Result<(), Fail> {
    match other_owner(client, name, user).await? {
        None => Ok(()),
        Some(_) => {
            Err(Fail::usage(format!("{name} is somebody else's name here; choose another one, or say overcom names remove {name} first")))
        }
    }
}

async fn ask_to_join(client: &mut Client, invitation: &Invitation) -> Result<(), Fail> {
    let clock = Clock::start();
    let request = json!({ "line": invitation.to_secret_text().as_str() });
    let tag = client.call("join", request).await?.get("tag").cloned().unwrap_or_default();
    while let Some(notice) = client.notice_within(JOINED_MAX).await? {
        if notice.get("tag") != Some(&tag) {
            continue;
        }
        let said = |key: &str| notice.get(key).and_then(Value::as_str).unwrap_or_default();
        if said("why") == "invitation_ended" {
            let (until, now) = (date(invitation.until()), date(clock.wall()));
            let advice = "set the clock that is wrong, else ask for another one";
            return Err(Fail::failed(format!(
                "not joined: its time, until {until}, is over for whoever invites, and it is {now} by this machine; {advice}"
            )));
        }
        if said("notice") == "failed" {
            return Err(Fail::failed(format!("not joined: {}; {}", said("message"), said("hint"))));
        }
        return Ok(());
    }
    Err(Fail::failed("whoever invites has not answered; is their node on? The invitation can be tried again"))
}
