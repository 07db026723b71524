//! Names of people, kept beside the keys. They work wherever ids do.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use overcom_core::UserId;
use overcom_std::keys::write_private;
use serde::{Deserialize, Serialize};

use crate::proto::{Fault, Shown};

/// As many as a desktop's address book has users.
const NAMES_MAX: usize = 4_096;
/// A file with that many is not longer.
const FILE_BYTES_MAX: u64 = 1 << 20;
const VERSION: u32 = 1;

/// Who is called what.
pub(crate) struct Book {
    names: BTreeMap<String, UserId>,
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    overcom: String,
    version: u32,
    names: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Keeping<'a> {
    overcom: &'static str,
    version: u32,
    names: BTreeMap<&'a str, Shown<UserId>>,
}

impl Book {
    /// Reads the names of a data folder. A file that is not there is an empty one.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let path = folder.join("names.json");
        let mut text = String::new();
        match overcom_std::open_plain(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Self { names: BTreeMap::new(), path }),
            Err(why) => return Err(format!("{}: {}", path.display(), overcom_std::advice(&why))),
            Ok(_) => {}
        }
        let wrong = |why: String| format!("{}: {why}; mend it, or move it away to start without names", path.display());
        let kept: Kept = serde_json::from_str(&text).map_err(|why| wrong(why.to_string()))?;
        if kept.overcom != "names" || kept.version != VERSION {
            return Err(wrong(format!("not the names of version {VERSION}")));
        }
        let read = |(name, user): (String, String)| user.parse().map(|user| (name.clone(), user)).map_err(|why| format!("{name}: {why}"));
        let names = kept.names.into_iter().map(read).collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Self { names, path })
    }

    /// Whom a name or an id means.
    pub(crate) fn find(&self, who: &str) -> Result<UserId, Fault> {
        if let Some(user) = self.names.get(who) {
            return Ok(*user);
        }
        if let Ok(user) = who.parse() {
            return Ok(user);
        }
        if who.starts_with("oc1") {
            let message = format!("{who} is no id: its length or its checksum is wrong");
            return Err(Fault::new("unknown_name", message, "was it cut when copied? Copy the id again, whole"));
        }
        let known: Vec<&str> = self.names.keys().map(String::as_str).collect();
        let near = known
            .iter()
            .find(|name| strsim::jaro_winkler(&name.to_lowercase(), &who.to_lowercase()) > 0.8)
            .map(|name| format!("did you mean {name}? "));
        let hint = format!("{}overcom names lists whom you know, overcom names add NAME ID adds one", near.unwrap_or_default());
        let message = if who.trim().is_empty() { "nobody is named".to_owned() } else { format!("nobody is known as {who}") };
        Err(Fault::new("unknown_name", message, hint))
    }

    pub(crate) fn name_of(&self, user: UserId) -> Option<&str> {
        self.names.iter().find(|(_, known)| **known == user).map(|(name, _)| name.as_str())
    }

    /// Every name, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, UserId)> {
        self.names.iter().map(|(name, user)| (name.as_str(), *user))
    }

    /// Whether somebody may be given a name.
    pub(crate) fn check(&self, name: &str) -> Result<(), Fault> {
        check(name)?;
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(name) {
            return Err(Fault::new("full", format!("there are {NAMES_MAX} names already"), "take one away: overcom names remove NAME"));
        }
        Ok(())
    }

    /// Gives a user a name; the one that had it loses it. On disk when this returns.
    pub(crate) fn add(&mut self, name: &str, user: UserId) -> Result<(), Fault> {
        self.check(name)?;
        let before = self.names.insert(name.to_owned(), user);
        self.write().inspect_err(|_| match before {
            Some(before) => drop(self.names.insert(name.to_owned(), before)),
            None => drop(self.names.remove(name)),
        })
    }

    /// Takes a name away.
    pub(crate) fn remove(&mut self, name: &str) -> Result<UserId, Fault> {
        self.find(name)?;
        let Some(user) = self.names.remove(name) else {
            return Err(Fault::new("unknown_name", format!("{name} is an id, not a name"), "overcom names lists the names"));
        };
        match self.write() {
            Ok(()) => Ok(user),
            Err(fault) => {
                self.names.insert(name.to_owned(), user);
                Err(fault)
            }
        }
    }

    fn write(&self) -> Result<(), Fault> {
        let names = self.names.iter().map(|(name, user)| (name.as_str(), Shown(*user))).collect();
        let kept = Keeping { overcom: "names", version: VERSION, names };
        let text = serde_json::to_vec_pretty(&kept).map_err(|why| Fault::disk("the names", why))?;
        write_private(&self.path, &text).map_err(|why| Fault::disk("the names", why))
    }
}

/// Whether somebody may be called so: no name looks like an id, an option or a path.
pub(crate) fn check(name: &str) -> Result<(), Fault> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain);
    if fits && !name.starts_with(['-', '.']) && !name.starts_with("oc1") {
        return Ok(());
    }
    Err(Fault::field("name", "not a name", "use 1 to 64 letters, digits, '-', '_' and '.', and do not begin with '-', '.' or oc1"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_last_work_like_ids_and_a_near_miss_is_pointed_at() {
        let folder = std::env::temp_dir().join(format!("overcom-book-{}", std::process::id()));
        let (ann, bob) = (UserId::from_bytes([1; 32]), UserId::from_bytes([2; 32]));
        let mut book = Book::open(&folder).expect("nothing is there");
        book.add("ann", ann).expect("there is room");
        book.add("bob", bob).expect("there is room");
        let mut book = Book::open(&folder).expect("it was written");
        assert_eq!((book.find("ann"), book.find(&bob.to_string())), (Ok(ann), Ok(bob)));
        assert_eq!(book.name_of(bob), Some("bob"));
        assert!(book.find("anm").expect_err("a typo").hint.contains("did you mean ann?"));
        assert!(book.find("ANN").expect_err("in other letters").hint.contains("did you mean ann?"));
        assert!(book.find(&bob.to_string()[..50]).expect_err("it is cut").hint.contains("cut when copied"));
        assert_eq!(book.remove("bob"), Ok(bob));
        assert!(Book::open(&folder).expect("it was written").find("bob").is_err());
        for bad in ["", "oc1x", "-x", ".x", "a b", "a/b"] {
            assert!(book.add(bad, ann).is_err(), "{bad}");
        }
        fs::write(folder.join("names.json"), "{").expect("there is room");
        assert!(Book::open(&folder).err().expect("damaged").contains("move it away"));
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
