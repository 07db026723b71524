//! `overcom revoke`: the identity takes back what it has signed for a device that is lost, or for all of them.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use overcom_core::{
    AppId, CLOCK_TOLERANCE_MS, DELEGATION_MS_MAX, DeviceId, IdentitySecret, REVOKED_MAX, Revocation, RevocationEntry, RevocationTarget,
    WallTime, WireError,
};
use overcom_std::Clock;
use overcom_std::keys::write_private;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::data::{app_of, date, wall};
use crate::delegate::read;
use crate::fail::Fail;
use crate::run::Place;

/// A revocation of as many devices as one may name is shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The device, as overcom id and messages from it show it
    #[arg(value_name = "DEVICE", allow_hyphen_values = true, required_unless_present_any = ["all", "install"])]
    device: Option<DeviceId>,
    /// Every device; the one here is signed for anew
    #[arg(long, conflicts_with_all = ["device", "install"])]
    all: bool,
    /// Only what was signed before this date, as 2027-01-15 or 2027-01-15T08:00, in UTC [default: now]
    #[arg(long, value_name = "DATE", value_parser = wall)]
    before: Option<WallTime>,
    /// Print the revocation for a node elsewhere, and tell none here
    #[arg(long, conflicts_with = "install")]
    json: bool,
    /// Give the node here what was signed elsewhere (- reads standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["device", "before"])]
    install: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Request<'a> {
    revocation: &'a RawValue,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let revocation = match &arguments.install {
        Some(path) => from_elsewhere(path)?,
        None => signed(arguments)?,
    };
    if arguments.json {
        return Ok(revocation.to_json() + "\n");
    }
    smol::block_on(Client::with(&arguments.place, async |client| {
        if arguments.all {
            // Before the node hears that what it has is worth nothing any more.
            client.call("renew", json!({})).await?;
        }
        let text = RawValue::from_string(revocation.to_json()).map_err(|why| Fail::failed(format!("{why}; try again")))?;
        client.call("revoke", Request { revocation: &text }).await?;
        if client.is_own() {
            crate::say("no node runs here now; overcom node --serve runs one, so that others hear of it");
        }
        Ok("it is taken back; whoever links with this node hears of it\n".into())
    }))
}

fn from_elsewhere(path: &Path) -> Result<Revocation, Fail> {
    Revocation::from_json(read(path)?.trim_ascii()).map_err(|why| {
        let (cause, way_out) = why.explain();
        Fail::usage(format!("{} is no revocation: {cause}; {way_out}", path.display()))
    })
}

/// Signed here, and kept beside the identity, since the next one has to hold it too.
fn signed(arguments: &Arguments) -> Result<Revocation, Fail> {
    let (data, now) = (&arguments.place.data, Clock::start().wall());
    let identity = data.open_identity()?;
    let device = data.open_device()?;
    let app = app_of(arguments.place.app.as_ref(), &device)?;
    let target = arguments.device.map_or(RevocationTarget::All, RevocationTarget::Device);
    if arguments.device.is_some() && arguments.device == device.delegation().map(overcom_core::Delegation::device) {
        return Err(Fail::usage(
            "this is the device here, which would end: take it back on another one, or say --all, which signs it anew",
        ));
    }
    let before = arguments.before.unwrap_or(now);
    if before > now {
        return Err(Fail::usage(format!(
            "{} is yet to come, and what is signed until then would be lost: name a date before now",
            date(before)
        )));
    }
    let path = data.folder()?.join(format!("revocation-{app}.json"));
    let kept = kept(&path, identity.secret(), &app)?;
    let revocation = next(identity.secret(), app, kept.as_ref(), (target, before), now).map_err(|why| {
        if why == WireError::TooLong {
            return Fail::failed(format!("{REVOKED_MAX} devices are taken back already: say --all in the place of one more"));
        }
        Fail::failed(format!("nothing was signed: {why}; is this machine's clock right?"))
    })?;
    write_private(&path, revocation.to_json().as_bytes())?;
    Ok(revocation)
}

/// The last one of this identity and app that was signed here.
fn kept(path: &Path, identity: &IdentitySecret, app: &AppId) -> Result<Option<Revocation>, Fail> {
    let mut bytes = Vec::new();
    match overcom_std::open_plain(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(Fail::failed(format!("{} cannot be read: {}", path.display(), overcom_std::advice(&why)))),
        Ok(_) => {}
    }
    let wrong = |why: WireError| {
        let advice = "put a copy back, or move it away if nothing is to stay taken back";
        Fail::failed(format!("{} is damaged ({why}): {advice}", path.display()))
    };
    let kept = Revocation::from_json(bytes).map_err(wrong)?;
    Ok(Some(kept).filter(|kept| kept.identity() == identity.public() && kept.app() == app))
}

