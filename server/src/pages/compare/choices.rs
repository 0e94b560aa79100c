//! What a person chose to see of a comparison: all of it in the page's address.

use rungs_report::chart::{XKind, YScale};
use rungs_report::compare::By;

use super::super::{Link, escape, numbers};
use crate::compare::{Pairs, given, prefixes};
use crate::error::Failure;

/// State of the page.
#[derive(Debug, Clone, Default)]
pub(super) struct Choices {
    /// Run keys or prefixes.
    pub(super) runs: Vec<String>,
    pub(super) by: By,
    /// Metric of the curves.
    pub(super) metric: Option<String>,
    /// What runs to the right: `epoch` unless said.
    pub(super) x: Option<String>,
    pub(super) scale: Option<String>,
    pub(super) smooth: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    /// Whether equal recipe keys are shown too.
    pub(super) all: bool,
}

/// A few alternatives, one of them in force.
pub(super) struct Choice {
    pub(super) label: &'static str,
    pub(super) links: Vec<Link>,
}

/// What runs to the right where the address does not say: runs of different batch sizes have epochs in
/// common, not steps.
pub(super) const X: &str = "epoch";
const XS: [(&str, &str); 4] = [
    ("epoch", "Epoch"),
    ("step", "Step"),
    ("time", "Training time"),
    ("wall", "Clock"),
];

impl Choices {
    /// Of an address. Errors: a word that is none of the choices.
    pub(super) fn of(pairs: &Pairs) -> Result<Choices, Failure> {
        let text = |name: &str| given(pairs, name).map(str::to_owned);
        let choices = Choices {
            runs: prefixes(pairs, "runs"),
            by: crate::compare::by(pairs)?,
            metric: text("metric"),
            x: text("x"),
            scale: text("scale"),
            smooth: text("smooth"),
            from: text("from"),
            to: text("to"),
            all: given(pairs, "keys") == Some("all"),
        };
        choices.kind()?;
        choices.log()?;
        numbers([
            ("smooth", &choices.smooth),
            ("from", &choices.from),
            ("to", &choices.to),
        ])?;
        Ok(choices)
    }

    /// What runs to the right.
    pub(super) fn kind(&self) -> Result<XKind, Failure> {
        let refuse =
            |e: rungs_report::ReportError| Failure::bad_request("bad_chart", e.to_string());
        self.x.as_deref().unwrap_or(X).parse().map_err(refuse)
    }

    fn log(&self) -> Result<bool, Failure> {
        let refuse =
            |e: rungs_report::ReportError| Failure::bad_request("bad_chart", e.to_string());
        let scale = self.scale.as_deref().map(str::parse::<YScale>).transpose();
        Ok(scale.map_err(refuse)? == Some(YScale::Log))
    }

    /// Names and values of the address but the runs, those as usual left out.
    pub(super) fn state(&self) -> Vec<(&'static str, String)> {
        let by = (self.by != By::default()).then(|| self.by.word().to_owned());
        let all = self.all.then(|| "all".to_owned());
        let pairs = [
            ("by", by),
            ("metric", self.metric.clone()),
            ("x", self.x.clone()),
            ("scale", self.scale.clone()),
            ("smooth", self.smooth.clone()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("keys", all),
        ];
        let set = pairs.into_iter();
        set.filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// The page's address.
    pub(super) fn href(&self) -> String {
        let runs = format!("runs={}", escape(&self.runs.join(",")));
        let rest = self.state().into_iter();
        let rest: String = rest
            .map(|(name, value)| format!("&{name}={}", escape(&value)))
            .collect();
        format!("/compare?{runs}{rest}")
    }

    /// The address after a change.
    pub(super) fn with(&self, change: impl FnOnce(&mut Choices)) -> String {
        let mut to = self.clone();
        change(&mut to);
        to.href()
    }

    /// What can be chosen for curves of these metrics, one of which is drawn.
    pub(super) fn offered(
        &self,
        metrics: &[(&'static str, &'static str)],
        drawn: &str,
        seeds: bool,
    ) -> Result<Vec<Choice>, Failure> {
        let link = |text: &str, current: bool, change: &dyn Fn(&mut Choices)| Link {
            href: self.with(|to| change(to)),
            text: text.to_owned(),
            current,
        };
        let usual = |value: &str, usual: &str| (value != usual).then(|| value.to_owned());
        let mut offered = Vec::new();
        if seeds || self.by == By::Cell {
            let sides = [(By::Run, "Each run"), (By::Cell, "Mean over seeds")];
            let links = sides.map(|(by, text)| link(text, self.by == by, &|c| c.by = by));
            offered.push(Choice {
                label: "What is a side",
                links: links.into(),
            });
        }
        let links = metrics.iter().map(|(name, title)| {
            link(title, *name == drawn, &|c| {
                (c.metric, c.smooth, c.scale) = (Some((*name).to_owned()), None, None);
            })
        });
        offered.push(Choice {
            label: "Metric of the curves",
            links: links.collect(),
        });
        let x = self.kind()?;
        let links = XS.iter().map(|(value, text)| {
            link(text, *value == x.word(), &|c| {
                // Steps are no epochs: what was zoomed to means nothing any more.
                (c.x, c.from, c.to) = (usual(value, X), None, None);
            })
        });
        offered.push(Choice {
            label: "What runs to the right",
            links: links.collect(),
        });
        if drawn == "train/loss" {
            let log = self.log()?;
            let scales = [("linear", "Linear", !log), ("log", "Log", log)];
            let links = scales
                .iter()
                .map(|(value, text, now)| link(text, *now, &|c| c.scale = usual(value, "linear")));
            offered.push(Choice {
                label: "Scale of the loss",
                links: links.collect(),
            });
            let smooth = self.smooth.as_deref().unwrap_or("0");
            let smooths = [("0", "Raw"), ("0.9", "Smooth"), ("0.99", "Smoother")];
            let links = smooths.iter().map(|(value, text)| {
                link(text, *value == smooth, &|c| c.smooth = usual(value, "0"))
            });
            offered.push(Choice {
                label: "Smoothing of the loss",
                links: links.collect(),
            });
        }
        Ok(offered)
    }
}
