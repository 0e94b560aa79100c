//! A new migration must rebuild the crate: `sqlx::migrate!` reads the folder while compiling.
fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
