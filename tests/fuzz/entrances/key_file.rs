//! The entrance for key files, shared by the fuzz target and the replay of its corpus.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use overcom_std::keys::{DeviceFile, IdentityFile};

/// A key file that is opened holds what it says when it is opened again; any other is refused and left as it is.
pub(crate) fn key_file(bytes: &[u8]) -> bool {
    let path = put(bytes);
    let identity = IdentityFile::open(&path).map(|file| file.secret().user());
    let device = DeviceFile::open(&path).map(|file| (file.keys().device(), file.delegation().cloned()));
    let again = DeviceFile::open(&path).map(|file| (file.keys().device(), file.delegation().cloned()));
    let is_one_kind = identity.is_err() || device.is_err();
    let is_left = fs::read(&path).is_ok_and(|now| now == bytes);
    let held = is_one_kind && is_left && device.ok() == again.ok();
    fs::remove_file(&path).is_ok() && held
}

/// A file of this process, readable by its owner only.
fn put(bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("overcom-fuzz-{}.json", std::process::id()));
    let _ = fs::remove_file(&path);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).expect("a temporary file can be made");
    file.write_all(bytes).expect("a temporary file can be written");
    path
}
