//! `overcom id`: who this device speaks for.

use std::fmt::Write as _;

use clap::Args;
use overcom_core::{AppId, DELEGATION_MS_DEFAULT, Grant, WallTime};
use overcom_std::Clock;
use overcom_std::keys::{DeviceFile, IdentityFile};

use crate::data::{Data, app, app_of, begins, date, delegated};
use crate::fail::Fail;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: Data,
    /// The app to speak in; programs that share it talk with each other [default: the one that this device has a delegation
    /// for, or overcom]
    #[arg(long, value_name = "APP", value_parser = app)]
    app: Option<AppId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print what an identity that is kept elsewhere has to sign for this device, and make no identity here
    #[arg(long, conflicts_with = "json")]
    request: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let now = Clock::start().wall();
    let mut device = arguments.data.open_device()?;
    let app = app_of(arguments.app.as_ref(), &device)?;
    if arguments.request {
        return Ok(json(&window(&device, &app, now)) + "\n");
    }
    // A delegation from elsewhere makes this device somebody's: a new identity here would take it away from them.
    let path = arguments.data.identity()?;
    let is_new = !path.exists() && device.delegation().is_none();
    if is_new || path.exists() {
        let identity = IdentityFile::open_or_create(&path)?;
        delegated(&mut device, &identity, &app, now)?;
    }
    let Some(delegation) = device.delegation() else {
        return Err(Fail::failed("this device has no delegation: have the identity sign one with overcom delegate"));
    };
    let (user, until) = (delegation.user().to_string(), delegation.until());
    if arguments.json {
        let answer = serde_json::json!({
            "user": user,
            "device": delegation.device().to_string(),
            "app": delegation.app().as_str(),
            "until": until.as_millis(),
            "identity_here": path.exists(),
        });
        return Ok(format!("{answer}\n"));
    }
    let mut text = String::new();
    let note = if is_new { "   (new)" } else { "" };
    let _ = writeln!(text, "user    {user}{note}");
    let _ = writeln!(text, "device  {}", delegation.device());
    let _ = writeln!(text, "app     {}", delegation.app());
    if let Some(from) = begins(delegation, now) {
        let _ = writeln!(text, "from    {}   (not yet, by this machine's clock: overcom doctor)", date(from));
    }
    let ended = if until < now { "   (over: overcom delegate)" } else { "" };
    let _ = writeln!(text, "until   {}{ended}", date(until));
    Ok(text)
}

/// What the identity would sign, from now on and for the usual time.
fn window(device: &DeviceFile, app: &AppId, now: WallTime) -> Grant {
    device.keys().grant(app.clone(), now, now + std::time::Duration::from_millis(DELEGATION_MS_DEFAULT))
}

fn json(grant: &Grant) -> String {
    serde_json::to_string(grant).unwrap_or_default()
}
