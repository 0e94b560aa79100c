//! The ledger of claims: what a paper says its refinements do, as comparisons between cells of its tables
//! (experiments/claims.toml).

use serde::Deserialize;

use crate::error::SpecError;
use crate::experiment::Experiment;
use crate::metric;

/// File stem of the ledger: it lies among the experiments and is none.
pub const STEM: &str = "claims";

/// The ledger of the repository.
pub const BUILT_IN: &str = include_str!("../../../experiments/claims.toml");

/// One claim: it holds where all of its comparisons hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Name: `warmup-large-batch`.
    pub id: String,
    /// One sentence.
    pub text: String,
    /// Where the paper says it: `section 3.1`, `Table 4`.
    pub source: String,
    /// Experiment whose cells are compared.
    pub experiment: String,
    /// Metric that is compared, in percent.
    #[serde(default = "top1")]
    pub metric: String,
    /// What must be so.
    pub compare: Vec<Comparison>,
}

fn top1() -> String {
    "val/top1".to_owned()
}

/// One row against another, in one or several columns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Row that is said to differ.
    pub over: String,
    /// Row that it is compared to.
    pub under: String,
    /// Columns in which it is said of; empty = every column with runs.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Column of `under`, where it is another one.
    pub under_column: Option<String>,
    /// What is said.
    #[serde(default)]
    pub is: Relation,
    /// Points within which two values count as equal, for `is = "equal"`.
    #[serde(default = "margin")]
    pub margin: f64,
}

fn margin() -> f64 {
    0.3
}

/// What is said of `over` against `under`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Its metric is higher.
    #[default]
    Higher,
    /// Its metric is lower.
    Lower,
    /// It does not differ by more than the margin.
    Equal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    claim: Vec<Claim>,
}

/// Reads a ledger; `file` is what errors call it. Errors: not TOML, unknown keys, an id used twice, a claim
/// without comparisons, a metric that is not a percentage.
pub fn parse(file: &str, text: &str) -> Result<Vec<Claim>, SpecError> {
    let ledger: Ledger = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        SpecError::new(error.message())
            .at_offset(text, at)
            .in_file(file)
    })?;
    let refuse = |claim: &Claim, why: String| {
        let at = text.find(&format!("\"{}\"", claim.id)).unwrap_or(0);
        SpecError::new(format!("claim \"{}\": {why}", claim.id))
            .at_offset(text, at)
            .in_file(file)
    };
    for (i, claim) in ledger.claim.iter().enumerate() {
        if ledger.claim[..i].iter().any(|other| other.id == claim.id) {
            return Err(refuse(
                claim,
                "the id is used twice; give it another".into(),
            ));
        }
        if claim.compare.is_empty() {
            return Err(refuse(
                claim,
                "compare is empty: name at least one pair of rows".into(),
            ));
        }
        if !metric::find(&claim.metric).is_some_and(metric::Metric::is_percent) {
            let why = format!(
                "\"{}\" is no metric in percent; see `runner list --metrics`",
                claim.metric
            );
            return Err(refuse(claim, why));
        }
        if let Some(wrong) = claim
            .compare
            .iter()
            .find(|c| !(c.margin > 0.0 && c.margin.is_finite()))
        {
            return Err(refuse(
                claim,
                format!("margin = {} must be above 0 points", wrong.margin),
            ));
        }
    }
    Ok(ledger.claim)
}

/// A comparison in one column: (row, column) of both cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair<'a> {
    /// What is said.
    pub comparison: &'a Comparison,
    /// Cell that is said to differ.
    pub over: [String; 2],
    /// Cell that it is compared to.
    pub under: [String; 2],
}

