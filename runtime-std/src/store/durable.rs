//! A store that lasts: one redb file.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread;

use overcom_core::{Batch, Item, StoreError};
use redb::{Database, DatabaseError, Durability, ReadableDatabase, StorageError, TableDefinition, TableError};

use super::{Loaded, OpenError, Store};

/// The version of what is stored. A newer one is refused, an older one is brought up to date when it is opened.
pub const STORE_SCHEMA: u64 = 1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("overcom.meta");
const ITEMS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("overcom.items");
/// Pages kept in RAM. 4 MiB hold the state of a node with thousands of peers (guess).
const CACHE_BYTES: usize = 4 << 20;
/// How a redb file begins; anything else is not opened at all, so that nobody's file is touched.
const MAGIC: [u8; 4] = *b"redb";

/// One file, made when it is first used and open to its owner only. One process at a time.
///
/// A crash at any point leaves the state after some batch, never half of one.
#[derive(Debug)]
pub struct RedbStore {
    /// None once redb has panicked over it.
    database: Option<Database>,
    path: PathBuf,
}

impl RedbStore {
    /// Opens or makes the file at `path`. After a crash this repairs it, which reads it once.
    ///
    /// The first one puts a panic hook before the program's: what redb panics over is told as an error, and not by the hook, too.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        prepare(&path).map_err(|why| io_error(&path, why))?;
        if !is_ours_to_open(&path).map_err(|why| io_error(&path, why))? {
            return Err(OpenError::Corrupt(path));
        }
        let opened = guarded(|| Database::builder().set_cache_size(CACHE_BYTES).create(&path));
        let database = opened.ok_or_else(|| OpenError::Corrupt(path.clone()))?.map_err(|why| match why {
            DatabaseError::DatabaseAlreadyOpen => OpenError::Locked(path.clone()),
            DatabaseError::UpgradeRequired(_) | DatabaseError::RepairAborted => OpenError::Corrupt(path.clone()),
            DatabaseError::Storage(why) => storage_error(&path, why),
            why @ DatabaseError::TransactionInProgress | why => OpenError::Io(path.clone(), io::Error::other(why)),
        })?;
        let checked = guarded(|| check_schema(&database, &path));
        // Whatever it is, it is closed with care.
        let store = Self { database: Some(database), path };
        checked.ok_or_else(|| OpenError::Corrupt(store.path.clone()))??;
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does something with the database. What redb panics over is damaged, and is not touched any more.
    fn with<T>(&mut self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let database = self.database.as_ref().ok_or(StoreError::Corrupt)?;
        let done = guarded(|| act(database));
        if done.is_none() {
            self.close();
        }
        done.ok_or(StoreError::Corrupt)?.map_err(StoreError::from_redb)
    }

    /// redb writes what it keeps for the next start.
    fn close(&mut self) {
        let database = self.database.take();
        // What cannot be written is made again at the next start, or is damaged then.
        let _ = guarded(move || drop(database));
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.close();
    }
}

thread_local! {
    /// Whether this thread is in redb, whose panics are told as an error and so are no news to anybody else.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// `None` if redb has panicked: of some damaged files it says so, of others it asserts that they are not.
fn guarded<T>(act: impl FnOnce() -> T) -> Option<T> {
    static HUSHED: Once = Once::new();
    // Who aborts at a panic is to see why, and nobody sets a hook who is panicking.
    if cfg!(panic = "unwind") && !thread::panicking() {
        HUSHED.call_once(hush);
    }
    IS_GUARDED.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(act));
    IS_GUARDED.set(false);
    done.ok()
}

/// Panics of redb are written nowhere from now on; all others go where they went.
fn hush() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // A thread that ends has nothing of redb left in it.
        if !IS_GUARDED.try_with(Cell::get).unwrap_or(false) {
            usual(info);
        }
    }));
}

fn check_schema(database: &Database, path: &Path) -> Result<(), OpenError> {
    let other = |why: redb::Error| match StoreError::from_redb(why) {
        StoreError::Full => OpenError::Full(path.into()),
        StoreError::Corrupt | StoreError::Newer | StoreError::Failed | _ => OpenError::Corrupt(path.into()),
    };
    let write = database.begin_write().map_err(|why| other(why.into()))?;
    let is_new = write.list_tables().map_err(|why| other(why.into()))?.next().is_none();
    if is_new {
        write.open_table(ITEMS).map_err(|why| other(why.into()))?;
        let mut meta = write.open_table(META).map_err(|why| other(why.into()))?;
        meta.insert("schema", STORE_SCHEMA).map_err(|why| other(why.into()))?;
        drop(meta);
        return write.commit().map_err(|why| other(why.into()));
    }
    drop(write);
    match schema(database) {
        Ok(Some(STORE_SCHEMA)) => Ok(()),
        Ok(Some(newer)) if newer > STORE_SCHEMA => Err(OpenError::Newer(path.into(), newer)),
        Ok(_) => Err(OpenError::Foreign(path.into())),
        Err(why) => Err(other(why)),
    }
}

