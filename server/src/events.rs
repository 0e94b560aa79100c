//! `/api/v1/events`: tells open pages that there is something new. It pushes the change counter,
//! nothing else; a page then fetches itself again.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_core::Stream;

use crate::state::Dashboard;

/// How often the counter is read, per open page: one indexed row.
const EVERY: Duration = Duration::from_millis(500);

/// Query of the stream.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Since {
    /// The counter last seen.
    cursor: Option<u64>,
}

/// The stream: the counter at once, then after every change. A page that comes back says what it has seen, in
/// `cursor` or as browsers do in `Last-Event-ID`, and hears nothing before there is more.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Query(since): Query<Since>,
    headers: axum::http::HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let resumed = headers
        .get("last-event-id")
        .and_then(|v| v.to_str().ok()?.parse().ok());
    let stream = async_stream(dashboard, resumed.or(since.cursor));
    Sse::new(stream).keep_alive(KeepAlive::default())
}

fn async_stream(
    dashboard: Dashboard,
    seen: Option<u64>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold((dashboard, seen), |(dashboard, last)| async move {
        loop {
            match dashboard.change_counter().await {
                Ok(counter) if Some(counter) != last => {
                    let event = Event::default()
                        .event("change")
                        .id(counter.to_string())
                        .data(counter.to_string());
                    return Some((Ok(event), (dashboard, Some(counter))));
                }
                Ok(_) => {}
                // A database that is being rebuilt is back soon; the page stays as it is meanwhile.
                Err(failure) => tracing::debug!(
                    message = failure.message,
                    "the change counter could not be read"
                ),
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}
