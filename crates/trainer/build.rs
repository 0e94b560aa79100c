//! Lets the programs find libtorch with no environment variable.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=RUNGS_LIBTORCH=");
    // `target/release/trainer` beside `.libtorch/`, and `bin/trainer` beside `lib/rungs/` once installed.
    for origin in ["$ORIGIN/../../.libtorch/lib", "$ORIGIN/../lib/rungs"] {
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{origin}");
    }
    // The libtorch of this build, wherever it is: unit tests and other target directories need it.
    if let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") {
        let lib = std::path::absolute(PathBuf::from(&lib)).unwrap_or_else(|_| PathBuf::from(&lib));
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
        if lib.join("libtorch_cuda.so").exists() {
            // Nothing of ours names a symbol of it, so the linker would leave it out.
            println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
            println!("cargo:rustc-link-arg=-ltorch_cuda");
        }
        let version = std::fs::read_to_string(lib.join("../build-version")).unwrap_or_default();
        println!("cargo:rustc-env=RUNGS_LIBTORCH={}", version.trim());
    }
    // The commit has to be that of the code built: asked again whenever one of them changes.
    for code in ["src", "../spec/src", "../data/src"] {
        println!("cargo:rerun-if-changed={code}");
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && std::path::Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    if let Some(commit) = git(&[
        "describe",
        "--always",
        "--dirty",
        "--exclude=*",
        "--abbrev=12",
    ]) {
        println!("cargo:rustc-env=RUNGS_COMMIT={commit}");
    }
}

/// What git says about this work tree, if it is one.
fn git(arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new("git")
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
