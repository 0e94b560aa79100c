//! What a person chose to see of a run: all of it in the page's address.

use rungs_report::chart::{XKind, YScale};

use super::super::{Link, escape, numbers};
use crate::error::Failure;

/// State of the page.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct Choices {
    /// What runs to the right in every chart: `step`, `epoch`, `time`, `wall`.
    x: Option<String>,
    /// Scale of the loss: `linear`, `log`.
    scale: Option<String>,
    /// Smoothing of the loss, 0 to below 1.
    smooth: Option<String>,
    /// `1`: also points that a later attempt superseded.
    superseded: Option<String>,
    /// Left end, in units of x.
    from: Option<String>,
    /// Right end.
    to: Option<String>,
}

/// A few alternatives, one of them in force.
pub(super) struct Choice {
    pub(super) label: &'static str,
    pub(super) links: Vec<Link>,
}

const X: [(&str, &str); 4] = [
    ("step", "Step"),
    ("epoch", "Epoch"),
    ("time", "Training time"),
    ("wall", "Clock"),
];

impl Choices {
    /// What runs to the right.
    pub(super) fn x(&self) -> Result<XKind, Failure> {
        word(self.x.as_deref())
    }

    /// The part of x that is shown, as texts of the address.
    pub(super) fn window(&self) -> (Option<&str>, Option<&str>) {
        (self.from.as_deref(), self.to.as_deref())
    }

    /// Whether superseded points are shown.
    pub(super) fn superseded(&self) -> bool {
        self.superseded.as_deref() == Some("1")
    }

    /// What only the chart of the loss takes.
    pub(super) fn loss_query(&self) -> String {
        let pairs = [("scale", &self.scale), ("smooth", &self.smooth)];
        let set = pairs
            .iter()
            .filter_map(|(name, value)| Some(format!("&{name}={}", escape(value.as_deref()?))));
        set.collect()
    }

    /// What part of x is shown, if not all.
    pub(super) fn words(&self) -> Option<String> {
        let of = self.x.as_deref().unwrap_or("step");
        match self.window() {
            (None, None) => None,
            (Some(from), None) => Some(format!("{of} from {from}")),
            (None, Some(to)) => Some(format!("{of} up to {to}")),
            (Some(from), Some(to)) => Some(format!("{of} {from} to {to}")),
        }
    }

    /// The same, not zoomed.
    pub(super) fn all(&self) -> Choices {
        Choices {
            from: None,
            to: None,
            ..self.clone()
        }
    }

    /// The page's address.
    pub(super) fn href(&self, run: &str) -> String {
        let pairs = [
            ("x", &self.x),
            ("scale", &self.scale),
            ("smooth", &self.smooth),
            ("superseded", &self.superseded),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let set: Vec<String> = pairs
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_deref()?))))
            .collect();
        let query = if set.is_empty() { "" } else { "?" };
        format!("/runs/{run}{query}{}", set.join("&"))
    }

    /// What can be chosen. Errors: a value in the address that is none.
    pub(super) fn offered(&self, run: &str, has_superseded: bool) -> Result<Vec<Choice>, Failure> {
        let link = |text: &str, current: bool, change: &dyn Fn(&mut Choices)| {
            let mut to = self.clone();
            change(&mut to);
            Link {
                href: to.href(run),
                text: text.to_owned(),
                current,
            }
        };
        numbers([
            ("smooth", &self.smooth),
            ("from", &self.from),
            ("to", &self.to),
        ])?;
        let given = |value: &str, usual: &str| (value != usual).then(|| value.to_owned());
        let x = self.x()?;
        let xs = X.iter().map(|(value, text)| {
            link(text, *value == x.word(), &|c| {
                // Steps are no epochs: what was zoomed to means nothing any more.
                (c.x, c.from, c.to) = (given(value, "step"), None, None);
            })
        });
        let log = word::<YScale>(self.scale.as_deref())? == YScale::Log;
        let scales = [("linear", "Linear", !log), ("log", "Log", log)];
        let scales = scales
            .iter()
            .map(|(value, text, now)| link(text, *now, &|c| c.scale = given(value, "linear")));
        let smooth = self.smooth.as_deref().unwrap_or("0");
        let smooths = [("0", "Raw"), ("0.9", "Smooth"), ("0.99", "Smoother")];
        let smooths = smooths
            .iter()
            .map(|(value, text)| link(text, *value == smooth, &|c| c.smooth = given(value, "0")));
        let mut offered = vec![
            Choice {
                label: "What runs to the right",
                links: xs.collect(),
            },
            Choice {
                label: "Scale of the loss",
                links: scales.collect(),
            },
            Choice {
                label: "Smoothing of the loss",
                links: smooths.collect(),
            },
        ];
        if has_superseded {
            let shown = self.superseded();
            let links = [("0", "Live points", !shown), ("1", "And superseded", shown)];
            let links = links
                .iter()
                .map(|(value, text, now)| link(text, *now, &|c| c.superseded = given(value, "0")));
            offered.push(Choice {
                label: "Points that a later attempt did again",
                links: links.collect(),
            });
        }
        Ok(offered)
    }
}

fn word<T: std::str::FromStr<Err = rungs_report::ReportError> + Default>(
    text: Option<&str>,
) -> Result<T, Failure> {
    let refuse = |e: rungs_report::ReportError| Failure::bad_request("bad_chart", e.to_string());
    text.map_or_else(|| Ok(T::default()), |t| t.parse().map_err(refuse))
}
