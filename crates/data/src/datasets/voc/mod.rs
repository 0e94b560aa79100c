//! PASCAL VOC's layout: `Annotations/X.xml`, `JPEGImages/X.jpg`, `ImageSets/Main/SPLIT.txt`, in one directory or
//! in the devkit's `VOC2007/` and `VOC2012/`.
//!
//! Trained on is every `trainval`, evaluated on every `test`; without a `test`, `train` and `val`. Names of
//! classes: `classes.txt` beside them, the names of the lists `ImageSets/Main/CLASS_trainval.txt`, or, without
//! either, the names in the annotations of the training split, sorted.

mod annotation;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rungs_spec::recipe::Task;

use super::{ade, class_list};
use crate::dataset::{Dataset, Split};
use crate::decode;
use crate::error::DataError;
use crate::parallel;
use crate::scenes::{Object, Problem, object_bytes};
use annotation::{Annotation, Said, parse};

/// One split.
#[derive(Debug)]
pub struct Voc {
    name: String,
    entries: Vec<Entry>,
    classes: Vec<String>,
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Entry {
    image: PathBuf,
    objects: Vec<Object>,
}

/// An image that a list names, with what its annotation says.
struct Read {
    image: PathBuf,
    annotation: PathBuf,
    size: Option<[usize; 2]>,
    said: Annotation,
}

/// Whether a directory is arranged like this.
pub(super) fn detect(path: &Path) -> bool {
    !roots(path).is_empty()
}

/// Every directory with annotations: this one, or the years of a devkit.
fn roots(path: &Path) -> Vec<PathBuf> {
    let whole = |dir: &PathBuf| dir.join("Annotations").is_dir() && lists(dir).is_dir();
    if whole(&path.to_owned()) {
        return vec![path.to_owned()];
    }
    let devkit = [path.to_owned(), path.join("VOCdevkit")];
    let years = devkit
        .iter()
        .flat_map(|dir| ["VOC2007", "VOC2012"].map(|year| dir.join(year)));
    years.filter(whole).collect()
}

fn lists(root: &Path) -> PathBuf {
    root.join("ImageSets").join("Main")
}

/// The lists of a split, with their directories.
fn lists_of(roots: &[PathBuf], split: Split) -> Vec<(&PathBuf, PathBuf)> {
    let named = |name: &str| -> Vec<(&PathBuf, PathBuf)> {
        let files = roots.iter().map(|root| (root, lists(root).join(name)));
        files.filter(|(_, file)| file.is_file()).collect()
    };
    let (test, trainval) = (named("test.txt"), named("trainval.txt"));
    let tested = !test.is_empty() && !trainval.is_empty();
    match split {
        Split::Train if tested => trainval,
        Split::Val if tested => test,
        Split::Train => named("train.txt"),
        Split::Val => named("val.txt"),
    }
}

/// A split; `None` if no list of it is there. Errors: a list or a directory cannot be read. What is wrong with
/// single files is among the problems, and such images and boxes are left out.
pub fn open(name: &str, path: &Path, split: Split) -> Result<Option<Voc>, DataError> {
    let roots = roots(path);
    if lists_of(&roots, split).is_empty() {
        return Ok(None);
    }
    let (read, mut problems) = read_split(&roots, split)?;
    let classes = match classes(path, &roots)? {
        Some(names) => names,
        None if split == Split::Train => named_in(&read),
        None => named_in(&read_split(&roots, Split::Train)?.0),
    };
    let entries = read
        .into_iter()
        .map(|read| Entry {
            objects: read
                .said
                .objects
                .iter()
                .filter_map(|said| {
                    let object = object(said, &read, &classes);
                    object.map_err(|problem| problems.push(problem)).ok()
                })
                .collect(),
            image: read.image,
        })
        .collect();
    Ok(Some(Voc {
        name: name.to_owned(),
        entries,
        classes,
        problems,
    }))
}

/// Names from files; none where no file says them.
fn classes(path: &Path, roots: &[PathBuf]) -> Result<Option<Vec<String>>, DataError> {
    let places = std::iter::once(path).chain(roots.iter().map(PathBuf::as_path));
    for place in places {
        if let Some(names) = class_list::read(place)? {
            return Ok(Some(names));
        }
    }
    let mut names = BTreeSet::new();
    for root in roots {
        let dir = lists(root);
        let io = |source| DataError::io(&dir, source);
        for entry in std::fs::read_dir(&dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let class = name.to_str().and_then(|n| n.strip_suffix("_trainval.txt"));
            names.extend(class.map(str::to_owned));
        }
    }
    Ok((!names.is_empty()).then(|| names.into_iter().collect()))
}

fn named_in(read: &[Read]) -> Vec<String> {
    let said = read.iter().flat_map(|r| &r.said.objects);
    let names: BTreeSet<&str> = said.map(|s| s.name.as_str()).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Every image of a split, by directory and name.
fn read_split(roots: &[PathBuf], split: Split) -> Result<(Vec<Read>, Vec<Problem>), DataError> {
    // (name, directory, list, line)
    let mut named: Vec<(String, &PathBuf, PathBuf, u64)> = Vec::new();
    for (root, list) in lists_of(roots, split) {
        let text = std::fs::read_to_string(&list).map_err(|e| DataError::io(&list, e))?;
        for (line, text) in (1u64..).zip(text.lines()) {
            if let Some(name) = text.split_whitespace().next() {
                named.push((name.to_owned(), root, list.clone(), line));
            }
        }
    }
    named.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    let all = parallel::map(named.len(), |at| {
        let (name, root, list, line) = &named[at];
        Ok(read_one(name, root, list, *line))
    })?;
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    for one in all {
        match one {
            Ok(one) => read.push(one),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((read, problems))
}

fn read_one(name: &str, root: &Path, list: &Path, line: u64) -> Result<Read, Problem> {
    let problem = |path: &Path, line, what: String| Problem {
        path: path.to_owned(),
        line: Some(line),
        what,
        left_out: false,
    };
    let missing = |path: &Path| {
        let what = format!(
            "names {name}, but {} is not there; put it there, or take the line out",
            path.display()
        );
        problem(list, line, what)
    };
    let images = root.join("JPEGImages");
    let image = ["jpg", "jpeg", "JPG", "JPEG", "png"]
        .iter()
        .map(|ending| images.join(format!("{name}.{ending}")))
        .find(|path| path.is_file())
        .ok_or_else(|| missing(&images.join(format!("{name}.jpg"))))?;
    let annotation = root.join("Annotations").join(format!("{name}.xml"));
    let text = match std::fs::read_to_string(&annotation) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing(&annotation)),
        Err(e) => return Err(problem(&annotation, 1, format!("cannot be read: {e}"))),
    };
    let said = parse(&text).map_err(|(line, what)| problem(&annotation, line, what))?;
    Ok(Read {
        size: size(&image),
        image,
        annotation,
        said,
    })
}

/// Width and height from an image's header; none if it is broken, which decoding it will tell.
fn size(path: &Path) -> Option<[usize; 2]> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(1 << 16).read_to_end(&mut bytes).ok()?;
    let place = || path.display().to_string();
    if let Ok(size) = decode::size(&bytes, &place) {
        return Some(size);
    }
    decode::size(&std::fs::read(path).ok()?, &place).ok()
}

/// An object whose class is known and whose box lies in the image. Error: what is wrong, in which line.
fn object(said: &Said, read: &Read, classes: &[String]) -> Result<Object, Problem> {
    let problem = |line, what, left_out| Problem {
        path: read.annotation.clone(),
        line: Some(line),
        what,
        left_out,
    };
    let Some(label) = classes.iter().position(|class| *class == said.name) else {
        let what = format!(
            "the class \"{}\" is unknown; {}",
            said.name,
            rungs_spec::error::nearest(&said.name, classes.iter().map(String::as_str))
        );
        return Err(problem(said.name_line, what, false));
    };
    let [left, top, right, bottom] = said.corners;
    let cure = "correct it, or let training leave it out: max_corrupt";
    let shown = format!("the box {left}, {top}, {right}, {bottom}");
    if right <= left || bottom <= top {
        let what = format!("{shown} has no area; {cure}");
        return Err(problem(said.box_line, what, true));
    }
    if let Some([width, height]) = read.size
        && (left < 1.0 || top < 1.0 || right > width as f64 || bottom > height as f64)
    {
        let what = format!(
            "{shown} lies outside the image, which has {width} x {height} pixels counted from 1; {cure}"
        );
        return Err(problem(said.box_line, what, true));
    }
    Ok(Object {
        label: label as i64,
        // Pixels count from 0 here.
        corners: said.corners.map(|corner| (corner - 1.0) as f32),
        difficult: said.difficult,
    })
}

impl Dataset for Voc {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.entries.len()
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
        let name = self.entries[index].image.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
    fn place(&self, index: usize) -> String {
        self.entries[index].image.display().to_string()
    }
    fn is_file(&self) -> bool {
        true
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        ade::append(&self.entries[index].image, into)
    }
    fn tasks(&self) -> &[Task] {
        &[Task::Detect]
    }
    fn objects(&self, index: usize) -> &[Object] {
        &self.entries[index].objects
    }
    fn annotation(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        object_bytes(self.objects(index), into);
        Ok(())
    }
    fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

#[cfg(test)]
mod tests;
