//! Names the build: a hash over core's sources, so that a recording can say which code it belongs to.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files)?;
    // By path, so that the order in which a file system lists its files does not matter.
    files.sort();
    let mut hash = Fnv::new();
    for file in &files {
        let name: Vec<_> = file.strip_prefix(&root).unwrap_or(file).components().map(|part| part.as_os_str().to_string_lossy()).collect();
        hash.add(name.join("/").as_bytes());
        hash.add(&[0]);
        // Line ends differ between checkouts, the code does not.
        let text: Vec<u8> = fs::read(file)?.into_iter().filter(|byte| *byte != b'\r').collect();
        hash.add(&text);
        hash.add(&[0]);
    }
    println!("cargo::rustc-env=OVERCOM_SOURCES={:016x}", hash.0);
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// Every Rust source file under `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// FNV-1a with 64 bits: it tells builds apart, it guards nothing.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
