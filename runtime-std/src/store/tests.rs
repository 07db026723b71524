use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::*;

/// A directory that is removed with the test's end.
pub(crate) struct TestDirectory(PathBuf);

impl TestDirectory {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn test_directory(name: &str) -> TestDirectory {
    let path = std::env::temp_dir().join(format!("overcom-std-{}-{name}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    TestDirectory(path)
}

fn put(key: &str, value: &str) -> Batch {
    let mut batch = Batch::default();
    batch.put(key, value);
    batch
}

fn keys(store: &mut impl Store, from: &str, to: &str, limit: u32) -> (Vec<String>, bool) {
    let (items, more) = store.load(from.as_bytes(), to.as_bytes(), limit).unwrap();
    (items.into_iter().map(|item| String::from_utf8(item.key).unwrap()).collect(), more)
}

/// What every store promises.
fn keeps_the_promises(store: &mut impl Store) {
    let mut changed = put("b", "old");
    changed.put("b", "new");
    changed.remove("a");
    store.store(&[(put("a", "1"), true), (put("c", "3"), false), (changed, true), (put("d", "4"), true)]).unwrap();
    assert_eq!(keys(store, "", "z", 10), (vec!["b".into(), "c".into(), "d".into()], false));
    assert_eq!(keys(store, "b", "d", 10), (vec!["b".into(), "c".into()], false));
    assert_eq!(keys(store, "b", "z", 2), (vec!["b".into(), "c".into()], true));
    assert_eq!(keys(store, "z", "a", 2), (vec![], false));
    assert_eq!(store.load(b"b", b"c", 9).unwrap().0[0].value, b"new");
    store.store(&[]).unwrap();
}

#[test]
fn every_store_orders_pages_and_lets_later_changes_win() {
    let home = test_directory("promises");
    keeps_the_promises(&mut MemoryStore::new());
    keeps_the_promises(&mut RedbStore::open(home.path().join("store.redb")).unwrap());
    keeps_the_promises(&mut DelayedSync::new(MemoryStore::new(), Duration::from_millis(1)));
}

#[test]
fn what_was_stored_is_there_after_closing_and_others_may_not_read_it() {
    let home = test_directory("reopen");
    let path = home.path().join("deep/store.redb");
    RedbStore::open(&path).unwrap().store(&[(put("k", "v"), true)]).unwrap();
    assert_eq!(keys(&mut RedbStore::open(&path).unwrap(), "", "z", 9).0, ["k"]);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
}

/// Not a test of its own: the process that the next test kills.
#[test]
fn the_victim_stores_until_it_is_killed() {
    use std::io::Write;
    let Ok(path) = std::env::var("OVERCOM_STD_VICTIM") else { return };
    let mut store = RedbStore::open(&path).unwrap();
    for n in 0.. {
        let mut pair = put(&format!("a{n:08}"), "x");
        pair.put(format!("b{n:08}"), "x");
        store.store(&[(pair, true)]).unwrap();
        writeln!(io::stdout(), "stored {n}").unwrap();
    }
}

// spec-test: SHELL-8
#[test]
fn a_process_killed_between_batches_loses_nothing_it_was_told_is_stored_and_leaves_no_half_batch() {
    use std::io::{BufRead, BufReader};
    let home = test_directory("killed");
    let path = home.path().join("store.redb");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::the_victim_stores_until_it_is_killed", "--nocapture"])
        .env("OVERCOM_STD_VICTIM", &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let last: u32 = lines.filter_map(|line| line.split("stored ").nth(1)?.parse().ok()).find(|n| *n >= 20).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let mut store = RedbStore::open(&path).unwrap();
    let (firsts, seconds) = (keys(&mut store, "a", "b", u32::MAX).0, keys(&mut store, "b", "c", u32::MAX).0);
    assert_eq!(firsts.len(), seconds.len());
    assert!(firsts.len() > last as usize, "{} of {last}", firsts.len());
    assert_eq!(firsts.last().unwrap()[1..], format!("{:08}", firsts.len() - 1));
}

// spec-test: SHELL-8
#[test]
fn each_wrong_file_has_its_own_error_and_is_left_as_it_was() {
    let home = test_directory("wrong");
    let at = |name: &str| home.path().join(name);

    let text = at("text");
    fs::write(&text, "Dear diary,").unwrap();
    assert!(matches!(RedbStore::open(&text), Err(OpenError::Corrupt(_))));
    assert_eq!(fs::read_to_string(&text).unwrap(), "Dear diary,");

    let foreign = at("foreign");
    let database = redb::Database::create(&foreign).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(RedbStore::open(&foreign), Err(OpenError::Foreign(_))));

    let newer = at("newer");
    drop(RedbStore::open(&newer).unwrap());
    let database = redb::Database::create(&newer).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<&str, u64>::new("overcom.meta")).unwrap().insert("schema", 99).unwrap();
    write.commit().unwrap();
    drop(database);
    let why = RedbStore::open(&newer).unwrap_err();
    assert!(matches!(why, OpenError::Newer(_, 99)) && why.to_string().contains("newer version"), "{why}");

    let locked = at("locked");
    let _open = RedbStore::open(&locked).unwrap();
    let why = RedbStore::open(&locked).unwrap_err();
    assert!(matches!(why, OpenError::Locked(_)) && why.to_string().contains("another process"), "{why}");

    assert!(matches!(RedbStore::open(home.path()), Err(OpenError::Io(..))));
}

#[test]
fn a_cut_or_scribbled_store_is_called_damaged_or_works_but_never_panics() {
    let home = test_directory("cut");
    let path = home.path().join("store.redb");
    RedbStore::open(&path).unwrap().store(&[(put("k", "v"), true)]).unwrap();
    let good = fs::read(&path).unwrap();
    for cut in [5, 64, 300, 4_096, good.len() / 2] {
        fs::write(&path, &good[..cut]).unwrap();
        let why = RedbStore::open(&path).expect_err("a cut store opened");
        assert!(matches!(why, OpenError::Corrupt(_)), "{cut}: {why:?}");
    }
}

/// The store of the first release, to be opened by every later one.
// spec-test: SHELL-8
#[test]
fn the_store_of_schema_1_opens() {
    let home = test_directory("schema-1");
    let path = home.path().join("store.redb");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/store-1.redb");
    if std::env::var_os("OVERCOM_STD_FIXTURE").is_some() {
        drop(fs::remove_file(&fixture));
        RedbStore::open(&fixture).unwrap().store(&[(put("key", "value"), true), (put("other", ""), true)]).unwrap();
        redb::Database::open(&fixture).unwrap().compact().unwrap();
    }
    fs::copy(fixture, &path).unwrap();
    let (items, more) = RedbStore::open(&path).unwrap().load(b"", b"z", 9).unwrap();
    let pairs: Vec<_> = items.iter().map(|item| (item.key.as_slice(), item.value.as_slice())).collect();
    assert_eq!((pairs, more), (vec![(b"key".as_slice(), b"value".as_slice()), (b"other", b"")], false));
}

#[test]
fn a_slow_sync_slows_durable_batches_only() {
    let mut store = DelayedSync::new(MemoryStore::new(), Duration::from_millis(60));
    let clock = crate::Clock::start();
    store.store(&[(put("a", "1"), false)]).unwrap();
    assert!(clock.now() < overcom_core::Time::from_millis(50));
    store.store(&[(put("b", "2"), true), (put("c", "3"), true)]).unwrap();
    assert!(clock.now() >= overcom_core::Time::from_millis(60));
}

/// A store of a few pages, as it lies on disk after its process has ended, or was killed.
fn filled(path: &Path, is_closed: bool) -> Vec<u8> {
    let mut store = RedbStore::open(path).unwrap();
    for n in 0..40 {
        let many = (0..20).fold(Batch::default(), |mut batch, m| {
            batch.put(format!("k{n:02}{m:02}"), vec![n; 300]);
            batch
        });
        store.store(&[(many, true)]).unwrap();
    }
    if is_closed {
        drop(store);
        return fs::read(path).unwrap();
    }
    let bytes = fs::read(path).unwrap();
    drop(store);
    bytes
}

/// Whoever opens it, reads all of it and writes to it gets an answer, whatever that is.
fn uses(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).unwrap();
    let mut store = RedbStore::open(path).map_err(|why| why.to_string())?;
    let said = |why: StoreError| format!("{why:?}");
    store.load(b"", b"z", 10_000).map_err(said)?;
    store.store(&[(put("k0000", "new"), true), (put("x", "new"), true)]).map_err(said)
}

#[test]
fn a_damaged_file_is_an_error_with_a_way_out_and_never_a_panic() {
    let home = test_directory("damaged");
    let path = home.path().join("store.redb");
    let mut refused = 0;
    for is_closed in [true, false] {
        let whole = filled(&path, is_closed);
        assert_eq!(uses(&path, &whole), Ok(()));
        let cut = [0, 1, 4, 64, 200, 511, 512, 4_096, 5_000, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec());
        let headless = [4, 64, 320, 4_096].map(|length| [vec![0; length], whole[length..].to_vec()].concat());
        let magic = [64, 320, 4_096].map(|length| [whole[..9].to_vec(), vec![0; length - 9], whole[length..].to_vec()].concat());
        let places = (0..512).step_by(5).chain((512..whole.len()).step_by(whole.len() / 120 + 1));
        let flipped = places.flat_map(|place| [1, 0xFF].map(|bits| (place, bits))).map(|(place, bits)| {
            let mut bytes = whole.clone();
            bytes[place] ^= bits;
            bytes
        });
        for bytes in cut.into_iter().chain(headless).chain(magic).chain(flipped) {
            if let Err(why) = uses(&path, &bytes) {
                refused += 1;
                let is_told = ["damaged, or not a store; put a copy back", "use that version", "another program", "Corrupt", "Failed"];
                assert!(is_told.iter().any(|words| why.contains(words)), "{why}");
            }
        }
    }
    assert!(refused > 50, "{refused}");
}
