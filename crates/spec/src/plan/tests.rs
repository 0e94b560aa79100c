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
fn a_dataset_without_boxes_is_refused_for_detection_and_the_fitting_ones_are_named() {
    let options = Options {
        set: vec!["task=detect".into()],
        ..Options::default()
    };
    let error = plan(DESIGN, &options).expect_err("refused").to_string();
    assert!(error.contains("has no boxes"), "{error}");
    assert!(error.contains("voc0712, fashion-scenes"), "{error}");
}

#[test]
fn images_that_a_network_does_not_accept_are_refused() {
    let options = Options {
        set: vec!["model=inception-v3".into(), "input_size=32".into()],
        ..Options::default()
    };
    let error = plan(DESIGN, &options).expect_err("refused").to_string();
    assert!(
        error.contains("model: inception-v3 does not accept 32 x 32 images"),
        "{error}"
    );
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

/// The experiments of the repository, on a machine with GPUs.
struct Builtin;
impl World for Builtin {
    fn device(&self) -> Arithmetic {
        Arithmetic::Cuda
    }
    fn dataset_identity(&self, name: &str) -> Result<String, SpecError> {
        Bare.dataset_identity(name)
    }
    fn file_digest(&self, path: &str) -> Result<String, SpecError> {
        Bare.file_digest(path)
    }
    fn experiment(&self, name: &str) -> Result<Arc<Experiment>, SpecError> {
        let text = crate::builtin::find(name)
            .ok_or_else(|| SpecError::new(format!("no experiment {name}")))?;
        Experiment::parse(name, name, text).map(Arc::new)
    }
}

fn builtin(name: &str, profile: &str) -> Plan {
    let options = Options {
        profile: Some(profile.to_owned()),
        ..Options::default()
    };
    let experiment = Builtin.experiment(name).expect("built in");
    build(experiment, &options, &Builtin).expect("plans")
}

/// recipes.md, "row -> run ledger": R1 to R13 and R15 to R19, I1 to I7, M1 to M7, K1 and K2.
#[test]
fn the_tables_of_the_paper_share_their_runs_as_the_ledger_says() {
    let mut trained = std::collections::BTreeSet::new();
    let mut timed = std::collections::BTreeSet::new();
    let mut cells = 0;
    for name in ["table2", "table3", "table4", "table5", "table6", "figure3"] {
        let plan = builtin(name, "paper");
        cells += plan.cells.len();
        for run in plan.runs {
            if run.timing { &mut timed } else { &mut trained }.insert(run.key);
        }
    }
    assert_eq!(trained.len(), 18 + 7 + 7 + 2);
    assert_eq!(timed.len(), 6);
    assert_eq!(cells, 3 + 6 + 10 + 4 + 18 + 2);
}

#[test]
fn a_teacher_stands_before_its_students_and_carries_the_profile() {
    let plan = builtin("table6", "quick");
    let cell = plan
        .cell("distillation-mixup", "inception-v3")
        .expect("a cell");
    let run = plan.run(&cell.runs[0]).expect("a run");
    let teacher = &run.depends_on["distill.teacher"];
    let place = |key: &RunKey| plan.runs.iter().position(|r| r.key == *key);
    assert!(place(teacher) < place(&run.key));
    let teacher = plan.run(teacher).expect("a run");
    assert_eq!(teacher.recipe.dataset, "fashion-mnist");
    assert_eq!(teacher.recipe.model, "resnet152d");
    assert!(
        teacher.recipe.mixup_alpha > 0.0,
        "the teacher of the mixup row is trained with mixup"
    );
}

/// recipes.md section 7, trap 20.
#[test]
fn trap_20_rows_with_mixup_train_for_200_epochs_and_others_for_120() {
    for cell in builtin("table6", "paper").cells {
        let epochs = if cell.recipe.mixup_alpha > 0.0 {
            200
        } else {
            120
        };
        assert_eq!(cell.recipe.epochs, epochs, "{}/{}", cell.row, cell.column);
        let mixed = cell.row.contains("mixup");
        assert_eq!(mixed, cell.recipe.mixup_alpha > 0.0);
    }
}

/// Zero gamma is left out of models without residual branches, also where it stands under a column.
#[test]
fn zero_gamma_is_skipped_where_it_does_not_apply_and_refused_where_it_is_not_skipped() {
    for name in ["table3", "table6"] {
        for cell in builtin(name, "paper").cells {
            let residual = cell.recipe.model.starts_with("resnet");
            let efficient = name == "table6" || cell.column == "efficient";
            assert_eq!(
                cell.recipe.zero_gamma,
                residual && efficient,
                "{}/{}",
                cell.row,
                cell.column
            );
        }
    }
    let text = crate::builtin::find("table3").expect("built in");
    let unskipped = text.replace("skip = { efficient = [\"zero-gamma\"] }\n", "");
    let error = Experiment::parse("t", "t.toml", &unskipped)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("zero-gamma") && error.contains("row.skip"),
        "{error}"
    );
    assert!(error.contains("inception-v3"), "{error}");
}

