//! `trainer predict`: what a finished run says of test images whose labels a server holds, in the format of
//! Places365's development kit, section 2.2: a line an image in the order of their names, its file name and
//! five classes, numbered from 0, the most likely first.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, ensure};
use rungs_data::{EvalSet, LoaderConfig};
use rungs_spec::home::RunDir;
use rungs_spec::protocol::RunFile;
use rungs_spec::recipe::{CheckpointRef, Task};
use tch::{Device, Kind};

use crate::cli::PredictArgs;
use crate::evaluate::BATCH;
use crate::failure::Failure;
use crate::network::Network;
use crate::parameters::Arithmetic;
use crate::teacher::Teacher;
use crate::{batch, initial, replica_layout, weights};

/// Classes that the server wants of every image, no more and no fewer.
const CLASSES: i64 = 5;

pub fn predict(args: &PredictArgs) -> anyhow::Result<()> {
    let run_dir = RunDir(args.run_dir.clone());
    let recipe = run_dir.recipe();
    let text = std::fs::read_to_string(&recipe)
        .with_context(|| format!("{}: cannot be read", recipe.display()))?;
    let run: RunFile = serde_json::from_str(&text)
        .with_context(|| format!("{}: is not the recipe of a run", recipe.display()))?;
    ensure!(
        run.recipe.task == Task::Classify,
        "{}: does not classify, so it has nothing to say of whole images",
        recipe.display()
    );
    let said = |failure: Failure| anyhow::anyhow!(failure.message);
    let device = replica_layout::device(&args.device).map_err(said)?;
    let test = rungs_data::open_test(&run.dataset)?;
    let file = initial::checkpoint_of(&run_dir, CheckpointRef::Last).map_err(said)?;
    let dict = weights::read(&file)?;
    let model =
        weights::model_of(&run.recipe.model, &dict).with_context(|| file.display().to_string())?;
    ensure!(
        model.classes as usize == test.classes() && i64::from(model.classes) >= CLASSES,
        "{}: knows {} classes, {} has {}, and the server wants {CLASSES} of every image",
        file.display(),
        model.classes,
        run.dataset.name,
        test.classes()
    );
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    tch::set_num_threads(threads as i32);
    let plain = Arithmetic::Plain(Kind::Float);
    let network = Teacher::new(Network::new(&model), &dict, plain, device)
        .with_context(|| file.display().to_string())?;
    let config = LoaderConfig::from_recipe(&run.recipe, run.seed, threads);
    let mut set = EvalSet::new(test.clone(), &config, BATCH)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut index = 0;
    for batch in set.pass()? {
        let (images, _) = batch::tensors(&*batch?, Kind::Float, device).map_err(said)?;
        let (_, best) = network.logits(&images).topk(CLASSES, 1, true, true);
        let best = Vec::<i64>::try_from(best.to_device(Device::Cpu).flatten(0, 1))?;
        for classes in best.chunks_exact(CLASSES as usize) {
            let mut line = test.image_name(index);
            for class in classes {
                write!(line, " {class}")?;
            }
            writeln!(out, "{line}")?;
            index += 1;
        }
    }
    out.flush()?;
    Ok(())
}
