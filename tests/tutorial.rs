//! Follows `simulator/TUTORIAL.md` word for word, as a newcomer would: in a crate outside of this workspace.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scratch::Scratch;

const PAGE: &str = include_str!("../simulator/TUTORIAL.md");

/// One block of the page: its language and its lines.
fn blocks(page: &str) -> Vec<(&str, Vec<&str>)> {
    let (mut found, mut open) = (Vec::new(), None::<(&str, Vec<&str>)>);
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(language), None) => open = Some((language, Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    found
}

/// Numbers depend on the version of the protocol; what is left of a line does not.
fn without_numbers(line: &str) -> String {
    let hex = |c: char| c.is_ascii_hexdigit();
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        text.push_str(&rest[..at]);
        rest = rest[at..]
            .strip_prefix("0x")
            .map_or_else(|| rest[at..].trim_start_matches(|c: char| c.is_ascii_digit()), |r| r.trim_start_matches(hex));
        text.push('#');
    }
    text + rest
}

/// Where the crate is built: beside what this program was built in, so that the next run finds what it needs.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).expect("a test lies three folders deep").join("tutorial")
}

struct Follower {
    crate_dir: PathBuf,
    /// What the last command said.
    said: String,
}

impl Follower {
    /// The file that a block's first line names.
    fn file(&self, first: &str) -> PathBuf {
        self.crate_dir.join(first.trim_start_matches(['/', '#', ' ']))
    }

    fn write(&self, lines: &[&str]) {
        let path = self.file(lines[0]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut text = lines.join("\n") + "\n";
        for (package, folder) in [("overcom-core", "core"), ("overcom-simulator", "simulator")] {
            let here = format!("{package} = {{ path = {:?} }}", root.join(folder));
            text = text.replace(&format!("{package} = \"0.1\""), &here);
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Each run of `-` lines stands in the file once, and the run of `+` lines behind it takes its place.
    fn patch(&self, lines: &[&str]) {
        let path = self.file(lines[0]);
        let mut text = fs::read_to_string(&path).unwrap();
        let signed = |sign: char, lines: &[&str]| {
            lines.iter().take_while(|line| line.starts_with(sign)).map(|line| format!("{}\n", &line[1..])).collect::<Vec<_>>()
        };
        let mut rest = &lines[1..];
        while !rest.is_empty() {
            let old = signed('-', rest);
            let new = signed('+', &rest[old.len()..]);
            rest = &rest[old.len() + new.len()..];
            let (old, new) = (old.concat(), new.concat());
            assert_eq!(text.matches(&old).count(), 1, "{} should hold once:\n{old}", path.display());
            text = text.replace(&old, &new);
        }
        fs::write(path, text).unwrap();
    }

    /// Runs a command and looks for the lines that the page shows, in the order of the page or in another one.
    fn run(&mut self, command: &str, shown: &[&str]) {
        let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let variables: Vec<(String, String)> = std::iter::from_fn(|| {
            let (name, value) = words.first()?.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))?;
            words.remove(0);
            Some((name, value))
        })
        .collect();
        if words[0] == "cd" || words[..2] == ["cargo", "new"] {
            return; // It is where it is; the files that follow are all there is in it.
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(&words[1..]).current_dir(&self.crate_dir).env("CARGO_TARGET_DIR", target());
        cargo.env("CARGO_NET_OFFLINE", "true").env("INSTA_UPDATE", "no").env_remove("OVERCOM_SEEDS");
        for (name, value) in variables {
            if name == "OVERCOM_SEED" {
                let told = self.said.split("OVERCOM_SEED=").nth(1).and_then(|rest| rest.split(' ').next());
                assert_eq!(told, Some(&*value), "the seed that was told and the one on the page");
            }
            cargo.env(&name, &value);
        }
        let output = cargo.output().unwrap();
        self.said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let said: BTreeSet<String> = self.said.lines().map(|line| without_numbers(line.trim_end())).collect();
        for line in shown {
            assert!(said.contains(&without_numbers(line)), "`{command}` did not say\n{line}\nbut\n{}", self.said);
        }
        let must_pass = shown.iter().any(|line| line.ends_with("... ok"));
        assert_eq!(output.status.success(), must_pass, "`{command}` said\n{}", self.said);
    }
}

#[test]
fn whoever_follows_the_tutorial_has_a_failing_seed_and_mends_it() {
    let scratch = Scratch::new("tutorial");
    let mut follower = Follower { crate_dir: scratch.path().join("score"), said: String::new() };
    fs::create_dir_all(&follower.crate_dir).unwrap();
    // The versions that this workspace has already, so that nothing is asked of the network.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    fs::copy(lock, follower.crate_dir.join("Cargo.lock")).unwrap();
    let mut commands = 0;
    for (language, lines) in blocks(PAGE) {
        match language {
            "toml" | "rust" => follower.write(&lines),
            "diff" => follower.patch(&lines),
            "console" => {
                let mut rest = &lines[..];
                while let Some((first, after)) = rest.split_first() {
                    let shown = after.iter().take_while(|line| !line.starts_with("$ ")).count();
                    follower.run(first.strip_prefix("$ ").expect("a command"), &after[..shown]);
                    (rest, commands) = (&after[shown..], commands + 1);
                }
            }
            other => panic!("a block of {other:?}: the follower knows toml, rust, diff and console"),
        }
    }
    assert_eq!(commands, 9, "every command of the page was run");
}

#[test]
fn lines_are_compared_without_their_numbers() {
    assert_eq!(without_numbers("seed 0x1fa  t=12.5s s3"), "seed #  t=#.#s s#");
    assert_ne!(without_numbers("test a ... ok"), without_numbers("test a ... FAILED"));
}
