//! `/enter`: exchanges the home's token, or the code of a one-time link, for a cookie.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::Layout;
use crate::error::Failure;
use crate::guard::Guard;

#[derive(Template)]
#[template(path = "enter.html")]
struct Page {
    layout: Layout,
    to: String,
    problem: Option<String>,
}

/// Query of `/enter`.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Link {
    code: Option<String>,
    token: Option<String>,
    to: Option<String>,
}

/// The form.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Given {
    #[serde(default)]
    token: String,
    to: Option<String>,
}

/// A path of ours, whatever was asked for: nobody is sent to another site.
pub fn local(path: Option<&str>) -> &str {
    let ours = |path: &str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains(['\\'])
            && path.bytes().all(|b| b.is_ascii_graphic())
    };
    path.filter(|p| ours(p)).unwrap_or("/")
}

fn page(to: &str, status: StatusCode, problem: Option<&str>) -> Result<Response, Failure> {
    let page = Page {
        layout: Layout::bare(""),
        to: to.to_owned(),
        problem: problem.map(str::to_owned),
    };
    Ok((status, Html(page.render()?)).into_response())
}

/// `GET /enter`: a form; with the code of the one-time link the cookie at once.
pub async fn get(
    State(guard): State<Guard>,
    Query(link): Query<Link>,
) -> Result<Response, Failure> {
    let to = local(link.to.as_deref());
    if link.token.is_some() {
        // It would stay in histories and logs.
        let why = "A token in an address is not taken: addresses are kept in histories and logs. Paste it here.";
        return page(to, StatusCode::BAD_REQUEST, Some(why));
    }
    match link.code {
        Some(code) if guard.use_link(&code) => admit(&guard, to),
        Some(_) => {
            let why = "This link was used before, or belongs to a server that has ended. Paste the token here.";
            page(to, StatusCode::UNAUTHORIZED, Some(why))
        }
        None => page(to, StatusCode::OK, None),
    }
}

/// `POST /enter`: the token, for a cookie.
pub async fn post(
    State(guard): State<Guard>,
    Form(given): Form<Given>,
) -> Result<Response, Failure> {
    let to = local(given.to.as_deref());
    match guard.keys()? {
        Some(keys) if keys.is_token(&given.token) => admit(&guard, to),
        _ => {
            let why = "That is not the token of this home.";
            page(to, StatusCode::UNAUTHORIZED, Some(why))
        }
    }
}

fn admit(guard: &Guard, to: &str) -> Result<Response, Failure> {
    let Some(keys) = guard.keys()? else {
        return Ok(Redirect::to(to).into_response());
    };
    let cookie = keys
        .new_cookie()
        .map_err(|e| Failure::internal(format!("A cookie could not be drawn: {e}.")))?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response())
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(local(Some("/queue?a=b")), "/queue?a=b");
        for bad in [
            "",
            "queue",
            "//evil.example",
            "/\\evil",
            "http://e",
            "/a\nb",
        ] {
            assert_eq!(local(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(local(None), "/");
    }
}
