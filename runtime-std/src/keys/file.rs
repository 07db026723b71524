//! Files that only their owner may read, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::KeyError;
use crate::entropy::entropy;
use crate::plain::open_plain;

/// No key file is longer.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What to do with a file of that name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Refuse,
    Replace,
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, KeyError> {
    let failed = |why| KeyError::Io(path.into(), why);
    let file = open_plain(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::Open(path.into()));
        }
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|_| KeyError::Corrupt(path.into()))
}

/// Writes beside the file, syncs, then puts it in place: a crash leaves the old one or the new one.
pub(super) fn write_json(path: &Path, value: &impl Serialize, existing: Existing) -> Result<(), KeyError> {
    let text = Zeroizing::new(serde_json::to_string(value).map_err(|why| KeyError::Io(path.into(), why.into()))?);
    put(path, text.as_bytes(), existing).map_err(|why| match (why.kind(), existing) {
        (io::ErrorKind::AlreadyExists, Existing::Refuse) => KeyError::Exists(path.into()),
        _ => KeyError::Io(path.into(), why),
    })
}

pub(super) fn put(path: &Path, text: &[u8], existing: Existing) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    make_directory(directory)?;
    let mark = u64::from_le_bytes(*entropy()?.first_chunk().unwrap_or(&[0; 8]));
    let beside = path.with_extension(format!("{mark:016x}.new"));
    let done = write_synced(&beside, text).and_then(|()| match existing {
        // A hard link fails where a file is, in one step; renaming would write over it.
        Existing::Refuse => fs::hard_link(&beside, path),
        Existing::Replace => fs::rename(&beside, path),
    });
    if existing == Existing::Refuse || done.is_err() {
        // If it cannot be removed it stays as unreadable to others as the file itself.
        let _ = fs::remove_file(&beside);
    }
    done?;
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(())
}

fn write_synced(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}
