//! How long files, functions and runtimes may be, and what a runtime may not hold.

use super::{File, Finding, source};

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 500;

/// Lines of a function, from its first line to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

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
        for (line, name, length) in functions(&lines).into_iter().filter(|(_, _, length)| *length > FUNCTION_LINES_MAX) {
            let advice = format!("{name} has {length} lines, {FUNCTION_LINES_MAX} are allowed: name its steps and make them functions");
            findings.push(Finding::new(&file.path, line, advice));
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

/// The functions outside tests: line, name, and length in lines.
fn functions(lines: &[source::Line]) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    // Open functions by the depth at which their braces opened, and the one whose body has not begun.
    let mut open: Vec<(usize, usize, String)> = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    let mut depth = 0_usize;
    for (index, line) in lines.iter().enumerate() {
        let words = source::words(&line.code);
        for (at, c) in line.code.char_indices() {
            if let Some(position) = words.iter().position(|(start, word)| *start == at && *word == "fn") {
                // `fn(` is a type and has no name behind it.
                begun = words.get(position + 1).filter(|(start, _)| *start == at + 3).map(|(_, name)| (index, (*name).to_owned()));
            }
            match c {
                '{' => {
                    depth += 1;
                    open.extend(begun.take().map(|(line, name)| (depth, line, name)));
                }
                '}' => {
                    if let Some((_, line, name)) = open.pop_if(|(opened, _, _)| *opened == depth) {
                        found.push((line + 1, name, index - line + 1));
                    }
                    depth = depth.saturating_sub(1);
                }
                // A signature without a body has ended; the one in `[u8; 2]` follows a word and does not end its line.
                ';' if !line.code[..at].ends_with(|c: char| c.is_alphanumeric()) || line.code.ends_with(';') => begun = None,
                _ => {}
            }
        }
    }
    found.into_iter().filter(|(line, _, _)| !lines[line - 1].is_test).collect()
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
    use super::{FILE_LINES_MAX, FUNCTION_LINES_MAX, File, RUNTIME_LINES_MAX, check};

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
    fn a_long_function_is_found_whatever_stands_inside() {
        let inside = "    let f: fn(u8) = |x| { x; };\n".repeat(FUNCTION_LINES_MAX - 2);
        assert_eq!(advice("core/src/a.rs", &format!("fn a(b: [u8; 2]) {{\n{inside}}}\nfn c() {{}}\n")), Vec::<String>::new());
        assert!(
            advice("core/src/a.rs", &format!("impl A {{\n fn a(\n  b: [u8; 2],\n ) {{\n{inside}}}\n}}\n"))[0].starts_with("a has 72 lines")
        );
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
