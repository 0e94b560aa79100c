//! What a visitor is told when something does not work: the status, a code for programs, and one
//! paragraph that names the cure. Pages show it as HTML, `/api/` as `{error_code, message}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rungs_report::ReportError;
use rungs_spec::SpecError;
use rungs_store::StoreError;

use crate::view::ViewError;

/// A request that got no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable word for programs.
    pub code: &'static str,
    /// One paragraph: what, where, the cure.
    pub message: String,
}

impl Failure {
    /// 404.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Failure {
            status: StatusCode::NOT_FOUND,
            code,
            message: message.into(),
        }
    }
    /// 400.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Failure {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
        }
    }
    /// 500: our fault, or the home's.
    pub fn internal(message: impl Into<String>) -> Self {
        Failure {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "internal",
            message: message.into(),
        }
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        Failure {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "bad_experiment",
            message: error.to_string(),
        }
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::NotForThisTable { .. } => {
                Failure::bad_request("no_such_format", error.to_string())
            }
            error => Failure::internal(crate::human::chain(&error)),
        }
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Spec(error) => error.into(),
            ViewError::Store(error) => error.into(),
            ViewError::Profile { .. } => Failure::bad_request("bad_profile", error.to_string()),
            ViewError::File { .. } => Failure::internal(error.to_string()),
        }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Failure::internal(format!("The page could not be written: {error}."))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::NotFound { .. } => (StatusCode::NOT_FOUND, "no_such_run"),
            StoreError::Ambiguous { .. } => (StatusCode::BAD_REQUEST, "ambiguous_run"),
            StoreError::Missing { .. } => (StatusCode::NOT_FOUND, "no_database"),
            // It can come back by itself, or when somebody does what the message says.
            StoreError::Foreign { .. }
            | StoreError::NewerVersion { .. }
            | StoreError::OlderVersion { .. }
            | StoreError::Locked { .. }
            | StoreError::CannotOpen { .. }
            | StoreError::NotWritable { .. }
            | StoreError::Damaged { .. } => (StatusCode::SERVICE_UNAVAILABLE, "database"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "database"),
        };
        Failure {
            status,
            code,
            message: crate::human::chain(&error),
        }
    }
}

/// The body of an error under `/api/`.
#[derive(serde::Serialize)]
struct Body<'a> {
    error_code: &'a str,
    message: &'a str,
}

/// JSON by default; [`crate::pages::error_page`] rewrites it for people.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(code = self.code, message = self.message, "a request failed");
        }
        let body = Json(Body {
            error_code: self.code,
            message: &self.message,
        })
        .into_response();
        let mut response = (self.status, body).into_response();
        response.extensions_mut().insert(self);
        response
    }
}
