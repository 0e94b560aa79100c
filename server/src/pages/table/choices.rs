//! What the page shows, which is all in its address, and the links that change it.

use rungs_report::Select;
use rungs_report::export::Round;
use rungs_report::table::{MetricHead, Table};

use super::arrange;
use crate::error::Failure;
use crate::human::plural;
use crate::pages::{Link, escape};
use crate::view::View;
use rungs_spec::plan::Options;

/// State of the page, all in its address.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct Choices {
    /// Profile; the file's default without.
    pub profile: Option<String>,
    /// `best` or `last`.
    pub select: Option<String>,
    /// Metric shown; the table's first without.
    pub metric: Option<String>,
    /// Column whose curves are drawn; the last one with any without.
    pub column: Option<String>,
    /// Seeds of every cell; as many as it was applied with without.
    pub seeds: Option<String>,
    /// Settings shown, separated by commas; all without.
    pub columns: Option<String>,
    /// Parts left out: `paper`, `step`, `curve`, `cost`.
    pub hide: Option<String>,
    /// `1`: rows stand across, settings downwards.
    pub pivot: Option<String>,
    /// First epoch of the curves; all without.
    pub from: Option<String>,
    /// Last one.
    pub to: Option<String>,
    /// How LaTeX rounds: `digits` or `sd`.
    pub round: Option<String>,
}

/// From the smallest to the paper's: quick, standard, paper; others stand beside `standard`.
pub fn profile_place(profile: &str) -> usize {
    let known = ["quick", "standard", "paper"];
    known.iter().position(|name| *name == profile).unwrap_or(1)
}

/// `seeds=` of an address.
pub fn seeds(text: Option<&str>) -> Result<Option<u64>, Failure> {
    let refuse = |text: &str| {
        Failure::bad_request(
            "bad_seeds",
            format!("seeds={text} is not a number from 1 to 1000."),
        )
    };
    text.map(|text| match text.parse() {
        Ok(n @ 1..=1000) => Ok(n),
        _ => Err(refuse(text)),
    })
    .transpose()
}

impl Choices {
    /// What the table is made with.
    pub fn options(&self) -> Result<Options, Failure> {
        Ok(Options {
            profile: self.profile.clone(),
            seeds: self.seeds()?,
            ..Options::default()
        })
    }

    /// Which epoch is shown.
    pub fn select(&self) -> Result<Select, Failure> {
        let word = self.select.as_deref().unwrap_or(Select::default().word());
        word.parse().map_err(|e: rungs_report::ReportError| {
            Failure::bad_request("bad_select", e.to_string())
        })
    }

    /// How LaTeX rounds.
    pub fn round(&self) -> Result<Round, Failure> {
        let word = self.round.as_deref().unwrap_or("digits");
        word.parse().map_err(|e: rungs_report::ReportError| {
            Failure::bad_request("bad_round", e.to_string())
        })
    }

    /// Whether a part of the curves is shown.
    pub(super) fn zoomed(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// How many seeds the cells are over.
    pub fn seeds(&self) -> Result<Option<u64>, Failure> {
        seeds(self.seeds.as_deref())
    }

    /// The metric of a table that is shown.
    pub(super) fn metric<'a>(&self, table: &'a Table) -> Result<&'a MetricHead, Failure> {
        let known = || table.metrics.iter().map(|m| m.name.as_str());
        match &self.metric {
            // What stands beside any metric is not the first choice.
            None => table
                .metrics
                .iter()
                .find(|m| !arrange::stands_beside(m))
                .or(table.metrics.first())
                .ok_or_else(|| Failure::internal("the experiment names no metrics")),
            Some(name) => table
                .metrics
                .iter()
                .find(|m| m.name == *name)
                .ok_or_else(|| {
                    let near = rungs_spec::error::nearest(name, known());
                    Failure::bad_request(
                        "bad_metric",
                        format!("This table has no metric {name:?}; {near}"),
                    )
                }),
        }
    }

    /// The page's address with one choice changed.
    pub(super) fn href(&self, name: &str, change: impl FnOnce(&mut Choices)) -> String {
        let mut to = self.clone();
        change(&mut to);
        format!("/tables/{}{}", escape(name), to.query())
    }

    fn query(&self) -> String {
        let pairs = [
            ("profile", &self.profile),
            ("metric", &self.metric),
            ("select", &self.select),
            ("seeds", &self.seeds),
            ("column", &self.column),
            ("columns", &self.columns),
            ("hide", &self.hide),
            ("pivot", &self.pivot),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let set: Vec<String> = pairs
            .iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", escape(value.as_deref()?))))
            .collect();
        if set.is_empty() {
            String::new()
        } else {
            format!("?{}", set.join("&"))
        }
    }
}

/// Links of which one is in force.
pub(super) struct Choice {
    pub(super) label: &'static str,
    pub(super) links: Vec<Link>,
}

/// The bar of choices.
pub(super) fn segments(view: &View, choices: &Choices, head: &MetricHead) -> Vec<Choice> {
    let table = &view.table;
    let name = &table.experiment;
    let link = |text: &str, current: bool, href: String| Link {
        href,
        text: text.to_owned(),
        current,
    };
    // From the smallest to the paper's: quick, standard, paper; others in the order of the alphabet.
    let mut profiles: Vec<&String> = view.experiment.profiles.keys().collect();
    profiles.sort_by_key(|p| profile_place(p));
    let profiles = profiles.into_iter().map(|p| {
        link(
            p,
            table.profile.as_deref() == Some(p),
            choices.href(name, |c| c.profile = Some(p.clone())),
        )
    });
    let metrics = table.metrics.iter().map(|m| {
        link(
            &m.title,
            m.name == head.name,
            choices.href(name, |c| c.metric = Some(m.name.clone())),
        )
    });
    let selects = [("best epoch", Select::Best), ("last", Select::Last)]
        .into_iter()
        .map(|(text, s)| {
            link(
                text,
                table.select == s,
                choices.href(name, |c| c.select = Some(s.word().to_owned())),
            )
        });
    // One seed, three (an interval), and whatever was applied.
    let mut counts = vec![1, 3, table.seeds];
    counts.sort_unstable();
    counts.dedup();
    let seeds = counts.into_iter().map(|n| {
        link(
            &plural(n as usize, "seed"),
            table.seeds == n,
            choices.href(name, |c| c.seeds = Some(n.to_string())),
        )
    });
    [
        ("Profile", profiles.collect()),
        ("Metric", metrics.collect()),
        ("Epoch", selects.collect::<Vec<_>>()),
        ("Seeds", seeds.collect()),
    ]
    .into_iter()
    .filter(|(_, links): &(_, Vec<Link>)| links.len() > 1)
    .map(|(label, links)| Choice { label, links })
    .collect()
}

/// The table as files, as it is shown.
pub(super) fn downloads(name: &str, choices: &Choices) -> Vec<Link> {
    let query = Choices {
        metric: None,
        column: None,
        columns: None,
        hide: None,
        pivot: None,
        ..choices.clone()
    }
    .query();
    [
        ("CSV", "csv", true),
        ("JSON", "json", false),
        ("LaTeX", "tex", true),
        ("Markdown", "md", true),
        ("One-file report", "html", false),
    ]
    .into_iter()
    .map(|(text, suffix, current)| Link {
        href: format!("/tables/{}.{suffix}{query}", escape(name)),
        text: text.to_owned(),
        current,
    })
    .collect()
}
