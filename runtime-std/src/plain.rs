//! Files of one's own, which hold what was written into them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens a file to read it; refuses what is no plain file before it is opened: who opens a pipe waits until somebody writes
/// into it, deaf to everything else. A link is followed.
///
/// # Errors
/// As [`File::open`]; [`io::ErrorKind::IsADirectory`] for a folder, and a sentence with the way out for pipes and devices.
pub fn open_plain(path: impl AsRef<Path>) -> io::Result<File> {
    let found = fs::metadata(&path)?.file_type();
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(io::Error::other("it is a pipe or a device, not a file; move it away"));
    }
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_a_folder_and_a_device_are_not() {
        let path = std::env::temp_dir().join(format!("overcom-plain-{}", std::process::id()));
        fs::write(&path, b"1").unwrap();
        assert!(open_plain(&path).is_ok());
        fs::remove_file(&path).unwrap();
        assert_eq!(open_plain(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(open_plain(std::env::temp_dir()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        #[cfg(unix)]
        assert!(open_plain("/dev/null").unwrap_err().to_string().contains("move it away"));
    }
}
