//! Replays what fuzzers have found, and what they start from, with a stable compiler.

use std::path::Path;

use overcom_core::fuzz;

#[path = "fuzz/entrances/key_file.rs"]
mod key_file;
#[path = "fuzz/entrances/scenario.rs"]
mod scenario;
#[path = "fuzz/entrances/script.rs"]
mod script;

type Entrance = fn(&[u8]) -> bool;

const ENTRANCES: [(&str, Entrance); 16] = [
    ("strict", fuzz::strict),
    ("line", fuzz::line),
    ("datagram", fuzz::datagram),
    ("record", fuzz::record),
    ("delegation", fuzz::delegation),
    ("revocation", fuzz::revocation),
    ("text", fuzz::text),
    ("invitation", fuzz::invitation),
    ("secrets", fuzz::secrets),
    ("recording", fuzz::recording),
    ("boot", fuzz::boot),
    ("peer", fuzz::peer),
    ("node", fuzz::node),
    ("scenario", scenario::scenario),
    ("script", script::script),
    ("key_file", key_file::key_file),
];

#[test]
fn every_file_of_every_corpus_is_taken_as_promised() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, entrance) in ENTRANCES {
        let mut files: Vec<_> = std::fs::read_dir(corpus.join(name))
            .expect("each target has a corpus")
            .map(|entry| entry.expect("an entry of a folder can be read").path())
            .collect();
        files.sort();
        assert!(files.len() >= 3, "the corpus of {name} is empty");
        for file in files {
            let bytes = std::fs::read(&file).expect("a file of the corpus can be read");
            assert!(entrance(&bytes), "{}", file.display());
        }
    }
}

#[test]
fn every_corpus_has_an_entrance_and_every_entrance_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for entry in std::fs::read_dir(folder.join("corpus")).expect("the corpora can be listed") {
        let name = entry.expect("an entry of a folder can be read").file_name();
        assert!(ENTRANCES.iter().any(|(known, _)| name == *known), "{name:?} is replayed by nothing");
    }
    for (name, _) in ENTRANCES {
        let target = std::fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).expect("each entrance has a target");
        assert!(target.contains(&format!("::{name}(bytes))")) && target.contains("assert!("), "{name} checks nothing");
    }
}
