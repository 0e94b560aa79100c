//! How long would the paper's own trainings take on GPUs whose speed was published? For plans that no
//! run of this home can speak for.

use std::collections::HashMap;

use rungs_spec::RunKey;
use rungs_spec::plan::{Plan, PlannedRun};
use rungs_spec::recipe::{Precision, Recipe};
use rungs_spec::{dataset, model};
use serde::Serialize;

/// The GPU that all rates are of: the authors trained on eight of them.
pub const GPU: &str = "V100";

/// Images per second and GPU in training, at the paper's batch sizes, data loading included.
struct Rate {
    model: &'static str,
    half: bool,
    images_per_s: f64,
}

/// Table 3's minutes per epoch over ImageNet's 1,281,167 images on eight V100, and the authors' logs where
/// they are more exact (recipes.md, Table 3; those of Inception-V3 and MobileNet are unverified). The last
/// is what their log of the teacher says, 28 minutes.
const RATES: [Rate; 7] = [
    rate("resnet50", false, 1605.0),
    rate("resnet50", true, 4809.0),
    rate("inception-v3", false, 1078.0),
    rate("inception-v3", true, 2732.0),
    rate("mobilenet", false, 3444.0),
    rate("mobilenet", true, 5640.0),
    rate("resnet152d", false, 763.0),
];

/// A forward pass is a third of a training step: backward costs two more of its kind.
const FORWARD: f64 = 1.0 / 3.0;

const fn rate(model: &'static str, half: bool, of_eight: f64) -> Rate {
    Rate {
        model,
        half,
        images_per_s: of_eight / 8.0,
    }
}

/// Work of a plan on such a GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuTime {
    /// Kind of GPU.
    pub gpu: &'static str,
    /// GPU hours of all runs that have a published rate, finished or not, one after the other.
    pub hours: f64,
    /// How many these are.
    pub runs: usize,
    /// The longest way along edges, teacher before students: no number of GPUs makes it shorter than this,
    /// with one GPU a run.
    pub longest_hours: f64,
}

/// Of all different runs of these plans; `None` where no run has a published rate.
pub fn gpu_time(plans: &[&Plan]) -> Option<GpuTime> {
    let runs: HashMap<&RunKey, &PlannedRun> = plans
        .iter()
        .flat_map(|plan| &plan.runs)
        .map(|run| (&run.key, run))
        .collect();
    let mut hours: HashMap<&RunKey, f64> = HashMap::new();
    for (key, run) in &runs {
        let teacher = run.depends_on.get("distill.teacher");
        let teacher = teacher.and_then(|key| runs.get(key));
        if let Some(found) = hours_of(&run.recipe, teacher.map(|run| &run.recipe)) {
            hours.insert(key, found);
        }
    }
    // Sources have no sources of their own in any experiment, but a chain would be summed up all the same.
    fn chain(
        key: &RunKey,
        runs: &HashMap<&RunKey, &PlannedRun>,
        hours: &HashMap<&RunKey, f64>,
    ) -> f64 {
        let sources = runs
            .get(key)
            .into_iter()
            .flat_map(|r| r.depends_on.values());
        let before = sources.map(|s| chain(s, runs, hours)).fold(0.0, f64::max);
        before + hours.get(key).copied().unwrap_or(0.0)
    }
    let longest = runs.keys().map(|key| chain(key, &runs, &hours));
    let longest_hours = longest.fold(0.0, f64::max);
    (!hours.is_empty()).then(|| GpuTime {
        gpu: GPU,
        hours: hours.values().sum(),
        runs: hours.len(),
        longest_hours,
    })
}

/// GPU hours of a run; `None` without a rate for its network, at its size, in its precision.
fn hours_of(recipe: &Recipe, teacher: Option<&Recipe>) -> Option<f64> {
    let images = dataset::find(&recipe.dataset)?.train;
    let seen = recipe.steps_per_epoch(recipe.train_subset.unwrap_or(images))
        * u64::from(recipe.batch_size)
        * u64::from(recipe.epochs);
    let mut of_image = seconds(recipe)?;
    if let Some(distill) = &recipe.distill {
        // One that is a file may be any network: it has no rate.
        of_image += match (&distill.teacher, teacher) {
            (_, Some(teacher)) => FORWARD * seconds(teacher)?,
            _ => return None,
        };
    }
    Some(seen as f64 * of_image / 3600.0)
}

