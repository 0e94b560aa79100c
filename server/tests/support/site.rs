//! A small home behind its dashboard, asked without a network.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use rungs_server::guard::Guard;
use rungs_server::{Dashboard, app};
use rungs_spec::home::Home;
use serde_json::Value;
use tower::ServiceExt;

use super::Fate;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

pub async fn ask(app: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:8080");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

pub async fn get(app: &Router, path: &str) -> Answer {
    ask(app, path, &[]).await
}

pub fn dashboard(home: &Home) -> Router {
    app(
        Dashboard::new(home.clone(), home.database()),
        Guard::loopback(),
    )
}

/// One seed of everything but: one run failed, one waits, one was resumed.
pub async fn small_home(dir: &tempfile::TempDir) -> Home {
    let home = Home(dir.path().to_owned());
    let plan = super::plan(&home, "quick", 1);
    super::write(&home, &plan, |row, column, _| match (row, column) {
        ("fp16", "bs256") => Fate::Failed,
        ("fp16", "bs1024") => Fate::Queued,
        ("warmup", "bs1024") => Fate::Done(2),
        _ => Fate::Done(1),
    });
    rungs_store::reindex(&home, &home.database()).await.unwrap();
    home
}
