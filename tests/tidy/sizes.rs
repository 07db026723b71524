//! How long files and runtimes may be, and what a runtime may not hold.

use super::{File, Finding, source};

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 500;

/// Lines of code of a runtime, without comments, blank lines and tests.
const RUNTIME_LINES_MAX: usize = 300;

const RUNTIMES: [&str; 2] = ["runtime-mio/src/", "runtime-smol/src/"];

/// What only a core decides. A runtime that holds it has become a second one.
const CORE_ONLY: &[(&str, &str)] = &[
    ("overcom_core::wire", "runtimes carry bytes: leave messages to core"),
    ("overcom_core::handshake", "runtimes carry bytes: leave proofs to core"),
    ("Map<UserId", "links and peers live in core: key what the runtime holds by pipe or op"),
    ("Map<DeviceId", "links and peers live in core: key what the runtime holds by pipe or op"),
    ("Map<Peer", "links and peers live in core: key what the runtime holds by pipe or op"),
    ("7575", "ports come from the caller or from core's Config"),
    ("retry", "core decides what is tried again: report the failure"),
    ("retries", "core decides what is tried again: report the failure"),
];

fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && !is_test_file(&file.path)) {
        let lines = source::lines(&file.text);
        let length = lines.iter().filter(|line| !line.is_test).count();
        if length > FILE_LINES_MAX {
            let advice = format!("{length} lines before tests, {FILE_LINES_MAX} are allowed: split it by what its parts do");
            findings.push(Finding::new(&file.path, FILE_LINES_MAX + 1, advice));
        }
        if RUNTIMES.iter().any(|runtime| file.path.starts_with(runtime)) {
            findings.extend(policy(file, &lines));
        }
    }
    for runtime in RUNTIMES {
        let own = files.iter().filter(|file| file.is_rust() && file.path.starts_with(runtime) && !is_test_file(&file.path));
        let length: usize = own.map(|file| source::lines(&file.text).iter().filter(|line| !line.is_test && !line.is_blank()).count()).sum();
        if length > RUNTIME_LINES_MAX {
            let advice = format!(
                "{length} lines of code, {RUNTIME_LINES_MAX} are allowed: move what both runtimes need to core::driver or overcom-std"
            );
            findings.push(Finding::new(runtime, 1, advice));
        }
    }
    findings
}

fn policy(file: &File, lines: &[source::Line]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_test) {
        for (word, advice) in CORE_ONLY {
            // Without word borders, so that BTreeMap<UserId is found as well.
            if line.code.contains(word) {
                findings.push(Finding::new(&file.path, index + 1, format!("{word}: {advice}")));
            }
        }
    }
    findings
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs")
}

#[test]
fn files_and_runtimes_stay_short_and_runtimes_hold_no_policy() {
    super::expect_none(&check(&super::repository()));
}

#[cfg(test)]
mod tests {
    use super::{FILE_LINES_MAX, File, RUNTIME_LINES_MAX, check};

    fn advice(path: &str, text: &str) -> Vec<String> {
        check(&[File::new(path, text)]).into_iter().map(|finding| finding.advice).collect()
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "fn a() {}\n".repeat(FILE_LINES_MAX + 1);
        assert!(advice("core/src/a.rs", &long)[0].contains("split it"));
        let tested = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(advice("core/src/a.rs", &tested), Vec::<String>::new());
        assert_eq!(advice("core/src/a/tests.rs", &long), Vec::<String>::new());
    }

    #[test]
    fn a_long_runtime_is_found_and_comments_do_not_count() {
        let code = "fn a() {}\n// why\n\n".repeat(RUNTIME_LINES_MAX / 2);
        assert_eq!(advice("runtime-mio/src/a.rs", &code), Vec::<String>::new());
        let files = ["a", "b", "c"].map(|name| File::new(&format!("runtime-mio/src/{name}.rs"), &code));
        assert!(check(&files)[0].advice.contains("core::driver"));
    }

    #[test]
    fn policy_in_a_runtime_is_found() {
        assert!(advice("runtime-smol/src/a.rs", "use overcom_core::wire::Line;\n")[0].contains("leave messages to core"));
        assert!(advice("runtime-mio/src/a.rs", "peers: BTreeMap<UserId, Pipe>,\n")[0].contains("by pipe"));
        assert_eq!(advice("simulator/src/a.rs", "peers: BTreeMap<UserId, Pipe>,\n"), Vec::<String>::new());
    }
}
