//! Golden traces, and the files that they were made from.

use std::path::Path;

use rungs_spec::model::{Model, Shape};
use rungs_spec::protocol::{EventKind, InputRef, RunFile};
use rungs_spec::recipe::Variant;
use safetensors::tensor::Dtype;
use serde_json::Value;

pub use super::formula::*;
use super::{Run, run_file};

/// tests/golden/CASE.json.
pub fn golden(case: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{case}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// Writes every file that the golden recipe names into `dir`; the run file that uses them.
pub fn prepare(golden: &Value, dir: &Path) -> RunFile {
    let path = |name: &str| dir.join(name).display().to_string();
    let mut recipe = golden["recipe"].clone();
    recipe["dataset"] = format!("tensors:{}", path("images.safetensors")).into();
    recipe["init"] = path("init.safetensors").into();
    let mixed = !recipe["mixup_lambdas"].is_null();
    if mixed {
        recipe["mixup_lambdas"] = path("mixup.safetensors").into();
    }
    let taught = !recipe["distill"].is_null();
    if taught {
        recipe["distill"]["teacher"]["weights"] = path("teacher.safetensors").into();
    }
    let mut file = run_file(recipe);
    let recipe = &file.recipe;
    write(
        &dir.join("images.safetensors"),
        &images(recipe.input_size as usize),
    );
    let student = Model::of_recipe(recipe, CLASSES).expect("a model");
    write(&dir.join("init.safetensors"), &weights(&student, ""));
    if mixed {
        let batch = recipe.batch_size as usize;
        let steps = recipe.epochs as usize * (IMAGES / batch);
        write(&dir.join("mixup.safetensors"), &mixup(steps, batch));
    }
    if taught {
        let teacher = &golden["teacher"];
        let model = teacher["model"].as_str().expect("a name").to_owned();
        let shape = Shape {
            depths: serde_json::from_value(teacher["depths"].clone()).expect("depths"),
            width: teacher["width"].as_f64().expect("a width"),
            dropout: 0.0,
            variant: Variant::Paper,
            classes: CLASSES,
        };
        let teacher = Model::build(&model, &shape).expect("a model");
        write(
            &dir.join("teacher.safetensors"),
            &weights(&teacher, "teacher."),
        );
        let input = InputRef {
            model,
            run_dir: None,
            checkpoint: None,
            file: Some(dir.join("teacher.safetensors")),
        };
        file.inputs.insert("distill.teacher".to_owned(), input);
    }
    file
}

/// A metric's values in a run's first attempt: of every step, or of every evaluation.
pub fn values(run: &Run, name: &str) -> Vec<f64> {
    if !name.starts_with("val/") {
        return run.series(1, name);
    }
    let evaluations = run
        .events(1)
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Evaluation { metrics, .. } => Some(metrics[name].0),
            _ => None,
        });
    evaluations.collect()
}

/// Writes a safetensors file.
pub fn write(path: &Path, tensors: &Tensors) {
    std::fs::write(path, bytes(tensors)).expect("a file");
}

/// What published files hold besides: `num_batches_tracked` of every BN and, of Inception-V3, the
/// auxiliary head for so many classes.
pub fn add_what_is_passed_over(tensors: &mut Tensors, classes: usize) {
    let norms: Vec<String> = tensors
        .keys()
        .filter_map(|name| name.strip_suffix("running_mean"))
        .map(|norm| format!("{norm}num_batches_tracked"))
        .collect();
    let inception = tensors.contains_key("Mixed_7c.branch1x1.conv.weight");
    for name in norms {
        let count = 1_234_i64.to_le_bytes().to_vec();
        tensors.insert(name, (Vec::new(), count, Dtype::I64));
    }
    if !inception {
        return;
    }
    let mut add = |name: String, shape: &[usize], dtype: Dtype| {
        let bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        tensors.insert(name, (shape.to_vec(), bytes, dtype));
    };
    for (conv, shape) in [("conv0", [128, 768, 1, 1]), ("conv1", [768, 128, 5, 5])] {
        add(format!("AuxLogits.{conv}.conv.weight"), &shape, Dtype::F32);
        for part in ["weight", "bias", "running_mean", "running_var"] {
            add(
                format!("AuxLogits.{conv}.bn.{part}"),
                &shape[..1],
                Dtype::F32,
            );
        }
        let count = format!("AuxLogits.{conv}.bn.num_batches_tracked");
        add(count, &[], Dtype::I64);
    }
    add(
        "AuxLogits.fc.weight".to_owned(),
        &[classes, 768],
        Dtype::F32,
    );
    add("AuxLogits.fc.bias".to_owned(), &[classes], Dtype::F32);
}
