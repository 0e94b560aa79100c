//! `trainer schedule`: the learning rate of every step.

use std::io::Write;
use std::path::Path;

use rungs_spec::schedule::LrSchedule;

use super::recipe_file;

pub fn schedule(file: &Path) -> anyhow::Result<()> {
    let (recipe, path) = recipe_file::read(file)?;
    let images = recipe_file::train_images(&recipe, path.as_deref())?;
    let steps_per_epoch = recipe.steps_per_epoch(images);
    anyhow::ensure!(
        steps_per_epoch > 0,
        "{}: batch_size = {} is more than the {images} training images",
        file.display(),
        recipe.batch_size
    );
    let schedule = LrSchedule::new(&recipe, steps_per_epoch);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    writeln!(out, "step,epoch,lr")?;
    for step in 0..schedule.steps() {
        writeln!(
            out,
            "{step},{},{}",
            step / steps_per_epoch,
            schedule.lr(step)
        )?;
    }
    Ok(out.flush()?)
}
