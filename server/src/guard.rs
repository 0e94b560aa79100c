//! Who may read and who may change: Host and Origin of every request, the token where it is needed, and
//! the headers that keep a page from loading anything foreign.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Failure;
use crate::token::{self, Keys, text};

/// What HTML pages may load: our own style sheet, script, charts. Nothing inline, nobody else's.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a document that carries its own style (a chart, the one-file report) may do: show itself.
pub const DOCUMENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups";

/// Addresses that take a POST; everything else only shows.
const CHANGING: [&str; 3] = ["/enter", "/requests", "/api/v1/requests"];

/// The rule of one server.
#[derive(Debug, Clone)]
pub struct Guard {
    source: Source,
    /// Reading is open (loopback), else it needs the token too.
    open: bool,
    /// Digest of the code of the one-time link, until somebody uses it.
    link: Arc<Mutex<Option<blake3::Hash>>>,
}

/// Where the token comes from.
#[derive(Debug, Clone)]
enum Source {
    /// There is none: nothing can be changed.
    None,
    /// Known from the start.
    Fixed(Keys),
    /// HOME/server.token or RUNGS_TOKEN, looked up when needed: a home may come later than its server, and
    /// who deletes the file takes all rights back.
    File(PathBuf),
}

/// What a visitor may do; every handler finds it among the request's extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Visitor {
    /// The field of this browser's forms: a cookie was shown.
    pub form_field: Option<String>,
    /// `Authorization: Bearer` held the token.
    pub bearer: bool,
}

impl Guard {
    fn new(source: Source, open: bool) -> Self {
        Guard {
            source,
            open,
            link: Arc::default(),
        }
    }

    /// Reading is open, nothing can be changed; only this machine's names are accepted as Host.
    pub fn loopback() -> Self {
        Guard::new(Source::None, true)
    }

    /// As [`Guard::loopback`], and who has `token` may change things.
    pub fn loopback_with_token(token: &str) -> Self {
        Guard::new(Source::Fixed(Keys::of(token)), true)
    }

    /// Reading needs `token` too.
    pub fn with_token(token: &str) -> Self {
        Guard::new(Source::Fixed(Keys::of(token)), false)
    }

    /// The rule for an address: reading is open on loopback. Elsewhere the token must be there, or be drawn.
    pub fn of_address(ip: IpAddr, token_file: &Path) -> io::Result<Self> {
        if !ip.is_loopback() {
            token::token(token_file)?;
        }
        Ok(Guard::new(
            Source::File(token_file.to_owned()),
            ip.is_loopback(),
        ))
    }

    /// `None` where nothing can be changed. An error says why the token cannot be had.
    pub fn keys(&self) -> Result<Option<Keys>, Failure> {
        match &self.source {
            Source::None => Ok(None),
            Source::Fixed(keys) => Ok(Some(keys.clone())),
            Source::File(path) => match token::token(path) {
                Ok(token) => Ok(Some(Keys::of(&token))),
                Err(error) => Err(Failure {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    code: "no_token",
                    message: format!(
                        "Nothing can be changed: the token file {} cannot be used: {error}.",
                        path.display()
                    ),
                }),
            },
        }
    }

    /// Path and query of a link that gives the right to change things to the first who opens it.
    pub fn one_time_link(&self) -> io::Result<String> {
        let code = token::draw()?;
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(blake3::hash(code.as_bytes()));
        Ok(format!("/enter?code={code}"))
    }

    /// Whether this is the code of the link that nobody has used. Now somebody has.
    pub fn use_link(&self, code: &str) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = *link == Some(blake3::hash(code.as_bytes()));
        if holds {
            *link = None;
        }
        holds
    }

    /// Who asks. Without a cookie and without a token nothing is looked up.
    fn visitor(&self, headers: &HeaderMap) -> Visitor {
        if !headers.contains_key(header::COOKIE) && !headers.contains_key(header::AUTHORIZATION) {
            return Visitor::default();
        }
        match self.keys() {
            Ok(Some(keys)) => Visitor {
                form_field: keys.form_field(headers),
                bearer: keys.bears(headers),
            },
            Ok(None) => Visitor::default(),
            Err(failure) => {
                tracing::warn!("{}", failure.message);
                Visitor::default()
            }
        }
    }
}

/// The middleware before every route.
pub async fn check(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let visitor = guard.visitor(request.headers());
    match refuse(&guard, &visitor, &request) {
        Some(failure) => failure.into_response(),
        None => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
    }
}

fn refuse(guard: &Guard, visitor: &Visitor, request: &Request) -> Option<Failure> {
    let headers = request.headers();
    let path = request.uri().path();
    let host = text(headers, header::HOST)
        .or(request.uri().authority().map(|a| a.as_str()))
        .unwrap_or("");
    // A foreign page that made its own name resolve to 127.0.0.1 still sends its own name here.
    if guard.open && !is_this_machine(host) {
        return Some(Failure {
            status: StatusCode::MISDIRECTED_REQUEST,
            code: "foreign_host",
            message: format!(
                "This server answers to localhost and 127.0.0.1 only, not to {host:?}."
            ),
        });
    }
    let foreign = text(headers, header::ORIGIN).is_some_and(|origin| {
        origin
            .split_once("://")
            .is_none_or(|(_, name)| name != host)
    });
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    // What browsers say of their own accord, also where they leave Origin out.
    let elsewhere = !reading
        && headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin" && site != "none");
    if foreign || elsewhere {
        return Some(Failure {
            status: StatusCode::FORBIDDEN,
            code: "foreign_origin",
            message: "Requests from pages of other sites are refused.".to_owned(),
        });
    }
    let changing = *request.method() == Method::POST && CHANGING.contains(&path);
    if !reading && !changing {
        return Some(Failure {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "read_only",
            message: "This address only shows. What can be changed is asked for by POST to /requests (forms) \
                      or /api/v1/requests (JSON), or with the runner's commands."
                .to_owned(),
        });
    }
    let open = guard.open
        || matches!(path, "/healthz" | "/enter")
        || path.starts_with("/static/")
        || visitor.bearer
        || visitor.form_field.is_some();
    if !open {
        return Some(Failure {
            status: StatusCode::UNAUTHORIZED,
            code: "token_needed",
            message: "Reading needs the home's token: open the one-time link that the server printed, or /enter and \
                      paste the token, or send \"Authorization: Bearer TOKEN\". The token is in the file server.token of the home."
                .to_owned(),
        });
    }
    None
}

/// Whether a Host header (with or without a port) names this machine.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Headers of every answer.
pub async fn seal(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(PAGE_POLICY));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        // Not no-referrer: browsers would send `Origin: null` with our own forms.
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_names_are_hosts() {
        for host in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:1",
            "127.8.0.1",
            "[::1]:80",
            "LOCALHOST:3",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "192.168.0.1",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_one_time_link_works_once() {
        let guard = Guard::loopback_with_token("0123456789abcdef");
        assert!(!guard.use_link(""), "none was made");
        let link = guard.one_time_link().expect("drawn");
        let code = link.strip_prefix("/enter?code=").expect("a link");
        assert!(!guard.use_link("wrong"));
        assert!(guard.use_link(code));
        assert!(!guard.use_link(code));
    }
}
