//! What a person can do about what the operating system says.

use std::io;

/// An error of the operating system in words, with the way out where there is one: `the disk is full; make room, then try again`.
pub fn advice(why: &io::Error) -> String {
    match KNOWN.iter().find(|(kind, ..)| *kind == why.kind()) {
        Some((_, what, way_out)) => format!("{what}; {way_out}"),
        None => why.to_string(),
    }
}

const KNOWN: [(io::ErrorKind, &str, &str); 7] = [
    (io::ErrorKind::StorageFull, "the disk is full", "make room, then try again"),
    (io::ErrorKind::QuotaExceeded, "this user's share of the disk is full", "make room, then try again"),
    (io::ErrorKind::PermissionDenied, "this user may not use it", "run as its owner, or name another folder"),
    (io::ErrorKind::NotADirectory, "a part of the path is a file", "name another folder"),
    (io::ErrorKind::IsADirectory, "a folder is there", "name a file"),
    (io::ErrorKind::ReadOnlyFilesystem, "what is there may only be read", "name another folder"),
    (io::ErrorKind::NotFound, "it is not there, or its folder is not", "make the folder, or name another one"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_strange_owner_and_a_wrong_path_come_with_a_way_out_and_the_rest_as_it_is() {
        for (kind, way_out) in [
            (io::ErrorKind::StorageFull, "make room"),
            (io::ErrorKind::QuotaExceeded, "make room"),
            (io::ErrorKind::PermissionDenied, "run as its owner"),
            (io::ErrorKind::NotADirectory, "name another folder"),
            (io::ErrorKind::IsADirectory, "name a file"),
            (io::ErrorKind::ReadOnlyFilesystem, "name another folder"),
            (io::ErrorKind::NotFound, "make the folder"),
        ] {
            let said = advice(&kind.into());
            assert!(said.contains("; ") && said.contains(way_out), "{said}");
        }
        assert_eq!(advice(&io::Error::other("the moon is full")), "the moon is full");
    }
}
