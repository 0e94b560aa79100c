use super::*;
use crate::error::SpecError;
use crate::plan::{Options, explain};

const DESIGN: &str = include_str!("design.toml");

fn parse(text: &str) -> Result<Experiment, SpecError> {
    Experiment::parse("t", "t.toml", text)
}

/// The block in the design document is the contract.
#[test]
fn the_design_block_parses() {
    let e = parse(DESIGN).expect("the design's own example");
    assert_eq!(e.rows.len(), 2);
    assert_eq!(e.rows[1].on.as_deref(), Some("linear-scaling"));
    assert_eq!(e.rows[0].paper["bs1024"]["val/top5"].value, 92.54);
    let cell = explain(&e, &Options::default(), "warmup", "bs256")
        .expect("settles")
        .recipe
        .clone();
    assert_eq!(
        (cell.epochs, cell.batch_size, cell.warmup_epochs),
        (4, 64, 1.0)
    );
    assert_eq!(cell.peak_lr(), 0.1 * 64.0 / 256.0);
    let cell = explain(&e, &Options::default(), "warmup", "bs1024")
        .expect("settles")
        .recipe
        .clone();
    assert_eq!((cell.batch_size, cell.peak_lr()), (1024, 0.4));
}

#[test]
fn explain_tells_where_each_value_came_from() {
    let e = parse(DESIGN).expect("parses");
    let options = Options {
        set: vec!["momentum=0.5".into()],
        ..Options::default()
    };
    let settled = explain(&e, &options, "warmup", "bs256").expect("settles");
    let from = |key: &str| {
        settled
            .keys
            .iter()
            .find(|k| k.key == key)
            .expect("known key")
    };
    let batch = from("batch_size");
    assert_eq!(
        (batch.value.as_str(), &*batch.from),
        ("64", "[profile.quick.column.bs256]")
    );
    assert_eq!(
        batch.overrode,
        vec![
            ("256".to_owned(), "default".into()),
            ("256".to_owned(), "column bs256".into())
        ]
    );
    assert_eq!(from("warmup_epochs").refinement, Some("warmup"));
    assert_eq!(from("momentum").from, "--set");
    assert_eq!(from("lr").from, "default");
    let of_others = |key: &&crate::keys::Key| {
        ["distill.", "detect.", "segment."]
            .iter()
            .any(|table| key.path.starts_with(table))
    };
    assert_eq!(
        settled.keys.len(),
        crate::keys::KEYS.len() - crate::keys::KEYS.iter().filter(of_others).count(),
        "all keys but those of distillation and of other tasks"
    );
}

const SMALL: &str = "title = 't'\n[base]\nepochs = 2\n[[column]]\nid = 'a'\n[[row]]\nid = 'r'\nadd = ['warmup']\n\
                     [profile.p.refinement.warmup]\nepochs = 1\n";

/// Each bad file: the text put in, where it must point, and a word of the cure.
#[test]
fn a_bad_file_is_refused_at_its_place() {
    let swap = |from: &str, to: &str| DESIGN.replacen(from, to, 1);
    for (text, at, word) in [
        (
            swap("\"warmup\"]", "\"warmpu\"]"),
            (29, 8),
            "did you mean \"warmup\"",
        ),
        (
            swap("model = \"resnet50\"", "modle = \"resnet50\""),
            (8, 1),
            "did you mean \"model\"",
        ),
        (
            swap("\"resnet50\"", "\"resnet51\""),
            (8, 9),
            "did you mean \"resnet50\"",
        ),
        (
            swap("batch_size = 256", "batch_size = -256"),
            (14, 22),
            "at least 1",
        ),
        (
            swap("id = \"warmup\"", "id = \"linear-scaling\""),
            (27, 6),
            "used twice",
        ),
        (
            swap("id = \"warmup\"", "id = \"warmup\"\non = \"wramup\""),
            (28, 6),
            "did you mean \"warmup\"",
        ),
        (
            swap("id = \"warmup\"", "id = \"warmup\"\non = \"warmup\""),
            (28, 6),
            "cycle",
        ),
        (
            swap("\"val/top5\"]", "\"val/top5x\"]"),
            (3, 24),
            "did you mean \"val/top5\"",
        ),
        (
            swap("default_profile = \"quick\"", "default_profile = \"quik\""),
            (5, 19),
            "did you mean \"quick\"",
        ),
        (swap("paper.bs256", "paper.bs255"), (24, 7), "is no column"),
        (swap("seeds = 1", "seeds = 0"), (4, 9), "from 1 to"),
        (swap("seeds = 1", "seeds = "), (4, 9), "not TOML"),
        (
            swap(
                "[profile.quick.refinement.warmup]\nepochs = 1",
                "[profile.quick.refinement.warmup]\nepoch = 1",
            ),
            (36, 1),
            "epochs",
        ),
    ] {
        let error = parse(&text).expect_err(word);
        assert!(error.message.contains(word), "{word}: {error}");
        assert_eq!(error.at, Some(at), "{error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("t.toml:{}:{}: ", at.0, at.1)),
            "{error}"
        );
    }
}

#[test]
fn a_cycle_over_two_rows_is_found() {
    let text = "title = 't'\n[base]\n[[column]]\nid = 'a'\n[[row]]\nid = 'x'\non = 'y'\n[[row]]\nid = 'y'\non = 'x'\n";
    let error = parse(text).expect_err("a cycle");
    assert!(
        error.message.contains("x stands on y stands on x"),
        "{error}"
    );
}

