//! The dependency rules of docs/ARCHITECTURE.md, held by `cargo tree`.
//!
//! Dependencies point one way: spec <- data, store, report <- server <- runner, and
//! spec, data <- trainer. Nobody depends on trainer. And every crate below the workspace has a licence
//! that lets Rungs be MIT OR Apache-2.0.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Workspace crates, and which other workspace crates each may depend on.
const RULES: &[(&str, &[&str])] = &[
    ("rungs-spec", &[]),
    ("rungs-data", &["rungs-spec"]),
    ("rungs-store", &["rungs-spec"]),
    ("rungs-report", &["rungs-spec"]),
    (
        "rungs-server",
        &["rungs-spec", "rungs-data", "rungs-store", "rungs-report"],
    ),
    (
        "rungs-runner",
        &[
            "rungs-spec",
            "rungs-data",
            "rungs-store",
            "rungs-report",
            "rungs-server",
        ],
    ),
    ("rungs-trainer", &["rungs-spec", "rungs-data"]),
];

/// Crates that only the named workspace crates may name in their Cargo.toml.
const OWNERS: &[(&str, &[&str])] = &[
    ("tch", &["rungs-trainer"]),
    ("torch-sys", &["rungs-trainer"]),
    ("sqlx", &["rungs-store"]),
    ("plotters", &["rungs-report"]),
    ("axum", &["rungs-server"]),
];

/// Crates that may not be anywhere below a workspace crate, however deep.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "rungs-spec",
        &[
            "tokio",
            "sqlx",
            "axum",
            "tch",
            "torch-sys",
            "plotters",
            "rayon",
        ],
    ),
    (
        "rungs-data",
        &["tokio", "sqlx", "axum", "tch", "torch-sys", "plotters"],
    ),
    ("rungs-store", &["axum", "tch", "torch-sys", "plotters"]),
    (
        "rungs-report",
        &["tokio", "sqlx", "axum", "tch", "torch-sys"],
    ),
    ("rungs-server", &["tch", "torch-sys"]),
    ("rungs-runner", &["tch", "torch-sys"]),
    (
        "rungs-trainer",
        &["sqlx", "libsqlite3-sys", "axum", "plotters"],
    ),
];

/// Names of the packages that `cargo tree` lists for a package, itself left out.
fn dependencies(package: &str, edges: &str, depth: Option<u32>) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("runner/ lies in the workspace");
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.current_dir(root).args([
        "tree", "-p", package, "-e", edges, "--prefix", "none", "--format", "{p}",
    ]);
    if let Some(depth) = depth {
        cargo.args(["--depth", &depth.to_string()]);
    }
    let output = cargo.output().expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo tree -p {package}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("cargo prints UTF-8")
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != package)
        .map(str::to_owned)
        .collect()
}

#[test]
fn workspace_crates_depend_one_way() {
    for (package, allowed) in RULES {
        let named: Vec<_> = dependencies(package, "normal,build", Some(1))
            .into_iter()
            .filter(|d| d.starts_with("rungs-"))
            .collect();
        for dependency in named {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{package} may not depend on {dependency}"
            );
        }
    }
}

#[test]
fn nobody_depends_on_the_trainer() {
    for (package, _) in RULES
        .iter()
        .filter(|(package, _)| *package != "rungs-trainer")
    {
        let all = dependencies(package, "normal,build,dev", None);
        assert!(
            !all.contains("rungs-trainer"),
            "{package} depends on rungs-trainer; it starts it as a process instead"
        );
    }
}

#[test]
fn each_heavy_crate_has_one_owner() {
    for (package, _) in RULES {
        let direct = dependencies(package, "normal,build", Some(1));
        for (name, owners) in OWNERS {
            assert!(
                !direct.contains(*name) || owners.contains(package),
                "only {} may depend on {name}, not {package}",
                owners.join(", ")
            );
        }
    }
}

#[test]
fn nothing_forbidden_lies_below_a_crate() {
    for (package, forbidden) in FORBIDDEN {
        let all = dependencies(package, "normal,build", None);
        for name in *forbidden {
            assert!(
                !all.contains(*name),
                "{name} lies below {package}: cargo tree -p {package} -i {name}"
            );
        }
    }
}

/// A new workspace crate needs a line in every table above.
#[test]
fn the_tables_name_every_workspace_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("runner/ lies in the workspace");
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .current_dir(root)
        .args([
            "tree",
            "--workspace",
            "--depth",
            "0",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let members: BTreeSet<String> = String::from_utf8(output.stdout)
        .expect("cargo prints UTF-8")
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    let named: BTreeSet<String> = RULES
        .iter()
        .map(|(package, _)| (*package).to_owned())
        .collect();
    assert_eq!(members, named);
}

/// Licences without conditions beyond naming the authors.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    // Mozilla's list of certificate authorities, as data (webpki-roots).
    "CDLA-Permissive-2.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether one alternative of an SPDX expression holds allowed licences only. `/` is the old `OR`.
fn permitted(expression: &str) -> bool {
    // Only the form "(A OR B) AND C" has parentheses here; asking it of A AND C and B AND C alike
    // would need a parser, so each AND part is judged alone.
    let or = |part: &str| {
        part.trim_matches(['(', ')', ' '])
            .replace('/', " OR ")
            .split(" OR ")
            .any(|licence| LICENCES.contains(&licence.trim()))
    };
    expression.split(" AND ").all(or)
}

#[test]
fn every_licence_is_permissive() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("runner/ lies in the workspace");
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .current_dir(root)
        .args([
            "tree",
            "--workspace",
            "-e",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}|{l}"])
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let refused: BTreeSet<&str> = text
        .lines()
        .map(|line| line.trim_end_matches("(*)").trim_end())
        .filter(|line| !line.is_empty())
        .filter(|line| {
            line.split_once('|')
                .is_none_or(|(_, licence)| !permitted(licence))
        })
        .collect();
    assert!(refused.is_empty(), "licences to look at: {refused:#?}");
}
