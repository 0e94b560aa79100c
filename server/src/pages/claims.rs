//! `/claims`: what the paper claims, and what our runs say of it.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use rungs_report::claims::{Judged, Verdict};
use rungs_report::format::p_value;
use rungs_spec::plan::World as _;

use super::{Layout, Link, escape, html};
use crate::error::Failure;
use crate::human::plural;
use crate::state::Dashboard;

#[derive(Template)]
#[template(path = "claims.html")]
struct Page {
    layout: Layout,
    counts: String,
    profiles: Vec<Link>,
    /// What the verdicts cannot say, where any is not of the paper's own setting.
    note: Option<&'static str>,
    claims: Vec<Entry>,
}

struct Entry {
    text: String,
    source: String,
    experiment: String,
    profile: Option<String>,
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
    let profiles = profiles(&dashboard, &claims, choice.profile.as_deref())?;
    let elsewhere = claims
        .iter()
        .any(|c| c.profile.as_deref().is_some_and(|p| p != "paper"));
    let claims = claims.into_iter().map(entry).collect();
    html(&Page {
        layout,
        counts,
        profiles,
        note: elsewhere.then_some(
            "Judged on the runs of the profile that stands beside each table, which may be another dataset and a smaller \
             network than the paper's: what holds or fails here does so in that setting.",
        ),
        claims,
    })
}

/// Each table's own profile, or one for all.
fn profiles(
    dashboard: &Dashboard,
    claims: &[Judged],
    asked: Option<&str>,
) -> Result<Vec<Link>, Failure> {
    let world = dashboard.world()?;
    let mut known: Vec<String> = Vec::new();
    for name in claims.iter().map(|c| &c.experiment) {
        // What is wrong with it, its claims say.
        let Ok(experiment) = world.experiment(name) else {
            continue;
        };
        for profile in experiment.profiles.keys() {
            if !known.contains(profile) {
                known.push(profile.clone());
            }
        }
    }
    known.sort_by_key(|p| super::table::profile_place(p));
    let usual = Link {
        href: "/claims".to_owned(),
        text: "default".to_owned(),
        current: asked.is_none(),
    };
    let links = known.into_iter().map(|p| Link {
        href: format!("/claims?profile={}", escape(&p)),
        current: asked == Some(p.as_str()),
        text: p,
    });
    Ok(std::iter::once(usual).chain(links).collect())
}

fn entry(claim: Judged) -> Entry {
    let known = !claim.comparisons.is_empty();
    let query = claim.profile.as_ref().map_or_else(String::new, |profile| {
        format!("?profile={}", escape(profile))
    });
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
        profile: claim.profile,
        reason: claim.reason,
    }
}
