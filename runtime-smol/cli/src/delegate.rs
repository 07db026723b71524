//! `overcom delegate`: the identity signs what a device may do.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use overcom_core::{AppId, Crypto, Delegation, Grant, Refusal, WallTime, WireError};
use overcom_std::Clock;
use overcom_std::keys::{DeviceFile, delegate};

use crate::client::Client;
use crate::data::{DAY_MS, DAYS_MAX, Data, app, app_of, date};
use crate::fail::Fail;

/// Requests and delegations are far shorter.
const INPUT_BYTES_MAX: u64 = 64 << 10;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: Data,
    /// The app that the delegation is for [default: the device's present one, else overcom, or the request's]
    #[arg(long, value_name = "APP", value_parser = app)]
    app: Option<AppId>,
    /// For how many days, at most 30
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=DAYS_MAX))]
    days: u64,
    /// The device's key file, if it is another than the one in the data folder
    #[arg(long, value_name = "FILE")]
    device_keys: Option<PathBuf>,
    /// Sign what `overcom id --request` printed on another machine (- reads standard input), and print the delegation
    #[arg(long, value_name = "FILE", conflicts_with_all = ["device_keys", "install"])]
    request: Option<PathBuf>,
    /// Put a delegation that was signed elsewhere (- reads standard input) into this device's key file
    #[arg(long, value_name = "FILE")]
    install: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let now = Clock::start().wall();
    if let Some(path) = &arguments.request {
        let asked: Grant = serde_json::from_slice(&read(path)?)
            .map_err(|why| Fail::usage(format!("{} is no request ({why}): make one with overcom id --request", path.display())))?;
        if arguments.app.as_ref().is_some_and(|app| *app != asked.app) {
            return Err(Fail::usage(format!("the request is for the app {}, not for the one given with --app", asked.app)));
        }
        return Ok(sign(arguments, asked, now)?.to_json() + "\n");
    }
    if arguments.install.is_none() {
        // Before a device is made that nobody could sign for.
        arguments.data.open_identity()?;
    }
    let mut device = match &arguments.device_keys {
        Some(path) => DeviceFile::open(path)?,
        None => arguments.data.open_device()?,
    };
    let delegation = match &arguments.install {
        Some(path) => check(&read(path)?, path, &device, now)?,
        None => {
            let app = app_of(arguments.app.as_ref(), &device)?;
            sign(arguments, device.keys().grant(app, now, now), now)?
        }
    };
    let mut said =
        format!("{} may speak for {} in {} until {}\n", delegation.device(), delegation.user(), delegation.app(), date(delegation.until()));
    device.keep(delegation)?;
    if arguments.device_keys.is_none()
        && let Err(why) = smol::block_on(hand_over(&arguments.data.folder()?))
    {
        said += &format!("the node that runs did not take it ({why}); it will at its next start\n");
    }
    Ok(said)
}

/// The node that runs in this folder, if there is one, reads its key file again.
async fn hand_over(folder: &Path) -> Result<(), Fail> {
    let Some(mut client) = Client::of_running(folder).await? else { return Ok(()) };
    client.call("renew", serde_json::json!({})).await?;
    Ok(())
}

/// With this machine's dates, whatever the request says: the identity decides for how long.
fn sign(arguments: &Arguments, grant: Grant, now: WallTime) -> Result<Delegation, Fail> {
    let identity = arguments.data.open_identity()?;
    delegate(identity.secret(), grant, now, Duration::from_millis(arguments.days.saturating_mul(DAY_MS)))
        .map_err(|why| Fail::failed(format!("nothing was signed: {why}; is this machine's clock right?")))
}

/// Whether a delegation from elsewhere is genuine, in force and for this device.
fn check(bytes: &[u8], path: &Path, device: &DeviceFile, now: WallTime) -> Result<Delegation, Fail> {
    let wrong = |why: &str, way_out: &str| Fail::usage(format!("{} cannot be used: {why}; {way_out}", path.display()));
    let unread = |why: WireError| wrong(why.explain().0, why.explain().1);
    let delegation = Delegation::from_json(bytes.trim_ascii()).map_err(unread)?;
    delegation.verify(&Crypto::standard()).map_err(unread)?;
    delegation.check_window(now).map_err(|why| match why {
        Refusal::NotYet => wrong("its time has not come", "set the clock; if it is right on both machines, sign it again"),
        Refusal::Expired => wrong("it has ended", "have the identity sign another: overcom id --request, then overcom delegate --request"),
    })?;
    if !device.keys().credentials(delegation.clone()).fits(&Crypto::standard()) {
        return Err(wrong("it is for another device", "make the request on this one: overcom id --request"));
    }
    Ok(delegation)
}

/// A short file, or standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Fail> {
    let mut bytes = Vec::new();
    let done = if path.as_os_str() == "-" {
        io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(INPUT_BYTES_MAX).read_to_end(&mut bytes))
    };
    done.map_err(|why| Fail::usage(format!("{} cannot be read: {}", path.display(), overcom_std::advice(&why))))?;
    Ok(bytes)
}
