//! Each script of the folder `scripts`, with what its nodes said.

use overcom_simulator::{Sim, script};

#[test]
fn every_script_tells_what_it_told_when_it_was_reviewed() {
    insta::glob!("scripts/*.txt", |path| {
        let text = std::fs::read_to_string(path).unwrap();
        insta::assert_snapshot!(script::run(&text).unwrap());
    });
}

/// The texts of the folder.
fn scripts() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "txt")).collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn what_a_script_told_is_a_script_that_tells_the_same() {
    for text in scripts() {
        let told = script::run(&text).unwrap();
        assert_eq!(script::run(&told).unwrap(), told);
    }
}

#[test]
fn the_scenario_behind_a_script_has_the_same_ladder_on_the_builder_and_from_a_file() {
    for text in scripts() {
        let scenario = script::scenario(&text).unwrap();
        let run = |scenario| {
            let mut sim = Sim::from_scenario(scenario).unwrap();
            assert_eq!(sim.run().unwrap().failure, None);
            sim.ladder().to_string()
        };
        let json = scenario.to_json().unwrap();
        let direct = run(scenario);
        assert_eq!(run(overcom_simulator::Scenario::from_json(&json).unwrap()), direct);
        // At the detail that scripts have unless they say otherwise, their lines are that ladder cut into pieces.
        if !text.contains("detail ") {
            let told = script::run(&text).unwrap();
            let pieces: Vec<&str> =
                told.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| direct.contains(line)).collect();
            let whole: Vec<&str> = direct.lines().collect();
            assert_eq!(pieces, whole);
        }
    }
}