#[test]
fn a_teacher_of_other_classes_is_refused() {
    let options = Options {
        profile: Some("quick".to_owned()),
        set: vec!["dataset=imagenet".into()],
        rows: Some(vec!["distillation".into()]),
        columns: Some(vec!["resnet50d".into()]),
        ..Options::default()
    };
    let experiment = Builtin.experiment("table6").expect("built in");
    let error = build(experiment, &options, &Builtin)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("10 classes") && error.contains("1000"),
        "{error}"
    );
}

#[test]
fn a_figure_plans_the_runs_of_its_tables() {
    let figure = builtin("figure3", "quick");
    let table = builtin("table6", "quick");
    let of_table = |row| &table.cell(row, "resnet50d").expect("a cell").runs;
    let of_figure = |row| &figure.cell(row, "series").expect("a series").runs;
    assert_eq!(of_figure("table6-cosine-resnet50d"), of_table("cosine"));
    assert_eq!(
        of_figure("table6-efficient-resnet50d"),
        of_table("efficient")
    );
}

#[test]
fn a_timing_run_is_a_run_of_its_own_and_not_made_where_half_is_emulated() {
    let gpu = builtin("table3", "quick");
    assert_eq!(gpu.runs.iter().filter(|r| r.timing).count(), 6);
    for run in gpu.runs.iter().filter(|r| r.timing) {
        assert_eq!(run.recipe.epochs, TIMING_EPOCHS);
    }
    let text = crate::builtin::find("table3").expect("built in");
    let cpu = plan(text, &Options::default()).expect("plans");
    for cell in &cpu.cells {
        assert_eq!(cell.timing.is_none(), cell.column == "efficient");
    }
}

/// Issue 7: six of the seven backbones are Table 6's own runs, B-standard is trained once for both tables, and
/// Table 7's quick stand-in is two runs of Table 6.
#[test]
fn the_transfer_tables_start_from_table_6s_runs() {
    for profile in ["quick", "standard", "paper"] {
        let keys = |name: &str| -> std::collections::BTreeSet<RunKey> {
            builtin(name, profile)
                .runs
                .into_iter()
                .map(|r| r.key)
                .collect()
        };
        let table6 = keys("table6");
        let mut b_standard = std::collections::BTreeSet::new();
        for name in ["table8", "table9"] {
            let plan = builtin(name, profile);
            let mut own = 0;
            for cell in &plan.cells {
                for key in &cell.runs {
                    let backbone = &plan.run(key).expect("a run").depends_on["init"];
                    if cell.row == "b-standard" {
                        b_standard.insert(backbone.clone());
                    } else {
                        assert!(table6.contains(backbone), "{name} {}", cell.row);
                        own += 1;
                    }
                }
            }
            assert_eq!(own as u64, 6 * plan.seeds);
            let new = plan
                .runs
                .iter()
                .filter(|r| !table6.contains(&r.key))
                .count();
            assert_eq!(
                new as u64,
                8 * plan.seeds,
                "{name}: seven of its own and B-standard"
            );
        }
        assert_eq!(b_standard, keys("backbones"));
        if profile != "paper" {
            assert!(keys("table7").is_subset(&table6), "{profile}");
        }
    }
}

#[test]
fn a_backbone_of_another_shape_is_refused() {
    let options = Options {
        profile: Some("quick".to_owned()),
        set: vec!["width=0.5".into()],
        ..Options::default()
    };
    let experiment = Builtin.experiment("table8").expect("built in");
    let error = build(experiment, &options, &Builtin)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("width = 0.25, this one width = 0.5"),
        "{error}"
    );
}