#[test]
fn what_only_shows_when_a_cell_settles_is_refused_with_the_file() {
    let error = parse(SMALL).expect_err("warmup is longer than training");
    assert!(
        error.message.contains("row \"r\", column \"a\"")
            && error.message.contains("longer than epochs"),
        "{error}"
    );
    let text = SMALL.replace("epochs = 2", "epochs = 8\nreplicas = 3");
    assert!(
        parse(&text)
            .expect_err("uneven replicas")
            .message
            .contains("replicas = 3")
    );
}

#[test]
fn rows_form_a_tree_and_settings_run_down_it() {
    let text = "title = 't'\n[base]\n[[column]]\nid = 'a'\n\
        [[row]]\nid = 'root'\nset = { momentum = 0.5 }\n\
        [[row]]\nid = 'left'\nadd = ['zero-gamma']\n\
        [[row]]\nid = 'right'\non = 'root'\nadd = ['no-bias-decay']\n\
        [[row]]\nid = 'other'\non = 'base'\n";
    let e = parse(text).expect("parses");
    let recipe = |row: &str| {
        explain(&e, &Options::default(), row, "a")
            .expect("settles")
            .recipe
            .clone()
    };
    assert!(recipe("left").zero_gamma && recipe("left").momentum == 0.5);
    assert!(!recipe("right").zero_gamma && recipe("right").momentum == 0.5);
    assert_eq!(recipe("other").momentum, 0.9);
    assert_eq!(e.row("other").expect("row").on, None);
}

#[test]
fn a_skipped_refinement_stays_out_of_all_rows_above() {
    let text = "title = 't'\n[base]\n[[column]]\nid = 'a'\n[[column]]\nid = 'b'\n\
        [[row]]\nid = 'zero'\nadd = ['zero-gamma']\nskip = { b = ['zero-gamma'] }\n[[row]]\nid = 'top'\nadd = ['warmup']\n";
    let e = parse(text).expect("parses");
    let zero = |row: &str, column: &str| {
        explain(&e, &Options::default(), row, column)
            .expect("settles")
            .recipe
            .clone()
            .zero_gamma
    };
    assert!(zero("top", "a") && !zero("zero", "b") && !zero("top", "b"));
}

#[test]
fn the_gluoncv_variant_changes_defaults_and_explicit_keys_win() {
    let text = "title = 't'\n[base]\nvariant = 'gluoncv'\naugment = { hue = 0.1 }\n[[column]]\nid = 'a'\n[[row]]\nid = 'r'\n";
    let recipe = explain(&parse(text).expect("parses"), &Options::default(), "r", "a")
        .expect("settles")
        .recipe
        .clone();
    assert_eq!((recipe.augment.hue, recipe.augment.contrast), (0.1, 0.4));
    assert_eq!(recipe.init, crate::recipe::Init::Name("msra".into()));
}

#[test]
fn every_built_in_file_is_valid_and_has_its_default_profile() {
    assert!(!crate::builtin::EXPERIMENTS.is_empty());
    for (name, text) in crate::builtin::EXPERIMENTS {
        let e = Experiment::parse(name, name, text).unwrap_or_else(|error| panic!("{error}"));
        // Block diagrams are drawn, not trained.
        let drawn = e.figure.is_some_and(|figure| !figure.models.is_empty());
        let profile = (!drawn).then_some("quick");
        assert_eq!(e.default_profile.as_deref(), profile, "{name}");
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a person types, the answer is an experiment or a located refusal, never a panic.
        #[test]
        fn a_damaged_file_is_refused_or_valid(cut in 0..DESIGN.len(), length in 0usize..40, put in "[ -~\n]{0,12}") {
            let end = (cut + length).min(DESIGN.len());
            let text = format!("{}{put}{}", &DESIGN[..cut], &DESIGN[end..]);
            if let Err(error) = parse(&text) {
                prop_assert!(error.to_string().starts_with("t.toml"));
                prop_assert!(error.message.len() > 10);
            }
        }

        /// Every settled recipe survives recipe.json unchanged, and completes to itself.
        #[test]
        fn a_recipe_survives_json(batch in 1u32..512, lr in 1e-4f64..2.0, epochs in 1u32..300, flip in 0.0f64..1.0) {
            let set = format!("batch_size = {}\nlr = {lr}\nepochs = {epochs}\naugment = {{ flip = {flip} }}", batch * 8);
            let recipe = crate::settle::complete(&set.parse().expect("TOML")).expect("settles");
            let json = serde_json::to_string(&recipe).expect("JSON");
            let back: crate::Recipe = serde_json::from_str(&json).expect("a recipe");
            prop_assert_eq!(&back, &recipe);
        }
    }
}

/// What the file is for: the same batch at the small batch's rate, and at four times that rate.
#[test]
fn the_linear_scaling_file_compares_the_rate_with_four_times_the_rate() {
    let text = crate::builtin::find("linear-scaling").expect("built in");
    let e = Experiment::parse("linear-scaling", "linear-scaling", text).expect("parses");
    for profile in ["quick", "standard", "paper"] {
        let options = Options {
            profile: Some(profile.into()),
            ..Options::default()
        };
        let peak = |row: &str| {
            explain(&e, &options, row, "bs1024")
                .expect("settles")
                .recipe
                .clone()
                .peak_lr()
        };
        assert_eq!(
            [peak("unscaled"), peak("linear-scaling"), peak("warmup")],
            [0.1, 0.4, 0.4],
            "{profile}"
        );
    }
}
