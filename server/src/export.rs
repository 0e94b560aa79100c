//! Downloads of a table: `/tables/{experiment}.csv`, `.json`, `.md`, `.tex`, `.html`.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use rungs_report::export::{self, Format, Round};

use crate::error::Failure;
use crate::guard::DOCUMENT_POLICY;
use crate::view::View;

const SUFFIXES: [(&str, Format); 5] = [
    (".csv", Format::Csv),
    (".json", Format::Json),
    (".md", Format::Markdown),
    (".tex", Format::Latex),
    (".html", Format::Html),
];

/// `table4.csv` → `table4`, csv. A name without one of the suffixes is a page.
pub fn suffix(path: &str) -> Option<(&str, Format)> {
    SUFFIXES
        .into_iter()
        .find_map(|(suffix, format)| Some((path.strip_suffix(suffix)?, format)))
}

/// The download. `round` speaks of LaTeX.
pub fn response(view: &View, format: Format, round: Round) -> Result<Response, Failure> {
    let table = &view.table;
    let text = export::export(&view.source(), format, round)?;
    let profile = table
        .profile
        .as_deref()
        .map_or(String::new(), |p| format!("-{p}"));
    let how = if matches!(format, Format::Json | Format::Html) {
        "inline"
    } else {
        "attachment"
    };
    let name = format!(
        "{how}; filename=\"{}{profile}.{}\"",
        table.experiment,
        format.ending()
    );
    let mut response = ([(header::CONTENT_TYPE, format.media_type())], text).into_response();
    let headers = response.headers_mut();
    if let Ok(value) = name.parse() {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if matches!(format, Format::Html) {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            axum::http::HeaderValue::from_static(DOCUMENT_POLICY),
        );
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_a_format_and_the_rest_the_name() {
        assert!(matches!(
            suffix("table4.csv"),
            Some(("table4", Format::Csv))
        ));
        assert!(matches!(
            suffix("my.table.html"),
            Some(("my.table", Format::Html))
        ));
        assert!(suffix("table4").is_none() && suffix("table4.pdf").is_none());
    }
}