impl Claim {
    /// Every pair of cells that must hold. Error: a row or column that the experiment does not have.
    pub fn pairs(&self, experiment: &Experiment) -> Result<Vec<Pair<'_>>, SpecError> {
        let unknown = |what: &str, id: &str, known: Vec<&str>| {
            SpecError::new(format!(
                "claim \"{}\": {} has no {what} \"{id}\"; {}",
                self.id,
                experiment.name,
                crate::error::nearest(id, known)
            ))
        };
        let mut pairs = Vec::new();
        for comparison in &self.compare {
            for row in [&comparison.over, &comparison.under] {
                if experiment.row(row).is_none() {
                    let known = experiment.rows.iter().map(|r| r.id.as_str()).collect();
                    return Err(unknown("row", row, known));
                }
            }
            let all = experiment.columns.iter().filter(|c| !c.reference_only);
            let columns: Vec<&String> = match comparison.columns.as_slice() {
                [] => all.map(|c| &c.id).collect(),
                named => named.iter().collect(),
            };
            for column in columns {
                let under_column = comparison.under_column.as_ref().unwrap_or(column);
                for id in [column, under_column] {
                    if experiment.column(id).is_none() {
                        let known = experiment.columns.iter().map(|c| c.id.as_str()).collect();
                        return Err(unknown("column", id, known));
                    }
                }
                pairs.push(Pair {
                    comparison,
                    over: [comparison.over.clone(), column.clone()],
                    under: [comparison.under.clone(), under_column.clone()],
                });
            }
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    /// Every claim about a table that is here names rows and columns that it has.
    #[test]
    fn the_built_in_ledger_speaks_of_cells_that_exist() {
        let claims = parse("claims.toml", BUILT_IN).expect("the ledger parses");
        assert!(claims.len() >= 15, "{}", claims.len());
        let mut checked = 0;
        for claim in &claims {
            let Some(text) = builtin::find(&claim.experiment) else {
                assert!(
                    ["table8", "table9"].contains(&claim.experiment.as_str()),
                    "{}",
                    claim.id
                );
                continue;
            };
            let experiment =
                Experiment::parse(&claim.experiment, "built in", text).expect("parses");
            let pairs = claim.pairs(&experiment).expect("cells that exist");
            assert!(!pairs.is_empty(), "{}", claim.id);
            checked += 1;
        }
        assert!(checked >= 10, "{checked}");
    }

    /// What the paper's own numbers say of each claim: none is a misreading of the paper.
    #[test]
    fn the_papers_own_numbers_bear_every_claim_out() {
        for claim in parse("claims.toml", BUILT_IN).expect("the ledger parses") {
            let Some(text) = builtin::find(&claim.experiment) else {
                continue;
            };
            let experiment =
                Experiment::parse(&claim.experiment, "built in", text).expect("parses");
            let printed = |[row, column]: &[String; 2]| {
                let row = experiment.row(row).expect("a row");
                row.paper
                    .get(column)?
                    .get(&claim.metric)
                    .map(|paper| paper.value)
            };
            for pair in claim.pairs(&experiment).expect("cells that exist") {
                let (Some(over), Some(under)) = (printed(&pair.over), printed(&pair.under)) else {
                    panic!("{}: the paper prints no number for {pair:?}", claim.id);
                };
                let bears = match pair.comparison.is {
                    Relation::Higher => over > under,
                    Relation::Lower => over < under,
                    Relation::Equal => (over - under).abs() <= pair.comparison.margin,
                };
                assert!(bears, "{}: {over} against {under}", claim.id);
            }
        }
    }

    #[test]
    fn a_bad_ledger_is_refused_at_its_place() {
        let good = "[[claim]]\nid = \"a\"\ntext = 't'\nsource = 's'\nexperiment = 'table4'\ncompare = [{ over = 'warmup', under = 'linear-scaling' }]\n";
        assert_eq!(parse("c.toml", good).expect("parses").len(), 1);
        for (text, word) in [
            (good.replace("under =", "udner ="), "udner"),
            (good.replace("source = 's'\n", ""), "source"),
            (format!("{good}{good}"), "used twice"),
            (
                good.replace("[{ over = 'warmup', under = 'linear-scaling' }]", "[]"),
                "compare is empty",
            ),
            (
                good.replace("compare", "metric = 'lr'\ncompare"),
                "no metric in percent",
            ),
            (
                good.replace("linear-scaling' }", "linear-scaling', margin = 0.0 }"),
                "above 0 points",
            ),
        ] {
            let error = parse("c.toml", &text).expect_err(word).to_string();
            assert!(error.contains(word) && error.contains("c.toml:"), "{error}");
        }
        let experiment = Experiment::parse("table4", "t", builtin::find("table4").expect("there"))
            .expect("parses");
        let claim = &parse("c.toml", &good.replace("'warmup'", "'wramup'")).expect("parses")[0];
        let error = claim
            .pairs(&experiment)
            .expect_err("no such row")
            .to_string();
        assert!(error.contains("did you mean \"warmup\""), "{error}");
    }
}
