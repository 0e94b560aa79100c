//! The classes of ImageNet's flat validation images, from whichever of the usual files is there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// Files with a line for each image: `NAME LABEL`, the label a synset or a number of the sorted synsets.
const LISTS: [&str; 3] = ["val.txt", "ILSVRC2012_val.txt", "val_map.txt"];
/// Kaggle's: `NAME,SYNSET box SYNSET box ...`.
const SOLUTION: &str = "LOC_val_solution.csv";
/// Files with the synset of image 1, 2, 3, ... on a line each.
const SYNSETS: [&str; 2] = [
    "imagenet_2012_validation_synset_labels.txt",
    "synset_labels.txt",
];
/// The devkit's: the devkit's own number of the class of image 1, 2, 3, ... on a line each.
const GROUND_TRUTH: &str = "ILSVRC2012_validation_ground_truth.txt";
/// Which synset has which of the devkit's numbers: `SYNSET NUMBER words`.
const MAP: &str = "map_clsloc.txt";

/// Labels by image.
pub(super) struct Labels {
    /// Where they come from.
    pub file: PathBuf,
    /// Sorted synsets.
    pub classes: Vec<String>,
    labels: HashMap<String, u32>,
}

impl Labels {
    /// Class of an image, from 0.
    pub fn of(&self, image: &str) -> Option<u32> {
        self.labels.get(stem(image)).copied()
    }
}

/// What a line says of an image.
enum Class {
    Synset(String),
    /// Number in the sorted synsets.
    Number(usize),
}

/// Looks in `places`, the first first. `classes` are the training folders; empty without any.
pub(super) fn find(
    places: &[PathBuf],
    val: &Path,
    classes: Vec<String>,
) -> Result<Labels, DataError> {
    let look = |names: &[&str]| -> Option<PathBuf> {
        let files = places
            .iter()
            .flat_map(|p| names.iter().map(move |n| p.join(n)));
        files.into_iter().find(|file| file.is_file())
    };
    let (file, lines) = if let Some(file) = look(&LISTS) {
        let lines = read(&file, list_line)?;
        (file, lines)
    } else if let Some(file) = look(&[SOLUTION]) {
        let lines = read(&file, solution_line)?;
        (file, lines)
    } else if let Some(file) = look(&SYNSETS) {
        let lines = read(&file, |number, line| {
            Ok(Some((image_name(number), Class::Synset(line.to_owned()))))
        })?;
        (file, lines)
    } else if let Some(file) = look(&[GROUND_TRUTH]) {
        let map = look(&[MAP]).ok_or_else(|| {
            DataError::bad(
                &file,
                "has the devkit's own class numbers, which do not follow the sorted synsets, and the \
                 devkit's meta.mat is not read",
                format!(
                    "put {MAP} of a later devkit beside it (lines \"SYNSET NUMBER words\"; docs/DATA.md makes it from meta.mat), or \
                     {SOLUTION} of Kaggle"
                ),
            )
        })?;
        let numbers = devkit_numbers(&map)?;
        let lines = read(&file, |number, line| {
            let class = numbers
                .get(line)
                .ok_or_else(|| format!("the class {line:?} is not in {}", map.display()))?;
            Ok(Some((image_name(number), Class::Synset(class.clone()))))
        })?;
        (file, lines)
    } else {
        return Err(DataError::bad(
            val,
            "holds images without class folders, and no file of labels lies near",
            format!(
                "put {SOLUTION} of Kaggle, {} (lines \"IMAGE LABEL\"), {} or the devkit's {GROUND_TRUTH} with {MAP} \
                 beside {}, or sort the images into synset folders",
                LISTS[0],
                SYNSETS[0],
                val.display()
            ),
        ));
    };
    number(file, lines, classes)
}

/// Synsets become numbers.
fn number(
    file: PathBuf,
    lines: Vec<(usize, String, Class)>,
    mut classes: Vec<String>,
) -> Result<Labels, DataError> {
    if classes.is_empty() {
        classes = lines
            .iter()
            .filter_map(|(_, _, class)| match class {
                Class::Synset(synset) => Some(synset.clone()),
                Class::Number(_) => None,
            })
            .collect();
        classes.sort_unstable();
        classes.dedup();
    }
    let mut labels = HashMap::with_capacity(lines.len());
    for (line, image, class) in lines {
        let label = match &class {
            Class::Synset(synset) => classes.binary_search(synset).ok(),
            Class::Number(number) => Some(*number).filter(|n| *n < classes.len()),
        };
        let Some(label) = label else {
            let said = match class {
                Class::Synset(synset) => synset,
                Class::Number(number) => number.to_string(),
            };
            return Err(bad_line(
                &file,
                line,
                format!(
                    "the class {said} is none of the {} of the training folders",
                    classes.len()
                ),
            ));
        };
        labels.insert(image, label as u32);
    }
    Ok(Labels {
        file,
        classes,
        labels,
    })
}

/// Lines with their numbers, image and class; a reader's `None` is a heading.
fn read(
    file: &Path,
    parse: impl Fn(usize, &str) -> Result<Option<(String, Class)>, String>,
) -> Result<Vec<(usize, String, Class)>, DataError> {
    let text = std::fs::read_to_string(file).map_err(|e| DataError::io(file, e))?;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let parsed =
            parse(index + 1, line).map_err(|problem| bad_line(file, index + 1, problem))?;
        lines.extend(parsed.map(|(image, class)| (index + 1, image, class)));
    }
    Ok(lines)
}

fn list_line(_: usize, line: &str) -> Result<Option<(String, Class)>, String> {
    let (image, class) = line
        .rsplit_once(char::is_whitespace)
        .ok_or("expected \"IMAGE LABEL\"")?;
    let image = image.trim().rsplit('/').next().unwrap_or_default();
    let class = match class.parse() {
        Ok(number) => Class::Number(number),
        Err(_) => Class::Synset(class.to_owned()),
    };
    Ok(Some((stem(image).to_owned(), class)))
}

fn solution_line(number: usize, line: &str) -> Result<Option<(String, Class)>, String> {
    if number == 1 && line.starts_with("ImageId") {
        return Ok(None);
    }
    let (image, rest) = line
        .split_once(',')
        .ok_or("expected \"IMAGE,SYNSET ...\"")?;
    let synset = rest
        .split_whitespace()
        .next()
        .ok_or("expected a synset after the comma")?;
    Ok(Some((
        stem(image).to_owned(),
        Class::Synset(synset.to_owned()),
    )))
}

fn devkit_numbers(map: &Path) -> Result<HashMap<String, String>, DataError> {
    let text = std::fs::read_to_string(map).map_err(|e| DataError::io(map, e))?;
    let mut numbers = HashMap::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let mut words = line.split_whitespace();
        let (Some(synset), Some(number)) = (words.next(), words.next()) else {
            return Err(bad_line(
                map,
                index + 1,
                "expected \"SYNSET NUMBER words\"".to_owned(),
            ));
        };
        numbers.insert(number.to_owned(), synset.to_owned());
    }
    Ok(numbers)
}

fn bad_line(file: &Path, line: usize, problem: String) -> DataError {
    DataError::bad(
        file,
        format!("line {line}: {problem}"),
        "give the file that belongs to these images",
    )
}

/// What image N is called, without its extension.
fn image_name(number: usize) -> String {
    format!("ILSVRC2012_val_{number:08}")
}

fn stem(image: &str) -> &str {
    image.split_once('.').map_or(image, |(stem, _)| stem)
}
