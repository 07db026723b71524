//! Secrets in files: the identity and the device, each in a file of its own that only its owner may read.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use overcom_core::{
    AppId, CLOCK_TOLERANCE_MS, Credentials, DELEGATION_MS_DEFAULT, Delegation, DeviceKeys, Grant, IdentitySecret, Refusal, Rng, WallTime,
    WireError,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::{Zeroize, Zeroizing};

mod common;
mod file;
mod phrase;

pub use phrase::{PASSPHRASE_BITS_MIN, StretchError, WeakPhrase, draw_phrase, estimate_bits, stretch};

use crate::advice::advice;
use crate::entropy::{entropy, seed};

/// The version of both files. A newer one is refused.
pub const KEY_FILE_VERSION: u32 = 1;

/// What is wrong with a key file. It names the file and the way out.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// Others than the owner may read it.
    Open(PathBuf),
    /// It is not what belongs there, or was damaged.
    Corrupt(PathBuf),
    /// A newer version wrote it.
    Newer(PathBuf, u32),
    /// It exists already, and another secret was to be written.
    Exists(PathBuf),
    /// Anything else that the operating system says.
    Io(PathBuf, io::Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path) => write!(f, "others may read these secrets; run: chmod 600 {}", path.display()),
            Self::Corrupt(path) => write!(f, "{}: not a key file, or damaged; put a copy back", path.display()),
            Self::Newer(path, version) => {
                write!(f, "{}: written by a newer version ({version}, this one knows {KEY_FILE_VERSION}); use that version", path.display())
            }
            Self::Exists(path) => write!(f, "{}: exists already; move it away if it is to be replaced", path.display()),
            Self::Io(path, why) => write!(f, "{}: {}", path.display(), advice(why)),
        }
    }
}

impl std::error::Error for KeyError {}

/// A new identity and a device of it, kept nowhere and valid for seven days: for games, tests and first steps.
///
/// # Errors
/// If the operating system has no entropy.
pub fn ephemeral(app: &AppId, now: WallTime) -> io::Result<Credentials> {
    let (identity, keys) = (IdentitySecret::from_bytes(entropy()?), DeviceKeys::draw(&mut Rng::from_seed(&seed()?)));
    let signed = delegate(&identity, keys.grant(app.clone(), now, now), now, DELEGATION_LENGTH).map_err(io::Error::other)?;
    Ok(keys.credentials(signed))
}

/// How long a delegation lasts when nobody says: 7 days.
pub const DELEGATION_LENGTH: Duration = Duration::from_millis(DELEGATION_MS_DEFAULT);

/// Signs what a device asks for, from now on and for so long, whatever dates it names: the identity decides.
///
/// It begins ten minutes ago, since other clocks may be behind this one by as much as is tolerated, and ends so much earlier.
///
/// # Errors
/// As [`Delegation::sign`].
pub fn delegate(identity: &IdentitySecret, grant: Grant, now: WallTime, length: Duration) -> Result<Delegation, WireError> {
    let from = now - Duration::from_millis(CLOCK_TOLERANCE_MS);
    Delegation::sign(identity, &Grant { from, until: from + length, ..grant })
}

/// Writes a file that only its owner may read, whole or not at all, in the place of another; on disk when this returns.
///
/// # Errors
/// [`KeyError::Io`].
pub fn write_private(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), KeyError> {
    let path = path.as_ref();
    file::put(path, bytes, file::Existing::Replace).map_err(|why| KeyError::Io(path.into(), why))
}

/// An identity in a file. Whoever holds it is the user; a node never needs it but to be renewed.
#[derive(Debug)]
pub struct IdentityFile {
    secret: IdentitySecret,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityText {
    overcom: String,
    version: u32,
    secret: String,
}

impl Drop for IdentityText {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl IdentityFile {
    /// Reads the file, or makes it with a random identity.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        if !path.exists() {
            let secret = Zeroizing::new(entropy().map_err(|why| KeyError::Io(path.into(), why))?);
            match Self::create(path, &secret) {
                // Another process was faster; its identity is the one.
                Err(KeyError::Exists(_)) => {}
                other => return other,
            }
        }
        Self::open(path)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let text: IdentityText = file::read_json(path)?;
        check(path, &text.overcom, "identity", text.version)?;
        Ok(Self { secret: IdentitySecret::from_bytes(*from_base64(path, &text.secret)?), path: path.into() })
    }

