//! A new migration must rebuild the crate: `sqlx::migrate!` reads the folder while compiling; so must
//! `./prepare`, which collects what `sqlx::query!` learns about each query meanwhile.
fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
    println!("cargo::rerun-if-env-changed=SQLX_OFFLINE_DIR");
}
