//! ADE20K's scene parsing (Zhou et al. 2017) and what is arranged like it: `images/training/X.jpg` with
//! `annotations/training/X.png`, and the same under `validation/`. A mask has one byte a pixel: 0 counts
//! nowhere, 1 is the first class.
//!
//! Names of classes: `classes.txt` or ADE20K's `objectInfo150.txt` in the directory; without either, as many
//! classes as the training masks have.

use std::path::{Path, PathBuf};

use rungs_spec::recipe::Task;

use super::class_list;
use crate::dataset::{Channels, Dataset, Image, Split};
use crate::decode;
use crate::error::DataError;
use crate::parallel;
use crate::scenes::{Mask, Problem};

/// Directory of each split.
fn folder(split: Split) -> &'static str {
    match split {
        Split::Train => "training",
        Split::Val => "validation",
    }
}

/// One split.
#[derive(Debug)]
pub struct Ade {
    name: String,
    /// Image and mask, by name.
    files: Vec<Pair>,
    classes: Vec<String>,
    problems: Vec<Problem>,
}

/// Whether a directory is arranged like this.
pub(super) fn detect(path: &Path) -> bool {
    root(path).is_some()
}

/// The directory with `images/` and `annotations/`: this one, or ADE20K's own in it.
fn root(path: &Path) -> Option<PathBuf> {
    [path.to_owned(), path.join("ADEChallengeData2016")]
        .into_iter()
        .find(|dir| {
            ["images", "annotations"]
                .iter()
                .all(|of| dir.join(of).join(folder(Split::Train)).is_dir())
        })
}

/// A split. Errors: a directory cannot be read; a training mask that must say how many classes there are
/// cannot. A mask that is missing is among the problems.
pub fn open(name: &str, path: &Path, split: Split) -> Result<Option<Ade>, DataError> {
    let Some(root) = root(path) else {
        return Ok(None);
    };
    if !root.join("images").join(folder(split)).is_dir() {
        return Ok(None);
    }
    let (files, problems) = pairs(&root, split)?;
    let classes = match class_list::read(&root)? {
        Some(names) => names,
        None => numbered(&pairs(&root, Split::Train)?.0)?,
    };
    Ok(Some(Ade {
        name: name.to_owned(),
        files,
        classes,
        problems,
    }))
}

/// An image with its mask.
type Pair = (PathBuf, PathBuf);

/// Images with their masks, in the byte order of their names; images that have none.
fn pairs(root: &Path, split: Split) -> Result<(Vec<Pair>, Vec<Problem>), DataError> {
    let images = root.join("images").join(folder(split));
    let masks = root.join("annotations").join(folder(split));
    let io = |source| DataError::io(&images, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&images).map_err(io)? {
        names.push(PathBuf::from(entry.map_err(io)?.file_name()));
    }
    names.retain(|name| !name.to_string_lossy().starts_with('.'));
    names.sort_unstable();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        let (image, mask) = (images.join(&name), masks.join(name.with_extension("png")));
        if mask.is_file() {
            files.push((image, mask));
        } else {
            problems.push(Problem {
                what: format!(
                    "its mask {} is not there; put it there, or take the image away",
                    mask.display()
                ),
                path: image,
                line: None,
                left_out: false,
            });
        }
    }
    Ok((files, problems))
}

/// "1", "2", ...: as many as the highest label of these masks says.
fn numbered(files: &[Pair]) -> Result<Vec<String>, DataError> {
    let highest = parallel::map(files.len(), |at| {
        let (_, mask) = &files[at];
        let image = grey(mask)?;
        Ok(image.data.iter().max().copied().unwrap_or(0))
    })?;
    let highest = highest.into_iter().max().unwrap_or(0);
    Ok((1..=highest).map(|class| class.to_string()).collect())
}

/// A mask's bytes. Error: the file is no image of one byte a pixel.
fn grey(path: &Path) -> Result<Image, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    decode::labels(&bytes).map_err(|what| {
        DataError::Annotation(Problem {
            path: path.to_owned(),
            line: None,
            what: format!("is no mask: {what}; write it as a PNG of one byte a pixel"),
            left_out: false,
        })
    })
}

/// The classes of a mask's bytes. Error: one is beyond the classes; it names the row.
fn classes(path: &Path, image: &Image, names: usize, into: &mut Mask) -> Result<(), DataError> {
    debug_assert_eq!(image.channels, Channels::Grey);
    let beyond = |byte: &u8| usize::from(*byte) > names;
    if let Some(at) = image.data.iter().position(beyond) {
        let (row, column) = (at / image.width, at % image.width);
        return Err(DataError::Annotation(Problem {
            path: path.to_owned(),
            line: Some(row as u64 + 1),
            what: format!(
                "pixel {} of row {} has the label {}, and there are {names} classes; correct it, or 0 where it counts nowhere",
                column + 1,
                row + 1,
                image.data[at]
            ),
            left_out: false,
        }));
    }
    (into.width, into.height) = (image.width, image.height);
    into.classes.clear();
    into.classes
        .extend(image.data.iter().map(|byte| i16::from(*byte) - 1));
    Ok(())
}

impl Dataset for Ade {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.files.len()
    }
    fn classes(&self) -> usize {
        self.classes.len()
    }
    fn class_names(&self) -> &[String] {
        &self.classes
    }
    fn label(&self, _: usize) -> i64 {
        0
    }
    fn image_name(&self, index: usize) -> String {
        let name = self.files[index].0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
    fn place(&self, index: usize) -> String {
        self.files[index].0.display().to_string()
    }
    fn is_file(&self) -> bool {
        true
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        append(&self.files[index].0, into)
    }
    fn tasks(&self) -> &[Task] {
        &[Task::Segment]
    }
    fn mask_classes(&self) -> &[String] {
        &self.classes
    }
    fn mask(&self, index: usize, into: &mut Mask) -> Result<(), DataError> {
        let path = &self.files[index].1;
        classes(path, &grey(path)?, self.classes.len(), into)
    }
    fn mask_place(&self, index: usize) -> String {
        self.files[index].1.display().to_string()
    }
    fn annotation(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        append(&self.files[index].1, into)
    }
    fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// Appends a file's bytes.
pub(super) fn append(path: &Path, into: &mut Vec<u8>) -> Result<(), DataError> {
    use std::io::Read as _;
    std::fs::File::open(path)
        .and_then(|mut file| file.read_to_end(into))
        .map(|_| ())
        .map_err(|source| DataError::io(path, source))
}
