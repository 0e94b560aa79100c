//! Lists experiments/*.toml, so that adding a table is adding a file.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?)
        .join("../../experiments");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files: Vec<_> = fs::read_dir(&root)?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        // The ledger of claims is no experiment (src/claims.rs).
        .filter(|path| path.file_stem().is_none_or(|stem| stem != "claims"))
        .collect();
    files.sort();
    let mut code = String::from(
        "/// Name and text of every built-in experiment, sorted by name.\npub const EXPERIMENTS: &[(&str, &str)] = &[\n",
    );
    for path in files {
        let path = path.canonicalize()?;
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        code.push_str(&format!(
            "    ({stem:?}, include_str!({:?})),\n",
            path.display().to_string()
        ));
    }
    code.push_str("];\n");
    fs::write(
        Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("experiments.rs"),
        code,
    )
}
