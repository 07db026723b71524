//! Where things are kept, and how dates are shown.

use std::path::{Path, PathBuf};

use clap::Args;
use overcom_core::{AppId, DELEGATION_MS_MAX, Delegation, Refusal, WallTime};
use overcom_std::keys::{DeviceFile, IdentityFile};

use crate::fail::Fail;

/// The app that the command line itself speaks as.
const APP: &str = "overcom";

/// Days of the longest delegation (spec: ID-7).
pub(crate) const DAYS_MAX: u64 = DELEGATION_MS_MAX / DAY_MS;
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Args, Clone)]
pub(crate) struct Data {
    /// The folder that keeps identities and devices [default: $XDG_DATA_HOME/overcom or ~/.local/share/overcom]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// One of several identities, each in a folder of that name
    #[arg(long, global = true, value_name = "NAME", value_parser = folder_name)]
    name: Option<String>,
}

impl Data {
    pub(crate) fn identity(&self) -> Result<PathBuf, Fail> {
        Ok(self.folder()?.join("identity.json"))
    }

    pub(crate) fn device(&self) -> Result<PathBuf, Fail> {
        Ok(self.folder()?.join("device.json"))
    }

    /// The identity, if it is kept here.
    pub(crate) fn open_identity(&self) -> Result<IdentityFile, Fail> {
        let path = self.identity()?;
        if !path.exists() {
            let advice = "overcom id makes one, --data says where else it is";
            return Err(Fail::failed(format!("there is no identity at {}: {advice}", path.display())));
        }
        Ok(IdentityFile::open(path)?)
    }

    /// The device of this folder, made if there is none.
    pub(crate) fn open_device(&self) -> Result<DeviceFile, Fail> {
        Ok(DeviceFile::open_or_create(self.device()?)?)
    }

    /// Refuses a folder that keeps nobody: who only looks makes no identity, least of all where a name was mistyped.
    pub(crate) fn kept(&self) -> Result<(), Fail> {
        if self.device()?.exists() || self.identity()?.exists() {
            return Ok(());
        }
        let (folder, advice) = (self.path()?, "overcom id makes one there; --data and --name say where else it is");
        Err(Fail::failed(format!("there is no identity and no device in {}: {advice}", folder.display())))
    }

    /// The folder itself, which nobody else may write into.
    pub(crate) fn folder(&self) -> Result<PathBuf, Fail> {
        let folder = self.path()?;
        own(&folder)?;
        Ok(folder)
    }

    /// Where the folder is, whatever it is like.
    pub(crate) fn path(&self) -> Result<PathBuf, Fail> {
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None => default_folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
                .ok_or_else(|| Fail::usage("neither XDG_DATA_HOME nor HOME is set: say with --data where to keep the keys"))?,
        };
        Ok(match &self.name {
            Some(name) => folder.join(name),
            None => folder,
        })
    }
}

/// Refuses a folder that somebody else may write into: they could put a socket of theirs into it, and hear every request.
#[cfg(unix)]
pub(crate) fn own(folder: &Path) -> Result<(), Fail> {
    use std::os::unix::fs::MetadataExt as _;
    // What is not there yet is made for its owner only; what cannot be looked at cannot be used either, which is told then.
    let Ok(found) = folder.metadata() else { return Ok(()) };
    if !found.is_dir() {
        return Ok(());
    }
    let folder = folder.display();
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(Fail::failed(format!("{folder} is another user's: run this as that user, or name another folder with --data")));
    }
    if found.mode() & 0o022 != 0 {
        return Err(Fail::failed(format!("others may write into {folder}, and so speak as this node: chmod 700 {folder}")));
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn own(_: &Path) -> Result<(), Fail> {
    Ok(())
}

fn default_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // As the XDG rules have it, a relative path counts as not set.
    let data = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let home = || variable("HOME").or_else(|| variable("USERPROFILE")).map(|home| home.join(".local").join("share"));
    data.or_else(home).map(|folder| folder.join("overcom"))
}

fn folder_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let fits = !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain);
    if fits { Ok(text.into()) } else { Err("use 1 to 64 letters, digits, - and _".into()) }
}

pub(crate) fn app(text: &str) -> Result<AppId, String> {
    AppId::new(text).map_err(|why| why.to_string())
}

/// The app that was asked for, or that a device has a delegation for, or the command line's own.
pub(crate) fn app_of(asked: Option<&AppId>, device: &DeviceFile) -> Result<AppId, Fail> {
    match asked.or_else(|| device.delegation().map(Delegation::app)) {
        Some(app) => Ok(app.clone()),
        None => AppId::new(APP).map_err(|why| Fail::usage(why.to_string())),
    }
}

