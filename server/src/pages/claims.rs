//! `/claims`: what the paper claims, and what our runs say of it.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use rungs_report::claims::{Judged, Verdict};
use rungs_report::format::p_value;

use super::{Layout, html};
use crate::error::Failure;
use crate::human::plural;
use crate::state::Dashboard;

#[derive(Template)]
#[template(path = "claims.html")]
struct Page {
    layout: Layout,
    counts: String,
    claims: Vec<Entry>,
}

struct Entry {
    text: String,
    source: String,
    experiment: String,
    /// Address of its table; `None` where there is no such experiment.
    href: Option<String>,
    verdict: &'static str,
    /// A sign beside the word: never a bare colour.
    sign: &'static str,
    n: String,
    p: String,
    reason: String,
}

/// Query of the page and of the API.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Choice {
    /// Profile under which every claim is judged, if not each experiment's default.
    pub profile: Option<String>,
}

/// The page.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Query(choice): Query<Choice>,
) -> Result<Response, Failure> {
    let layout = Layout::load(&dashboard, "claims").await?;
    let claims = dashboard.claims(choice.profile.as_deref()).await?;
    let count = |verdict| claims.iter().filter(|c| c.verdict == verdict).count();
    let counts = format!(
        "{} of the paper: {} hold, {} fail, {} undecided",
        plural(claims.len(), "claim"),
        count(Verdict::Holds),
        count(Verdict::Fails),
        count(Verdict::Undecided)
    );
    let claims = claims.into_iter().map(entry).collect();
    html(&Page {
        layout,
        counts,
        claims,
    })
}

fn entry(claim: Judged) -> Entry {
    let known = !claim.comparisons.is_empty();
    let query = claim
        .profile
        .as_ref()
        .map_or_else(String::new, |profile| format!("?profile={profile}"));
    Entry {
        href: known.then(|| format!("/tables/{}{query}", claim.experiment)),
        verdict: claim.verdict.word(),
        sign: match claim.verdict {
            Verdict::Holds => "\u{2713}",
            Verdict::Fails => "\u{2717}",
            Verdict::Undecided => "?",
        },
        n: if known {
            claim.n.to_string()
        } else {
            String::new()
        },
        p: claim.p.map(p_value).unwrap_or_default(),
        text: claim.text,
        source: claim.source,
        experiment: claim.experiment,
        reason: claim.reason,
    }
}
