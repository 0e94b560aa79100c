use super::*;
use crate::recipe::LrScaling;

const DESIGN: &str = include_str!("../experiment/design.toml");

/// A world without files: catalogue datasets, a CPU, no other experiments.
struct Bare;
impl World for Bare {
    fn device(&self) -> Arithmetic {
        Arithmetic::Cpu
    }
    fn dataset_identity(&self, name: &str) -> Result<String, SpecError> {
        let d = crate::dataset::find(name)
            .ok_or_else(|| SpecError::new(crate::keys::unknown_dataset(name)))?;
        Ok(format!("{}@{}", d.name, d.version))
    }
    fn file_digest(&self, path: &str) -> Result<String, SpecError> {
        Err(SpecError::new(format!("{path}: no such file")))
    }
    fn experiment(&self, name: &str) -> Result<Arc<Experiment>, SpecError> {
        Err(SpecError::new(format!("no experiment {name}")))
    }
}

fn plan(text: &str, options: &Options) -> Result<Plan, SpecError> {
    build(
        Arc::new(Experiment::parse("t", "t.toml", text)?),
        options,
        &Bare,
    )
}

#[test]
fn equal_recipes_are_one_run_whatever_they_are_called() {
    // At batch size 256 linear scaling changes nothing: lr enters the key as the effective rate.
    let text = "title = 't'\n[base]\n[[column]]\nid = 'a'\n[[column]]\nid = 'b'\nlabel = 'other'\nadd = ['linear-scaling']\n[[row]]\nid = 'r'\n";
    let plan = plan(text, &Options::default()).expect("plans");
    assert_eq!(plan.requested(), 2);
    assert_eq!(plan.runs.len(), 1);
    let b = plan.cell("r", "b").expect("cell");
    assert_eq!(b.recipe.lr_scaling, LrScaling::Linear);
}

#[test]
fn every_part_of_the_identity_changes_the_key() {
    let base = plan(DESIGN, &Options::default()).expect("plans");
    let first = &base.cells[0].runs[0];
    for set in [
        "momentum=0.8",
        "epochs=5",
        "augment.flip=0.4",
        "dataset=synthetic",
        "zero_gamma=true",
    ] {
        let other = plan(
            DESIGN,
            &Options {
                set: vec![set.into()],
                ..Options::default()
            },
        )
        .expect("plans");
        assert_ne!(&other.cells[0].runs[0], first, "{set}");
    }
    let seeds = plan(
        DESIGN,
        &Options {
            seeds: Some(2),
            ..Options::default()
        },
    )
    .expect("plans");
    assert_eq!(&seeds.cells[0].runs[0], first, "seed 1 keeps its key");
    assert_ne!(&seeds.cells[0].runs[1], first);
}

#[test]
fn options_that_name_nothing_are_refused_with_the_nearest_name() {
    let refused = |options: Options| plan(DESIGN, &options).expect_err("refused").to_string();
    let rows = refused(Options {
        rows: Some(vec!["warm".into()]),
        ..Options::default()
    });
    assert!(rows.contains("did you mean \"warmup\""), "{rows}");
    let profile = refused(Options {
        profile: Some("quik".into()),
        ..Options::default()
    });
    assert!(profile.contains("did you mean \"quick\""), "{profile}");
    let key = refused(Options {
        set: vec!["batchsize=3".into()],
        ..Options::default()
    });
    assert!(key.contains("did you mean \"batch_size\""), "{key}");
    let value = refused(Options {
        set: vec!["epochs=-1".into()],
        ..Options::default()
    });
    assert!(
        value.contains("--set") && value.contains("at least 1"),
        "{value}"
    );
}

#[test]
fn an_unknown_dataset_is_refused_where_it_stands() {
    let text = DESIGN.replace("fashion-mnist", "fashion-mnits");
    let error = plan(&text, &Options::default()).expect_err("unknown dataset");
    assert_eq!(error.at, Some((32, 11)), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("t.toml:32:11: unknown dataset"),
        "{error}"
    );
    let set = Options {
        set: vec!["dataset=nowhere".into()],
        ..Options::default()
    };
    let error = plan(DESIGN, &set).expect_err("unknown dataset").to_string();
    assert!(error.starts_with("--set: "), "{error}");
}

#[test]
fn what_no_trainer_does_yet_is_refused_before_anything_is_queued() {
    let options = Options {
        set: vec!["task=detect".into()],
        ..Options::default()
    };
    let error = plan(DESIGN, &options).expect_err("refused").to_string();
    assert!(error.contains("not supported yet"), "{error}");
}

#[test]
fn a_sub_table_given_by_set_merges_key_by_key() {
    let options = Options {
        set: vec!["augment={flip=0}".into(), "augment.hue=0.1".into()],
        ..Options::default()
    };
    let recipe = plan(DESIGN, &options).expect("plans").cells[0]
        .recipe
        .clone();
    assert_eq!(
        (
            recipe.augment.flip,
            recipe.augment.hue,
            recipe.augment.saturation
        ),
        (0.0, 0.1, 0.4)
    );
}