/// Has the identity sign for the device when that is due. Whose delegation has not begun is told so: one of two clocks was wrong.
pub(crate) fn delegated(device: &mut DeviceFile, identity: &IdentityFile, app: &AppId, now: WallTime) -> Result<(), Fail> {
    let early = device.delegation().and_then(|delegation| begins(delegation, now));
    device.delegated(identity.secret(), app, now)?;
    if let Some(from) = early {
        let (now, from) = (date(now), date(from));
        crate::say(&format!(
            "it is {now} by this machine's clock, but the delegation begins {from}: another one was signed; set the clock if it is wrong"
        ));
    }
    Ok(())
}

/// When a delegation begins, if by the clock `now` it has not.
pub(crate) fn begins(delegation: &Delegation, now: WallTime) -> Option<WallTime> {
    (delegation.check_window(now) == Err(Refusal::NotYet)).then(|| delegation.from())
}

/// `2027-01-15 08:00 UTC`.
pub(crate) fn date(wall: WallTime) -> String {
    let minutes = wall.as_millis() / 60_000;
    let (year, month, day) = civil(minutes / 1_440);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
}

/// A date as [`date`] shows it, with `T` for the space between day and time and without ` UTC`; a day alone begins at midnight.
pub(crate) fn wall(text: &str) -> Result<WallTime, String> {
    let numbers = |text: &str, between: char| text.split(between).map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    let (day, time) = text.split_once('T').unwrap_or((text, "00:00"));
    let days = match numbers(day, '-').as_deref() {
        // Not before the year's first day, were there no leap years, and not after its last, were each fourth one.
        Some(&[year @ 1970..10_000, month, day]) => {
            let first = (year - 1970) * 365;
            (first..first + (year - 1970) / 4 + 367).find(|days| civil(*days) == (year, month, day))
        }
        _ => None,
    };
    let minutes = match numbers(time, ':').as_deref() {
        Some(&[hour @ 0..24, minute @ 0..60]) => days.map(|days| days * 1_440 + hour * 60 + minute),
        _ => None,
    };
    minutes.map(|minutes| WallTime::from_millis(minutes * 60_000)).ok_or_else(|| "write it as 2027-01-15 or 2027-01-15T08:00".into())
}

/// Year, month and day of the day that is `days` after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // Whole cycles of 400 years first, so that no date takes long.
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    while left >= if is_leap(year) { 366 } else { 365 } {
        left -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00 UTC"),
            (1_767_225_600_000, "2026-01-01 00:00 UTC"),
            (4_107_542_399_000, "2100-02-28 23:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00 UTC"),
            (1_709_251_199_000, "2024-02-29 23:59 UTC"),
        ] {
            assert_eq!(date(WallTime::from_millis(millis)), text);
        }
        assert!(date(WallTime::from_millis(u64::MAX)).ends_with("UTC"));
    }

    #[test]
    fn a_date_that_is_shown_is_read_again_and_what_is_none_is_refused() {
        for millis in [0, 951_782_340_000, 951_868_800_000, 1_767_225_600_000, 4_107_542_400_000, 253_402_300_740_000] {
            let shown = date(WallTime::from_millis(millis)).replacen(' ', "T", 1).replace(" UTC", "");
            assert_eq!(wall(&shown), Ok(WallTime::from_millis(millis)), "{shown}");
        }
        assert_eq!(wall("2026-01-01"), wall("2026-01-01T00:00"));
        for bad in
            ["", "2026", "2026-02-29", "2026-13-01", "2026-00-01", "1969-12-31", "10000-01-01", "2026-01-01T24:00", "2026-01-01T1", "x-y-z"]
        {
            assert!(wall(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_folder_is_where_the_xdg_rules_say() {
        let with = |data: Option<&'static str>, home: Option<&'static str>| {
            default_folder(|name| match name {
                "XDG_DATA_HOME" => data.map(PathBuf::from),
                "HOME" => home.map(PathBuf::from),
                _ => None,
            })
        };
        assert_eq!(with(Some("/data"), Some("/home/ann")), Some("/data/overcom".into()));
        assert_eq!(with(Some("data"), Some("/home/ann")), Some("/home/ann/.local/share/overcom".into()));
        assert_eq!(with(None, None), None);
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        for bad in ["", "..", "a/b", "a\\b", ".", "a b"] {
            assert!(folder_name(bad).is_err(), "{bad}");
        }
        assert_eq!(folder_name("ann-1"), Ok("ann-1".into()));
    }
}
