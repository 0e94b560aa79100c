//! `/api/v1/events`: tells open pages that there is something new. It pushes the change counter,
//! nothing else; a page then fetches itself again.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_core::Stream;

use crate::state::Dashboard;

/// How often the counter is read, per open page: one indexed row.
const EVERY: Duration = Duration::from_millis(500);

/// The stream: the counter at once, then after every change.
pub async fn get(
    State(dashboard): State<Dashboard>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = async_stream(dashboard);
    Sse::new(stream).keep_alive(KeepAlive::default())
}

fn async_stream(dashboard: Dashboard) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold((dashboard, None), |(dashboard, last)| async move {
        loop {
            match dashboard.change_counter().await {
                Ok(counter) if Some(counter) != last => {
                    let event = Event::default().event("change").data(counter.to_string());
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
