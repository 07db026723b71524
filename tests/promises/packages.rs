//! What is published: each crate packs with its readme, keywords, categories and the Rust that it needs, and pulls in nothing of the tests.

use serde_json::Value;

use super::root;
use crate::program;

fn packages() -> Vec<Value> {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let output = cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo tells what there is");
    let all = metadata["packages"].as_array().cloned().unwrap_or_default();
    // `publish = false` is an empty list of registries.
    all.into_iter().filter(|package| package["publish"].is_null()).collect()
}

fn words<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    value[field].as_array().map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// What a registry and its readers need, as far as it is missing.
fn missing(package: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for field in ["description", "license", "repository", "readme", "rust_version"] {
        if package[field].as_str().is_none_or(str::is_empty) {
            missing.push(field.to_owned());
        }
    }
    let (keywords, categories) = (words(package, "keywords"), words(package, "categories"));
    if !(1..=5).contains(&keywords.len()) || keywords.iter().any(|keyword| keyword.len() > 20) {
        missing.push(format!("1 to 5 keywords of at most 20 characters, not {keywords:?}"));
    }
    if !(1..=5).contains(&categories.len()) {
        missing.push(format!("1 to 5 categories, not {categories:?}"));
    }
    missing
}

#[test]
fn each_published_crate_says_what_a_registry_and_its_readers_need() {
    let packages = packages();
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for name in ["overcom", "overcom-core", "overcom-mio", "overcom-sim", "overcom-simulator", "overcom-smol", "overcom-std"] {
        assert!(names.contains(&name), "{name} is not published: {names:?}");
    }
    for package in &packages {
        assert_eq!(missing(package), Vec::<String>::new(), "{}", package["name"]);
        let folder = std::path::Path::new(package["manifest_path"].as_str().unwrap_or_default())
            .parent()
            .expect("a manifest lies in a folder")
            .to_owned();
        let readme = std::fs::read_to_string(folder.join(package["readme"].as_str().unwrap_or_default())).unwrap_or_default();
        assert!(
            readme.starts_with(&format!("# {}\n", package["name"].as_str().unwrap_or_default())),
            "{}: its readme names it first",
            package["name"]
        );
    }
    assert_eq!(missing(&serde_json::json!({"keywords": [], "categories": ["a"]})).len(), 6, "what is missing is found");
}

#[test]
fn each_crate_names_the_rust_that_its_dependencies_need_and_clippy_holds_it_to_it() {
    let workspace = super::read("Cargo.toml");
    let said = workspace.split_once("rust-version = \"").and_then(|(_, rest)| rest.split_once('"')).map(|(version, _)| version).unwrap();
    for package in packages() {
        assert_eq!(package["rust_version"], said, "{}", package["name"]);
    }
    assert!(workspace.contains("incompatible_msrv = \"deny\""));
    assert!(super::read("README.md").contains(&format!("Rust {said} or newer")), "the README tells another Rust than {said}");
    let newest = newest_rust_of_dependencies();
    assert!(version(said) >= version(&newest), "a dependency needs Rust {newest}, the workspace says {said}");
}

/// The newest Rust that any package of the published crates' trees asks for.
fn newest_rust_of_dependencies() -> String {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    // Only what this machine builds: the rest need not have been fetched.
    let rustc = std::process::Command::new("rustc").arg("-vV").current_dir(root()).output().unwrap();
    let about = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc tells its host");
    cargo.args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", host]);
    let output = cargo.current_dir(root()).output().unwrap();
    let metadata: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&output.stderr)));
    let of = |package: &Value| package["rust_version"].as_str().map(str::to_owned);
    let all: Vec<String> = metadata["packages"].as_array().into_iter().flatten().filter_map(of).collect();
    all.into_iter().max_by_key(|text| version(text)).expect("some say it")
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).chain([0, 0]).take(3).collect()
}

#[test]
fn no_published_crate_needs_what_only_tests_need_and_no_library_a_command_line() {
    for package in packages() {
        let is_library = package["targets"].as_array().into_iter().flatten().any(|target| target["kind"][0] == "lib");
        let normal = package["dependencies"].as_array().into_iter().flatten().filter(|dependency| dependency["kind"].is_null());
        let names: Vec<&str> = normal.filter_map(|dependency| dependency["name"].as_str()).collect();
        for forbidden in ["insta", "proptest", "syn", "overcom-tests"] {
            assert!(!names.contains(&forbidden), "{} needs {forbidden}", package["name"]);
        }
        for forbidden in ["clap", "indicatif", "tracing-subscriber"] {
            assert!(!is_library || !names.contains(&forbidden), "the library {} needs {forbidden}", package["name"]);
        }
        assert!(package["name"] == "overcom-core" || names.contains(&"overcom-core"), "dependencies were read");
    }
}

#[test]
fn each_published_crate_packs() {
    let mut cargo = program::cargo("package", false).unwrap();
    cargo.args(["--workspace", "--exclude", "overcom-tests", "--no-verify", "--allow-dirty", "--offline"]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("package");
    for package in packages() {
        let (name, version) = (package["name"].as_str().unwrap_or_default(), package["version"].as_str().unwrap_or_default());
        let packed = target.join(format!("{name}-{version}.crate"));
        let bytes = std::fs::metadata(&packed).map(|file| file.len()).unwrap_or(0);
        assert!((1..10 << 20).contains(&bytes), "{} has {bytes} bytes", packed.display());
    }
}
