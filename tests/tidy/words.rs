//! Words that do not belong in this repository, each with what to write instead.

use super::{File, Finding, source};

/// Where a word is looked for.
#[derive(Clone, Copy, PartialEq)]
enum In {
    /// Code without comments and literals, outside tests.
    Code,
    /// Everything, comments and prose included.
    Text,
}

struct Word {
    word: &'static str,
    place: In,
    /// Beginnings of the paths where it is looked for; empty means everywhere.
    under: &'static [&'static str],
    /// Beginnings of the paths where it is right.
    except: &'static [&'static str],
    instead: &'static str,
}

const LIBRARIES: &[&str] = &["core/src/", "runtime-std/src/", "runtime-mio/src/", "runtime-smol/src/", "simulator/src/"];
/// Whoever reads their answers may be gone, and what holds them may be full.
const COMMAND_LINES: &[&str] = &["runtime-smol/cli/src/", "simulator/cli/src/"];
const THIS: &str = "tests/tidy/words.rs";

const WORDS: &[Word] = &[
    Word { word: "todo!", place: In::Code, under: &[], except: &[], instead: "write it, or leave the whole function out" },
    Word { word: "unimplemented!", place: In::Code, under: &[], except: &[], instead: "write it, or leave the whole function out" },
    Word { word: "TODO", place: In::Text, under: &[], except: &[], instead: "do it, or file an issue" },
    Word { word: "FIXME", place: In::Text, under: &[], except: &[], instead: "fix it, or file an issue" },
    Word {
        word: "HashMap",
        place: In::Code,
        under: &["core/src/"],
        except: &["core/src/map.rs"],
        instead: "crate::map::Map, or BTreeMap to walk it",
    },
    Word {
        word: "HashSet",
        place: In::Code,
        under: &["core/src/"],
        except: &["core/src/map.rs"],
        instead: "crate::map, or BTreeSet to walk it",
    },
    Word {
        word: "Instant::now",
        place: In::Code,
        under: &[],
        except: &["runtime-std/src/", "tests/compare/ruler/"],
        instead: "overcom_std::Clock",
    },
    Word { word: "SystemTime::now", place: In::Code, under: &[], except: &["runtime-std/src/"], instead: "overcom_std::Clock" },
    Word { word: "println!", place: In::Code, under: LIBRARIES, except: &[], instead: "a notice, an error or a return value" },
    Word { word: "eprintln!", place: In::Code, under: LIBRARIES, except: &[], instead: "a notice, an error or a return value" },
    Word { word: "println!", place: In::Code, under: COMMAND_LINES, except: &[], instead: "print, which does not panic when nobody reads" },
    Word { word: "print!", place: In::Code, under: COMMAND_LINES, except: &[], instead: "print, which does not panic when nobody reads" },
    Word { word: "eprintln!", place: In::Code, under: COMMAND_LINES, except: &[], instead: "say, which does not panic when nobody reads" },
    Word { word: "eprint!", place: In::Code, under: COMMAND_LINES, except: &[], instead: "say, which does not panic when nobody reads" },
    Word { word: "/work/", place: In::Text, under: &[], except: &[], instead: "a path inside the repository" },
    Word { word: "/tmp/", place: In::Text, under: &[], except: &[], instead: "std::env::temp_dir, mktemp or a path in target" },
    Word { word: "shared/", place: In::Text, under: &[], except: &[], instead: "the thing itself, told in the repository" },
    Word { word: "DECISIONS", place: In::Text, under: &[], except: &[], instead: "a clause of core/SPEC.md, or the reason" },
    Word { word: "token", place: In::Code, under: &["core/src/identity/"], except: &[], instead: "delegation" },
];

fn check(file: &File) -> Vec<Finding> {
    if file.path == THIS {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let lines = if file.is_rust() { source::lines(&file.text) } else { Vec::new() };
    for word in WORDS.iter().filter(|word| word.applies_to(&file.path)) {
        let mut find = |index: usize| findings.push(Finding::new(&file.path, index + 1, format!("{}: write {}", word.word, word.instead)));
        match word.place {
            In::Text => file.text.lines().enumerate().filter(|(_, text)| source::holds(text, word.word)).for_each(|(index, _)| find(index)),
            In::Code => {
                let code = lines.iter().enumerate().filter(|(_, line)| !line.is_test);
                code.filter(|(_, line)| source::holds(&line.code, word.word)).for_each(|(index, _)| find(index));
            }
        }
    }
    for (index, line) in lines.iter().enumerate() {
        if let Some(name) = host_type(&line.code) {
            findings.push(Finding::new(
                &file.path,
                index + 1,
                format!("{name}: write Shell for what drives a core, Machine for what it runs on"),
            ));
        }
    }
    findings
}

impl Word {
    fn applies_to(&self, path: &str) -> bool {
        let is_under = |beginnings: &[&str]| beginnings.iter().any(|beginning| path.starts_with(beginning));
        (self.under.is_empty() || is_under(self.under)) && !is_under(self.except)
    }
}

/// A type that is named after hosts. `HostName` and the like are about names of the DNS and stay.
fn host_type(code: &str) -> Option<&str> {
    let words: Vec<&str> = source::words(code).into_iter().map(|(_, word)| word).collect();
    let names = words.windows(2).filter(|pair| matches!(pair[0], "struct" | "enum" | "trait" | "type"));
    names.map(|pair| pair[1]).find(|name| name.ends_with("Host"))
}

#[test]
fn no_file_holds_a_word_that_has_a_better_one() {
    let findings: Vec<Finding> = super::repository().iter().flat_map(check).collect();
    super::expect_none(&findings);
}

#[cfg(test)]
mod tests {
    use super::{File, WORDS, check};

    fn advice(path: &str, text: &str) -> Vec<String> {
        check(&File::new(path, text)).into_iter().map(|finding| finding.advice).collect()
    }

    #[test]
    fn each_word_is_found_where_it_is_wrong_and_its_replacement_named() {
        for word in WORDS {
            let path = format!("{}x.rs", word.under.first().unwrap_or(&"core/src/"));
            let found = advice(&path, &format!("a {} b\n", word.word));
            assert!(found.iter().any(|advice| advice.contains(word.instead)), "{} is not found in {path}", word.word);
            for right in word.except {
                let path = format!("{right}{}", if right.ends_with('/') { "x.rs" } else { "" });
                assert!(!advice(&path, &format!("a {} b\n", word.word)).iter().any(|advice| advice.contains(word.instead)), "{path}");
            }
        }
    }

    #[test]
    fn comments_may_name_what_code_may_not() {
        assert_eq!(advice("core/src/a.rs", "// no HashMap here\nlet a = \"todo!\";\n"), Vec::<String>::new());
    }

    #[test]
    fn a_type_named_after_hosts_is_found() {
        assert!(advice("simulator/src/a.rs", "pub struct SimHost {\n")[0].contains("Machine"));
        assert_eq!(advice("core/src/a.rs", "struct HostName;\n"), Vec::<String>::new());
    }
}
