//! The style sheet and the script: built into the binary, cached by their content.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::error::Failure;

#[derive(RustEmbed)]
#[folder = "../static"]
struct Static;

/// `/static/NAME?v=DIGEST`: the digest makes the address new whenever the content is, so a browser
/// may keep it for ever.
pub fn address(name: &str) -> String {
    match Static::get(name) {
        Some(file) => {
            let digest = file.metadata.sha256_hash();
            let v: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
            format!("/static/{name}?v={v}")
        }
        None => format!("/static/{name}"),
    }
}

/// `GET /static/{name}`
pub async fn get(Path(name): Path<String>) -> Result<Response, Failure> {
    let file = Static::get(&name)
        .ok_or_else(|| Failure::not_found("no_such_file", format!("There is no file {name:?}.")))?;
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, file.data.into_owned()).into_response())
}