    /// Makes the file from 32 secret bytes, for instance those of [`stretch`]. Never writes over another.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn create(path: impl AsRef<Path>, secret: &[u8; 32]) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let text = IdentityText { overcom: "identity".into(), version: KEY_FILE_VERSION, secret: URL_SAFE_NO_PAD.encode(secret) };
        file::write_json(path, &text, file::Existing::Refuse)?;
        Ok(Self { secret: IdentitySecret::from_bytes(*secret), path: path.into() })
    }

    /// The identity.
    pub const fn secret(&self) -> &IdentitySecret {
        &self.secret
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A device's keys and its delegation in a file.
#[derive(Debug)]
pub struct DeviceFile {
    keys: DeviceKeys,
    delegation: Option<Delegation>,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceText {
    overcom: String,
    version: u32,
    secret: String,
    delegation: Option<Box<RawValue>>,
}

impl Drop for DeviceText {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl DeviceFile {
    /// Reads the file, or makes it with new keys and no delegation.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        if !path.exists() {
            let seed = seed().map_err(|why| KeyError::Io(path.into(), why))?;
            let new = Self { keys: DeviceKeys::draw(&mut Rng::from_seed(&seed)), delegation: None, path: path.into() };
            match new.write(file::Existing::Refuse) {
                Ok(()) => return Ok(new),
                Err(KeyError::Exists(_)) => {}
                Err(why) => return Err(why),
            }
        }
        Self::open(path)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let text: DeviceText = file::read_json(path)?;
        check(path, &text.overcom, "device", text.version)?;
        let keys = DeviceKeys::from_secret_bytes(&*from_base64(path, &text.secret)?);
        let read = |raw: &RawValue| Delegation::from_json(raw.get()).map_err(|_| KeyError::Corrupt(path.into()));
        let delegation = text.delegation.as_deref().map(read).transpose()?;
        Ok(Self { keys, delegation, path: path.into() })
    }

    /// The device's keys.
    pub const fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// The delegation, if there is one.
    pub const fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_ref()
    }

    /// What a node is started with, if there is a delegation. Whether it is still in force, the node says.
    pub fn credentials(&self) -> Option<Credentials> {
        self.delegation.as_ref().map(|delegation| self.keys.credentials(delegation.clone()))
    }

    /// Keeps another delegation, on disk when this returns.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn keep(&mut self, delegation: Delegation) -> Result<(), KeyError> {
        let before = self.delegation.replace(delegation);
        self.write(file::Existing::Replace).inspect_err(|_| self.delegation = before)
    }

    /// Has the identity sign, unless the delegation is of this identity and app, has begun and is not half over. Length: 7 days.
    ///
    /// One that has not begun was signed by a clock that was ahead, or this one is behind; either way the new one is good wherever
    /// clocks say the same as this one.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn delegated(&mut self, identity: &IdentitySecret, app: &AppId, now: WallTime) -> Result<Credentials, KeyError> {
        let is_fresh = |delegation: &Delegation| {
            let length = delegation.until().since(delegation.from());
            let has_begun = delegation.check_window(now) != Err(Refusal::NotYet);
            delegation.identity() == identity.public() && delegation.app() == app && has_begun && delegation.until().since(now) > length / 2
        };
        if !self.delegation.as_ref().is_some_and(is_fresh) {
            let signed = delegate(identity, self.keys.grant(app.clone(), now, now), now, DELEGATION_LENGTH);
            self.keep(signed.map_err(|why| KeyError::Io(self.path.clone(), io::Error::other(why)))?)?;
        }
        self.credentials().ok_or_else(|| KeyError::Corrupt(self.path.clone()))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, existing: file::Existing) -> Result<(), KeyError> {
        let secret = Zeroizing::new(self.keys.to_secret_bytes());
        let delegation = self.delegation.as_ref().map(|delegation| RawValue::from_string(delegation.to_json()));
        let delegation = delegation.transpose().map_err(|why| KeyError::Io(self.path.clone(), why.into()))?;
        let secret = URL_SAFE_NO_PAD.encode(secret.as_slice());
        file::write_json(&self.path, &DeviceText { overcom: "device".into(), version: KEY_FILE_VERSION, secret, delegation }, existing)
    }
}

fn check(path: &Path, found: &str, wanted: &str, version: u32) -> Result<(), KeyError> {
    if found != wanted || version == 0 {
        return Err(KeyError::Corrupt(path.into()));
    }
    if version > KEY_FILE_VERSION { Err(KeyError::Newer(path.into(), version)) } else { Ok(()) }
}

fn from_base64<const N: usize>(path: &Path, text: &str) -> Result<Zeroizing<[u8; N]>, KeyError> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Corrupt(path.into()))?);
    let array = <[u8; N]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Corrupt(path.into()))?;
    Ok(Zeroizing::new(array))
}

#[cfg(test)]
mod tests;
