//! Who may read: Host and Origin of every request, the token of a server that other machines can
//! reach, and the headers that keep a page from loading anything foreign.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::error::Failure;

/// What HTML pages may load: our own style sheet, script, charts. Nothing inline, nobody else's.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a document that carries its own style (a chart, the one-file report) may do: show itself.
pub const DOCUMENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups";

const COOKIE: &str = "rungs";

/// The rule of one server.
#[derive(Debug, Clone)]
pub struct Guard {
    /// `Some` where reading needs it: the digest of the token.
    token: Option<Arc<blake3::Hash>>,
}

impl Guard {
    /// Reading is open; only this machine's names are accepted as Host.
    pub fn loopback() -> Self {
        Guard { token: None }
    }

    /// Reading needs `token`.
    pub fn with_token(token: &str) -> Self {
        Guard {
            token: Some(Arc::new(blake3::hash(token.as_bytes()))),
        }
    }

    /// The rule for an address: open on loopback, else with the home's token.
    pub fn of_address(ip: IpAddr, token_file: &Path) -> io::Result<Self> {
        if ip.is_loopback() {
            Ok(Guard::loopback())
        } else {
            Ok(Guard::with_token(&token(token_file)?))
        }
    }

    /// Compared as digests, which takes the same time wherever they differ.
    fn token_holds(&self, given: &str) -> bool {
        self.token
            .as_ref()
            .is_some_and(|digest| **digest == blake3::hash(given.as_bytes()))
    }

    /// What the cookie holds: derived, so that the token itself stays out of the browser.
    fn cookie_value(digest: &blake3::Hash) -> String {
        blake3::derive_key("rungs 2026 dashboard cookie", digest.as_bytes())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    fn may_read(&self, headers: &HeaderMap) -> bool {
        let Some(digest) = &self.token else {
            return true;
        };
        let text = |name| {
            headers
                .get(name)
                .and_then(|v: &HeaderValue| v.to_str().ok())
        };
        if text(header::AUTHORIZATION)
            .and_then(|v| v.strip_prefix("Bearer "))
            .is_some_and(|t| self.token_holds(t))
        {
            return true;
        }
        let expected = blake3::hash(Self::cookie_value(digest).as_bytes());
        text(header::COOKIE)
            .unwrap_or("")
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == COOKIE && blake3::hash(value.as_bytes()) == expected)
    }
}

/// The token that `RUNGS_TOKEN` or the file holds; a new one is drawn and written (mode 0600) where
/// there is none.
pub fn token(file: &Path) -> io::Result<String> {
    use std::io::{Read, Write};
    use std::os::unix::fs::OpenOptionsExt;
    if let Ok(token) = std::env::var("RUNGS_TOKEN")
        && !token.is_empty()
    {
        return Ok(token);
    }
    match std::fs::read_to_string(file) {
        Ok(text) if text.trim().len() >= 16 => return Ok(text.trim().to_owned()),
        Ok(_) => {
            return Err(io::Error::other(format!(
                "{} holds no token of 16 characters or more; delete it and a new one is drawn",
                file.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut random = [0_u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    out.write_all(token.as_bytes())?;
    out.sync_all()?;
    Ok(token)
}

/// The middleware before every route.
pub async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match refuse(&guard, &request) {
        Some(failure) => failure.into_response(),
        None => next.run(request).await,
    }
}

fn refuse(guard: &Guard, request: &Request) -> Option<Failure> {
    let headers = request.headers();
    let text = |name| {
        headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
    };
    let host = text(header::HOST)
        .or(request.uri().authority().map(|a| a.as_str()))
        .unwrap_or("");
    // A foreign page that made its own name resolve to 127.0.0.1 still sends its own name here.
    if guard.token.is_none() && !is_this_machine(host) {
        return Some(Failure {
            status: StatusCode::MISDIRECTED_REQUEST,
            code: "foreign_host",
            message: format!(
                "This server answers to localhost and 127.0.0.1 only, not to {host:?}."
            ),
        });
    }
    if let Some(origin) = text(header::ORIGIN)
        && origin
            .split_once("://")
            .is_none_or(|(_, name)| name != host)
    {
        return Some(Failure {
            status: StatusCode::FORBIDDEN,
            code: "foreign_origin",
            message: "Requests from pages of other sites are refused.".to_owned(),
        });
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(Failure {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "read_only",
            message: "The dashboard only shows; it changes nothing. Use the runner's commands."
                .to_owned(),
        });
    }
    let open = matches!(request.uri().path(), "/healthz" | "/enter")
        || request.uri().path().starts_with("/static/");
    if !open && !guard.may_read(headers) {
        return Some(Failure {
            status: StatusCode::UNAUTHORIZED,
            code: "token_needed",
            message: "Reading needs the home's token: open /enter?token=TOKEN once, or send \"Authorization: Bearer TOKEN\". \
                      The token is in the file server.token of the home."
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

/// Query of `/enter`.
#[derive(serde::Deserialize)]
pub struct Enter {
    /// The home's token.
    token: String,
}

/// `GET /enter?token=`: exchanges the token for a cookie, once.
pub async fn enter(
    State(guard): State<Guard>,
    Query(query): Query<Enter>,
) -> Result<Response, Failure> {
    let Some(digest) = guard.token.clone() else {
        return Ok(Redirect::to("/").into_response());
    };
    if !guard.token_holds(query.token.trim()) {
        return Err(Failure {
            status: StatusCode::UNAUTHORIZED,
            code: "wrong_token",
            message:
                "That is not the token of this home. It is in the file server.token of the home."
                    .to_owned(),
        });
    }
    let cookie = format!(
        "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000",
        Guard::cookie_value(&digest)
    );
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
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
        HeaderValue::from_static("no-referrer"),
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
    fn the_cookie_is_not_the_token() {
        let guard = Guard::with_token("0123456789abcdef");
        let digest = guard.token.clone().expect("a token was given");
        let value = Guard::cookie_value(&digest);
        let mut headers = HeaderMap::new();
        assert!(!guard.may_read(&headers));
        headers.insert(
            header::COOKIE,
            HeaderValue::from_str(&format!("a=b; rungs={value}")).expect("ascii"),
        );
        assert!(guard.may_read(&headers));
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("rungs=0123456789abcdef"),
        );
        assert!(!guard.may_read(&headers));
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_static("Bearer 0123456789abcdef"),
        );
        assert!(guard.may_read(&headers));
    }

    #[test]
    fn a_token_is_drawn_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("server.token");
        let first = token(&file).expect("drawn");
        assert_eq!(first.len(), 64);
        assert_eq!(token(&file).expect("read"), first);
        let mode = std::fs::metadata(&file)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
