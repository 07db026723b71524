//! Programs of this workspace, built by the cargo that runs whoever asks, with the same profile or with the other one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where programs of the own profile lie: beside this one, or a folder above a test.
fn folder() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|why| why.to_string())?;
    let mut folder = own.parent().ok_or("this program lies nowhere")?;
    if folder.ends_with("deps") {
        folder = folder.parent().ok_or("tests lie two folders deep")?;
    }
    Ok(folder.into())
}

/// Lets cargo `build` or `run` something in the folder that this program was built in.
pub(crate) fn cargo(verb: &str, optimised: bool) -> Result<Command, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([verb, "--quiet", "--locked", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")]);
    cargo.arg("--target-dir").arg(folder()?.parent().unwrap_or_else(|| Path::new("target")));
    if optimised {
        cargo.arg("--release");
    }
    Ok(cargo)
}

/// The folder of the workspace.
#[allow(dead_code, reason = "not every program that runs programs asks for it")]
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What a program prints, once it has ended well.
#[allow(dead_code, reason = "not every program that runs programs asks for it")]
pub(crate) fn text_of(program: &mut Command) -> Result<String, String> {
    let name = program.get_program().to_string_lossy().into_owned();
    let output = program.output().map_err(|why| format!("{name}: {why}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|why| format!("{name}: {why}"))
}

/// Whether this program is built with the release profile.
pub(crate) const IS_OPTIMISED: bool = !cfg!(debug_assertions);

/// Builds the command line `overcom` with the profile of this program.
pub(crate) fn overcom() -> Result<PathBuf, String> {
    let mut build = cargo("build", IS_OPTIMISED)?;
    build.args(["--bin", "overcom"]);
    if cfg!(test) {
        // Beside a test, which is there already, all below it has the features that tests ask for: nothing is built anew.
        build.args(["--test", "memory"]);
    }
    if !build.status().map_err(|why| format!("cargo: {why}"))?.success() {
        return Err("the command line does not build".into());
    }
    Ok(folder()?.join(format!("overcom{}", std::env::consts::EXE_SUFFIX)))
}
