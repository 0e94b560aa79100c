//! `runner claims`: each claim of the paper, judged by the runs of this home.

use anyhow::bail;
use rungs_report::claims::{Judged, Verdict};
use rungs_report::format::p_value;
use serde_json::json;

use crate::cli::ClaimsArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(context: &Context, args: &ClaimsArgs) -> anyhow::Result<()> {
    let store = context.reader().await?;
    let world = context.world_of_trainer()?;
    let claims = rungs_server::view::claims(
        store.as_ref(),
        &context.home,
        &world,
        args.profile.as_deref(),
    )
    .await?;
    if context.json {
        output::print_json(&json!({ "claims": claims }))?;
    } else {
        output::print(&text(&claims))?;
    }
    let failed: Vec<&str> = claims
        .iter()
        .filter(|claim| claim.verdict == Verdict::Fails)
        .map(|claim| claim.id.as_str())
        .collect();
    if args.check && !failed.is_empty() {
        bail!(Failure::Check(format!(
            "--check: {} of {} claims fail: {}",
            failed.len(),
            claims.len(),
            failed.join(", ")
        )));
    }
    Ok(())
}

fn text(claims: &[Judged]) -> String {
    let mut text = String::new();
    for claim in claims {
        let evidence = match (claim.comparisons.is_empty(), claim.p) {
            (true, _) => String::new(),
            (false, None) => format!("  n = {}", claim.n),
            (false, Some(p)) => format!("  n = {}, {}", claim.n, p_value(p)),
        };
        let profile = claim
            .profile
            .as_ref()
            .map_or_else(String::new, |p| format!(", profile {p}"));
        text += &format!("{:9}  {}{evidence}\n", claim.verdict.word(), claim.text);
        text += &format!("           {}{profile}: {}\n", claim.source, claim.reason);
    }
    let count = |verdict| claims.iter().filter(|c| c.verdict == verdict).count();
    text + &format!(
        "{} claims: {} hold, {} fail, {} undecided\n",
        claims.len(),
        count(Verdict::Holds),
        count(Verdict::Fails),
        count(Verdict::Undecided)
    )
}