fn schema(database: &Database) -> Result<Option<u64>, redb::Error> {
    let read = database.begin_read()?;
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(why)) => return Err(why.into()),
        Err(_) => return Ok(None),
    };
    Ok(meta.get("schema")?.map(|schema| schema.value()))
}

fn try_store(database: &Database, batches: &[(Batch, bool)]) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    let durable = batches.iter().any(|(_, durable)| *durable);
    write.set_durability(if durable { Durability::Immediate } else { Durability::None })?;
    {
        let mut items = write.open_table(ITEMS)?;
        for change in batches.iter().flat_map(|(batch, _)| &batch.changes) {
            match &change.value {
                Some(value) => drop(items.insert(change.key.as_slice(), value.as_slice())?),
                None => drop(items.remove(change.key.as_slice())?),
            }
        }
    }
    Ok(write.commit()?)
}

fn try_load(database: &Database, from: &[u8], to: &[u8], limit: u32) -> Result<Loaded, redb::Error> {
    if from >= to {
        return Ok((Vec::new(), false));
    }
    let items = database.begin_read()?.open_table(ITEMS)?;
    let mut range = items.range(from..to)?;
    let mut page = Vec::new();
    for _ in 0..limit {
        let Some(entry) = range.next() else { return Ok((page, false)) };
        let (key, value) = entry?;
        page.push(Item { key: key.value().to_vec(), value: value.value().to_vec() });
    }
    Ok((page, range.next().transpose()?.is_some()))
}

impl Store for RedbStore {
    fn store(&mut self, batches: &[(Batch, bool)]) -> Result<(), StoreError> {
        self.with(|database| try_store(database, batches))
    }

    fn load(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Loaded, StoreError> {
        self.with(|database| try_load(database, from, to, limit))
    }
}

/// What a node needs to know of redb's errors.
trait FromRedb {
    fn from_redb(why: redb::Error) -> Self;
}

impl FromRedb for StoreError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "redb's errors may grow, and a node tells only these apart")]
    fn from_redb(why: redb::Error) -> Self {
        match why {
            redb::Error::Io(why) if is_full(&why) => Self::Full,
            redb::Error::Corrupted(_) => Self::Corrupt,
            redb::Error::UpgradeRequired(_) => Self::Newer,
            _ => Self::Failed,
        }
    }
}

/// Makes the directory and an empty file that only its owner may read: values hold secrets.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(why),
        _ => Ok(()),
    }
}

/// Whether the file is empty or begins as redb files do.
fn is_ours_to_open(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    fs::File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == MAGIC)
}

fn is_full(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn io_error(path: &Path, why: io::Error) -> OpenError {
    if is_full(&why) { OpenError::Full(path.into()) } else { OpenError::Io(path.into(), why) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "redb's errors may grow")]
fn storage_error(path: &Path, why: StorageError) -> OpenError {
    match why {
        StorageError::Corrupted(_) => OpenError::Corrupt(path.into()),
        // redb says so of a file that ends too early.
        StorageError::Io(why) if matches!(why.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            OpenError::Corrupt(path.into())
        }
        StorageError::Io(why) => io_error(path, why),
        other => OpenError::Io(path.into(), io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one_and_says_what_to_do() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(StoreError::from_redb(redb::Error::Io(full())), StoreError::Full);
        assert_eq!(StoreError::from_redb(redb::Error::Io(io::ErrorKind::Other.into())), StoreError::Failed);
        assert_eq!(StoreError::from_redb(redb::Error::Corrupted(String::new())), StoreError::Corrupt);
        assert!(io_error(Path::new("store"), full()).to_string().contains("make room"));
    }

    #[test]
    fn what_redb_panics_over_is_written_nowhere_and_every_other_panic_is() {
        const INSIDE: &str = "OVERCOM_STD_HUSHED";
        if std::env::var_os(INSIDE).is_some() {
            assert_eq!(guarded(|| panic!("redb asserts")), None::<()>);
            panic!("somebody else asserts");
        }
        let name = "store::durable::tests::what_redb_panics_over_is_written_nowhere_and_every_other_panic_is";
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program).args(["--exact", name, "--nocapture"]).env(INSIDE, "").output().unwrap();
        let written = String::from_utf8_lossy(&output.stderr);
        assert!(written.contains("somebody else asserts") && !written.contains("redb asserts"), "{written}");
    }
}
