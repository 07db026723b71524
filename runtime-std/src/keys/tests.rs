use std::fs;

use overcom_core::Seed;

use super::*;
use crate::store::test_directory;

fn app() -> AppId {
    "com.example.keys".parse().unwrap()
}

// spec-test: SHELL-11
#[test]
fn keys_are_made_once_and_are_the_same_when_read_again() {
    let home = test_directory("keys-again");
    let (identity, device) = (home.path().join("deep/identity.json"), home.path().join("deep/device.json"));
    let first = IdentityFile::open_or_create(&identity).unwrap().secret().user();
    assert_eq!(IdentityFile::open_or_create(&identity).unwrap().secret().user(), first);
    let keys = DeviceFile::open_or_create(&device).unwrap().keys().to_secret_bytes();
    assert_eq!(DeviceFile::open_or_create(&device).unwrap().keys().to_secret_bytes(), keys);
    assert!(matches!(IdentityFile::create(&identity, &[1; 32]), Err(KeyError::Exists(_))));
    assert_eq!(fs::read_dir(home.path().join("deep")).unwrap().count(), 2, "a file was left beside them");
}

#[test]
fn a_delegation_is_signed_when_needed_and_kept() {
    let home = test_directory("keys-delegated");
    let (identity, now) = (IdentitySecret::from_bytes([7; 32]), WallTime::from_millis(1_800_000_000_000));
    let path = home.path().join("device.json");
    let mut device = DeviceFile::open_or_create(&path).unwrap();
    assert!(device.credentials().is_none());
    let first = device.delegated(&identity, &app(), now).unwrap();
    assert!(first.fits(&overcom_core::Crypto::standard()));
    let again = DeviceFile::open(&path).unwrap().delegated(&identity, &app(), now + Duration::from_secs(3_600)).unwrap();
    assert_eq!(again.delegation(), first.delegation());
    let later = now + Duration::from_secs(4 * 24 * 3_600);
    let renewed = device.delegated(&identity, &app(), later).unwrap();
    assert!(renewed.delegation().until() > first.delegation().until());
    assert_eq!(DeviceFile::open(&path).unwrap().delegation(), Some(renewed.delegation()));
    // A clock that was ahead when it was signed, by more than clocks may differ: ten minutes for each of two.
    for (ahead, is_kept) in [(20, true), (21, false)] {
        let now = later - Duration::from_secs(ahead * 60);
        let set = device.delegated(&identity, &app(), now).unwrap();
        assert_eq!(set.delegation() == renewed.delegation(), is_kept, "{ahead} minutes");
        assert_eq!(set.delegation().check_window(now), Ok(()));
    }
}

// spec-test: SHELL-11
#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt;
    let home = test_directory("keys-mode");
    let path = home.path().join("identity.json");
    IdentityFile::open_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let why = IdentityFile::open(&path).unwrap_err().to_string();
    assert!(why.ends_with(&format!("chmod 600 {}", path.display())), "{why}");
}

#[test]
fn damaged_foreign_and_newer_files_are_told_apart_and_nothing_is_written_over() {
    let home = test_directory("keys-damaged");
    let path = home.path().join("identity.json");
    IdentityFile::open_or_create(&path).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace(r#""version":1"#, r#""version":2"#)).unwrap();
    assert!(matches!(IdentityFile::open_or_create(&path), Err(KeyError::Newer(_, 2))));
    for bad in ["", "{", "[]", &good[..good.len() / 2], &good.replace("identity", "device")] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(IdentityFile::open_or_create(&path), Err(KeyError::Corrupt(_))), "{bad}");
        assert_eq!(fs::read_to_string(&path).unwrap(), *bad);
    }
}

#[test]
fn nothing_secret_is_shown() {
    let home = test_directory("keys-shown");
    let file = IdentityFile::create(home.path().join("identity.json"), &[0xAB; 32]).unwrap();
    let text = fs::read_to_string(file.path()).unwrap();
    let secret = text.split('"').find(|part| part.len() == 43).unwrap();
    let shown = format!("{file:?}");
    assert!(!shown.contains(secret) && !shown.contains("171, 171"), "{shown}");
}

// spec-test: SHELL-12, NODE-12
#[test]
fn a_passphrase_is_nowhere_but_in_its_stretched_key() {
    let phrase = "seven unlikely herons paint the lighthouse";
    let home = test_directory("keys-phrase");
    let path = home.path().join("identity.json");
    let secret = stretch("alice", phrase, false).unwrap();
    let file = IdentityFile::create(&path, &secret).unwrap();
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([1; 32])));
    let now = WallTime::from_millis(1_800_000_000_000);
    let delegation = Delegation::sign(file.secret(), &keys.grant(app(), now, now + Duration::from_secs(60))).unwrap();
    // All that a node, its peers, its store and its traces can ever be given.
    let made = keys.credentials(delegation.clone());
    let shown =
        [fs::read_to_string(&path).unwrap(), made.to_secret_json().as_str().into(), delegation.to_json(), format!("{file:?} {made:?}")];
    let encoded = URL_SAFE_NO_PAD.encode(phrase);
    for word in ["herons", "lighthouse", encoded.get(4..12).unwrap(), encoded.get(20..28).unwrap()] {
        assert!(!shown.concat().contains(word), "{word}");
    }
    let weak = stretch("alice", "herons", false).unwrap_err();
    assert!(!format!("{weak} {weak:?}").contains("herons"));
}
