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
    let commit = std::process::Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output();
    if let Ok(output) = commit
        && output.status.success()
    {
        println!(
            "cargo:rustc-env=RUNGS_COMMIT={}",
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
}
