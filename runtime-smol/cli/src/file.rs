//! Files that people name to write into: for their owner only, as recordings hold keys.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::fail::Fail;

/// Opens a file to write into from its beginning, made if it is not there. What it holds stays until [`empty`]. A link to
/// somewhere else is not followed: whoever made it would choose where the keys go.
pub(crate) fn open(path: &Path) -> Result<File, Fail> {
    let wrong = |why| unwritten(path, &why);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Looked at by the system while it opens, so that nobody can put a link there in between.
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = options.open(path).map_err(|why| {
        if std::fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink()) {
            return Fail::usage(format!("{} is a link to somewhere else; name the file itself", path.display()));
        }
        wrong(why)
    })?;
    #[cfg(unix)]
    if file.metadata().is_ok_and(|it| it.is_file()) {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(wrong)?;
    }
    Ok(file)
}

/// Takes away what a file held before. Devices and pipes hold nothing.
pub(crate) fn empty(file: &File, path: &Path) -> Result<(), Fail> {
    if file.metadata().is_ok_and(|it| it.is_file()) {
        file.set_len(0).map_err(|why| unwritten(path, &why))?;
    }
    Ok(())
}

/// That a file cannot be written to, and the way out.
pub(crate) fn unwritten(path: &Path, why: &io::Error) -> Fail {
    Fail::failed(format!("{} cannot be written: {}", path.display(), overcom_std::advice(why)))
}