/// What was taken back before and may still be alive, and this too.
fn next(
    identity: &IdentitySecret,
    app: AppId,
    kept: Option<&Revocation>,
    (target, signed_before): (RevocationTarget, WallTime),
    now: WallTime,
) -> Result<Revocation, WireError> {
    // A delegation begins ten minutes before it is signed (`keys::delegate`), so this parts what was signed before from what comes after.
    let before = signed_before - Duration::from_millis(CLOCK_TOLERANCE_MS);
    let mut devices: BTreeMap<_, _> = kept.map(|kept| kept.devices().clone()).unwrap_or_default();
    devices.retain(|_, entry| entry.end > now);
    let entry = RevocationEntry { before, end: before + Duration::from_millis(DELEGATION_MS_MAX) };
    let known = devices.entry(target).or_insert(entry);
    if known.before < before {
        *known = entry;
    }
    // The clock, so that an identity that signs in two places has the later one count.
    let version = kept.map_or(0, |kept| kept.version().saturating_add(1)).max(now.as_millis());
    Revocation::sign(identity, app, version, devices)
}

#[cfg(test)]
mod tests {
    use overcom_core::{DeviceKeys, Rng, Seed};
    use overcom_std::keys::{DELEGATION_LENGTH, delegate};

    use super::*;

    const NOW: WallTime = WallTime::from_millis(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn revoke(kept: Option<&Revocation>, what: (RevocationTarget, WallTime), now: WallTime) -> Result<Revocation, WireError> {
        next(&IdentitySecret::from_bytes([1; 32]), AppId::new("overcom").expect("an app"), kept, what, now)
    }

    #[test]
    fn what_was_signed_before_is_taken_back_and_what_is_signed_after_is_not() {
        let identity = IdentitySecret::from_bytes([1; 32]);
        let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([2; 32])));
        let app = AppId::new("overcom").expect("an app");
        let signed = |at| delegate(&identity, keys.grant(app.clone(), at, at), at, DELEGATION_LENGTH).expect("it is signed");
        let device = signed(NOW).device();
        for target in [RevocationTarget::All, RevocationTarget::Device(device)] {
            let revocation = revoke(None, (target, NOW), NOW).expect("it is signed");
            assert!(revocation.revokes(&signed(NOW - Duration::from_millis(1))), "{target:?}");
            assert!(!revocation.revokes(&signed(NOW)) && !revocation.revokes(&signed(NOW + HOUR)), "{target:?}");
        }
        let other = revoke(None, (RevocationTarget::Device(DeviceId::from_bytes([9; 16])), NOW), NOW).expect("it is signed");
        assert!(!other.revokes(&signed(NOW - HOUR)));
    }

    #[test]
    fn the_next_revocation_holds_the_former_ones_until_nothing_of_theirs_lives_and_counts_more() {
        let device = |n| RevocationTarget::Device(DeviceId::from_bytes([n; 16]));
        let first = revoke(None, (device(1), NOW), NOW).expect("it is signed");
        // A clock that went back: it counts more all the same, and takes nothing of the first one back.
        let second = revoke(Some(&first), (device(2), NOW - HOUR), NOW - HOUR).expect("it is signed");
        assert!(second.version() > first.version());
        assert_eq!(second.devices().keys().copied().collect::<Vec<_>>(), [device(1), device(2)]);
        let again = revoke(Some(&second), (device(1), NOW - HOUR), NOW).expect("it is signed");
        assert_eq!(again.devices()[&device(1)], first.devices()[&device(1)], "an earlier date takes nothing away");
        let later = NOW + Duration::from_millis(DELEGATION_MS_MAX);
        let third = revoke(Some(&second), (device(3), later), later).expect("it is signed");
        assert_eq!(third.devices().keys().copied().collect::<Vec<_>>(), [device(3)]);
        let mut full = first;
        for n in 2..=8 {
            full = revoke(Some(&full), (device(n), NOW), NOW).expect("there is room");
        }
        assert_eq!(revoke(Some(&full), (device(9), NOW), NOW), Err(WireError::TooLong));
    }
}
