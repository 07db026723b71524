//! Files that people name to write into: for their owner only, as recordings hold keys, and never in the place of anything else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use crate::fail::Fail;

/// What is looked at of a file, to see what it is: a redacted recording's first word is the fourth of its line (guess).
const HEAD_BYTES: u64 = 512;

/// What is written; a file that is there already may be no other thing.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Of a node, redacted or not.
    Recording,
    /// What `overcom report` writes.
    Report,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Report => "report",
        }
    }

    fn is_begun_by(self, head: &[u8]) -> bool {
        let holds = |word: &str| head.windows(word.len()).any(|part| part == word.as_bytes());
        match self {
            Self::Recording => head.starts_with(b"{\"overcom_trace\":") || head.starts_with(b"{\"") && holds("\"redacted_trace\":"),
            Self::Report => head.starts_with(b"== versions\n"),
        }
    }
}

/// Opens a file to write into from its beginning, made if it is not there. What it holds stays until [`empty`]. A link to
/// somewhere else is not followed: whoever made it would choose where the keys go. What holds anything but such a file is
/// refused as it is.
pub(crate) fn open(path: &Path, kind: Kind) -> Result<File, Fail> {
    let wrong = |why| unwritten(path, &why);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        // Looked at by the system while it opens, so that nobody can put a link there in between. A pipe is not waited for.
        options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    let mut file = options.open(path).map_err(|why| {
        if fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink()) {
            return Fail::usage(format!("{} is a link to somewhere else; name the file itself", path.display()));
        }
        wrong(why)
    })?;
    if !file.metadata().map_err(wrong)?.is_file() {
        return if holds_nothing(path) { Ok(file) } else { Err(no_file(path)) };
    }
    look(&mut file, path, kind)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(wrong)?;
    Ok(file)
}

/// Whether a file may be put in the place of what is there, if anything is. A folder is left to whoever tries.
pub(crate) fn may_replace(path: &Path, kind: Kind) -> Result<(), Fail> {
    match fs::symlink_metadata(path) {
        Ok(it) if it.is_file() => look(&mut File::open(path).map_err(|why| unwritten(path, &why))?, path, kind),
        Ok(it) if !it.is_dir() && !it.is_symlink() => Err(no_file(path)),
        _ => Ok(()),
    }
}

/// Refuses a file in the folder that keeps keys, names and messages: one day it would take the name of one of those.
pub(crate) fn keep_out(path: &Path, folder: &Path) -> Result<(), Fail> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // What is not there holds no keys.
    let is_within = parent.canonicalize().is_ok_and(|parent| folder.canonicalize().is_ok_and(|folder| parent.starts_with(folder)));
    if !is_within {
        return Ok(());
    }
    let said = format!("{} is in the folder {}, which keeps keys and messages", path.display(), folder.display());
    Err(Fail::usage(format!("{said}: name a file somewhere else")))
}

/// Takes away what a file held before. Devices hold nothing.
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

/// Looks at how a file begins, and goes back to its beginning.
fn look(file: &mut File, path: &Path, kind: Kind) -> Result<(), Fail> {
    let mut head = Vec::new();
    (&mut *file).take(HEAD_BYTES).read_to_end(&mut head).and_then(|_| file.rewind()).map_err(|why| unwritten(path, &why))?;
    if head.is_empty() || kind.is_begun_by(&head) {
        return Ok(());
    }
    let (path, name) = (path.display(), kind.name());
    Err(Fail::usage(format!("{path} holds something that is no {name}, and stays as it is: name another file, or move it away")))
}

/// Devices like /dev/null take bytes and keep none. Who reads a pipe may come never.
#[cfg(unix)]
fn holds_nothing(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs::metadata(path).is_ok_and(|it| it.file_type().is_char_device())
}

#[cfg(not(unix))]
fn holds_nothing(_: &Path) -> bool {
    true
}

fn no_file(path: &Path) -> Fail {
    Fail::usage(format!("{} is a pipe or the like, not a file: name a file", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Redacted;

    #[test]
    fn a_redacted_recording_is_known_as_one_and_a_key_file_as_none() {
        let mut redacted = Redacted::new(Vec::new());
        let header =
            b"{\"overcom_trace\":1,\"build\":\"0.1.0\",\"shell\":\"smol\",\"node\":\"ann\",\"crypto\":\"standard\",\"secret\":true}\n";
        io::Write::write_all(&mut redacted, header).expect("memory takes it");
        for (kind, head, is) in [
            (Kind::Recording, header.as_slice(), true),
            (Kind::Recording, &redacted.into_inner(), true),
            (Kind::Recording, b"{\"overcom\":\"identity\",\"secret\":\"AAAA\"}", false),
            (Kind::Report, header, false),
            (Kind::Report, b"== versions\n0.1.0", true),
        ] {
            assert_eq!(kind.is_begun_by(head), is, "{}", String::from_utf8_lossy(head));
        }
    }
}