/// GPU seconds of training on one image.
fn seconds(recipe: &Recipe) -> Option<f64> {
    let half = match recipe.precision {
        Precision::Fp32 => false,
        Precision::Fp16 => true,
        Precision::Bf16 | Precision::Mixed | Precision::Fp64 => return None,
    };
    let macs = |name: &str, size| {
        let network = model::Model::of_recipe(
            &Recipe {
                model: name.to_owned(),
                ..recipe.clone()
            },
            1000,
        );
        network
            .map(|network| model::counts(&network, size).macs as f64)
            .ok()
    };
    let whole = model::find(&recipe.model).ok()?;
    let depths = recipe.depths.as_deref().unwrap_or(whole.depths);
    if recipe.width != 1.0 || recipe.input_size < 224 || depths != whole.depths {
        return None;
    }
    // The variants of ResNet-50 take as much longer as they compute more.
    let like = if recipe.model.starts_with("resnet50") {
        "resnet50"
    } else {
        recipe.model.as_str()
    };
    let known = RATES.iter().find(|r| r.model == like && r.half == half);
    // A network without a rate in half precision is no slower there.
    let known = known.or_else(|| RATES.iter().find(|r| r.model == like))?;
    let more = macs(&recipe.model, recipe.input_size)? / macs(known.model, recipe.input_size)?;
    Some(more / known.images_per_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn plan(rows: &str) -> Plan {
        let text = format!(
            "title = \"t\"\nmetrics = [\"val/top1\"]\n[base]\ndataset = \"imagenet\"\n[[column]]\nid = \"c\"\n{rows}"
        );
        fixtures::plan_of(&text, None, 1)
    }

    /// 120 epochs of 13.3 minutes on eight GPUs are 212.8 GPU hours (paper, Table 3).
    #[test]
    fn the_papers_baseline_takes_what_table_3_says() {
        let found = gpu_time(&[&plan("[[row]]\nid = \"baseline\"\n")]).unwrap();
        assert_eq!(found.runs, 1);
        assert!((found.hours - 212.8).abs() < 1.0, "{found:?}");
        assert_eq!(found.hours, found.longest_hours);
    }

    #[test]
    fn half_precision_is_faster_and_tweaked_networks_are_slower() {
        let hours = |set: &str| {
            let row = format!("[[row]]\nid = \"r\"\nset = {{ {set} }}\n");
            gpu_time(&[&plan(&row)]).map(|found| found.hours)
        };
        let half = hours("batch_size = 1024, precision = \"fp16\"").unwrap();
        // 4.44 minutes an epoch.
        assert!(
            (half - 120.0 * 1_281_167.0 / 4809.0 * 8.0 / 3600.0).abs() < 0.2,
            "{half}"
        );
        let d = hours("batch_size = 1024, precision = \"fp16\", model = \"resnet50d\"").unwrap();
        assert!((d / half - 4_328_824_832.0 / 3_857_973_248.0).abs() < 1e-9);
        // Nothing is made up where nothing was published.
        assert_eq!(hours("precision = \"bf16\""), None);
        assert_eq!(hours("model = \"resnet101\""), None);
        assert_eq!(hours("width = 0.5"), None);
    }

    #[test]
    fn runs_that_plans_share_are_counted_once() {
        let one = plan("[[row]]\nid = \"a\"\n[[row]]\nid = \"b\"\nset = { lr = 0.2 }\n");
        let twice = gpu_time(&[&one, &one]).unwrap();
        assert_eq!(twice.runs, 2);
        assert!((twice.hours - 2.0 * twice.longest_hours).abs() < 1e-9);
    }
}
