//! Places365 by its own file lists: `places365_train_standard.txt` (or `_challenge`), `places365_val.txt`
//! and `categories_places365.txt`, with the images in `data_256/` and `val_256/`, or `data_large/` and
//! `val_large/`. (The "easy format" download is an image folder.) Labels are those of the lists.

use std::path::{Component, Path, PathBuf};

use super::files::{Files, Listed};
use crate::dataset::Split;
use crate::error::DataError;

const CATEGORIES: &str = "categories_places365.txt";
const VAL: &str = "places365_val.txt";
const TEST: &str = "places365_test.txt";

/// Which list of training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// 1.8 million images.
    Standard,
    /// 8 million images.
    Challenge,
}

impl List {
    fn word(self) -> &'static str {
        match self {
            List::Standard => "standard",
            List::Challenge => "challenge",
        }
    }
    /// The file that lists the training images.
    pub(super) fn file(self) -> String {
        format!("places365_train_{}.txt", self.word())
    }
}

/// Which copies of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 256 x 256 pixels.
    Small,
    /// As large as they were.
    Large,
}

impl Size {
    fn word(self) -> &'static str {
        match self {
            Size::Small => "256",
            Size::Large => "large",
        }
    }
}

/// The directory of a split's images, as the archives or torchvision unpack them.
pub(super) fn images_dir(root: &Path, list: List, size: Size, split: Split) -> Option<PathBuf> {
    let (size, list) = (size.word(), list.word());
    let names = match split {
        Split::Train => vec![format!("data_{size}_{list}"), format!("data_{size}")],
        Split::Val => vec![format!("val_{size}")],
    };
    names.iter().map(|n| root.join(n)).find(|dir| dir.is_dir())
}

/// A split; `None` if its list or its directory is not there.
pub fn open(
    name: &str,
    root: &Path,
    list: List,
    size: Size,
    split: Split,
) -> Result<Option<Files>, DataError> {
    let file = match split {
        Split::Train => root.join(list.file()),
        Split::Val => root.join(VAL),
    };
    let (true, Some(dir)) = (file.is_file(), images_dir(root, list, size, split)) else {
        return Ok(None);
    };
    let classes = categories(root)?;
    let mut images = Vec::new();
    for (line, name, label) in read(&file)? {
        if label as usize >= classes.len() {
            return Err(bad_line(
                &file,
                line,
                format!("{label} is none of the {} categories", classes.len()),
            ));
        }
        if !is_below(&name) {
            return Err(bad_line(
                &file,
                line,
                format!("{name:?} is no path below {}", dir.display()),
            ));
        }
        images.push(Listed { name, label });
    }
    Ok(Some(Files::new(name, &dir, false, images, classes)))
}

/// The test images, whose labels the Places server holds: those that `places365_test.txt` lists, a name a
/// line, in `test_256/` or `test_large/`. Their labels are all 0 and mean nothing.
pub fn test(name: &str, root: &Path, size: Size) -> Result<Files, DataError> {
    let (file, dir) = (root.join(TEST), root.join(format!("test_{}", size.word())));
    for (there, path) in [(file.is_file(), &file), (dir.is_dir(), &dir)] {
        if !there {
            return Err(DataError::Missing {
                dataset: name.to_owned(),
                what: "its test split".to_owned(),
                looked: path.display().to_string(),
                cure: "fetch the test images and the file lists of Places365".to_owned(),
            });
        }
    }
    let classes = categories(root)?;
    let text = std::fs::read_to_string(&file).map_err(|e| DataError::io(&file, e))?;
    let mut images = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        // One list of the releases has a number behind each name.
        let name = line.split_whitespace().next().unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        if !is_below(&name) {
            let problem = format!("{name:?} is no path below {}", dir.display());
            return Err(bad_line(&file, index + 1, problem));
        }
        images.push(Listed { name, label: 0 });
    }
    Ok(Files::new(name, &dir, false, images, classes))
}

/// Names of the categories, in the order of their numbers.
fn categories(root: &Path) -> Result<Vec<String>, DataError> {
    let categories = root.join(CATEGORIES);
    let mut classes: Vec<(u32, String)> = read(&categories)?
        .into_iter()
        .map(|(_, name, label)| (label, name))
        .collect();
    classes.sort_unstable();
    if let Some(at) = (0..classes.len()).find(|at| classes[*at].0 as usize != *at) {
        return Err(DataError::bad(
            &categories,
            format!("has not exactly one category of the number {at}"),
            "fetch the file lists of Places365 again",
        ));
    }
    Ok(classes.into_iter().map(|(_, name)| name).collect())
}

fn is_below(name: &str) -> bool {
    let below = |c: Component<'_>| matches!(c, Component::Normal(_));
    !name.is_empty() && Path::new(name).components().all(below)
}

/// Lines of `NAME NUMBER`, with their numbers; a leading slash is dropped.
fn read(file: &Path) -> Result<Vec<(usize, String, u32)>, DataError> {
    let text = std::fs::read_to_string(file).map_err(|e| DataError::io(file, e))?;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let parsed = line
            .trim()
            .rsplit_once(' ')
            .and_then(|(name, number)| Some((name.trim_start_matches('/'), number.parse().ok()?)));
        let Some((name, number)) = parsed else {
            return Err(bad_line(
                file,
                index + 1,
                "expected \"NAME NUMBER\"".to_owned(),
            ));
        };
        lines.push((index + 1, name.to_owned(), number));
    }
    Ok(lines)
}

fn bad_line(file: &Path, line: usize, problem: String) -> DataError {
    DataError::bad(
        file,
        format!("line {line}: {problem}"),
        "fetch the file lists of Places365 again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset as _;

    fn places(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let all = [
            (CATEGORIES, "/a/airfield 0\n/b/bar 1\n"),
            (
                "places365_train_standard.txt",
                "/b/bar/1.jpg 1\n/a/airfield/2.jpg 0\n/a/airfield/1.jpg 0\n",
            ),
            ("places365_train_challenge.txt", "/b/bar/9.jpg 1\n"),
            (
                VAL,
                "Places365_val_00000002.jpg 0\nPlaces365_val_00000001.jpg 1\n",
            ),
            ("data_256/a/airfield/1.jpg", "small"),
            ("data_large_challenge/b/bar/9.jpg", "large"),
            ("val_256/Places365_val_00000001.jpg", "val"),
        ];
        for (file, text) in all.iter().chain(files) {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn lists_decide_images_and_labels() {
        let dir = places(&[]);
        let open = |list, size, split| open("x", dir.path(), list, size, split).unwrap();
        let train = open(List::Standard, Size::Small, Split::Train).unwrap();
        let names: Vec<_> = (0..3)
            .map(|i| (train.image_name(i), train.label(i)))
            .collect();
        let expected = [
            ("a/airfield/1.jpg", 0),
            ("a/airfield/2.jpg", 0),
            ("b/bar/1.jpg", 1),
        ];
        assert_eq!(names, expected.map(|(n, l)| (n.to_owned(), l)));
        assert_eq!(train.class_names(), ["a/airfield", "b/bar"]);
        let mut bytes = Vec::new();
        train.bytes(0, &mut bytes).unwrap();
        assert_eq!(bytes, b"small");
        let large = open(List::Challenge, Size::Large, Split::Train).unwrap();
        large.bytes(0, &mut bytes).unwrap();
        assert_eq!(bytes, b"smalllarge");
        let val = open(List::Standard, Size::Small, Split::Val).unwrap();
        assert_eq!((val.label(0), val.label(1)), (1, 0));
        assert!(open(List::Standard, Size::Large, Split::Val).is_none());
    }

    #[test]
    fn test_images_come_by_name_without_labels() {
        let dir = places(&[]);
        let open = || test("places", dir.path(), Size::Small).map(|files| files.len());
        let error = open().unwrap_err().to_string();
        assert!(
            error.contains("its test split") && error.contains("places365_test.txt"),
            "{error}"
        );
        std::fs::write(
            dir.path().join(TEST),
            "Places365_test_00000002.jpg\n\nPlaces365_test_00000001.jpg\n",
        )
        .unwrap();
        let error = open().unwrap_err().to_string();
        assert!(error.contains("test_256"), "{error}");
        std::fs::create_dir(dir.path().join("test_256")).unwrap();
        let found = test("places", dir.path(), Size::Small).unwrap();
        let names: Vec<_> = (0..found.len()).map(|i| found.image_name(i)).collect();
        assert_eq!(
            names,
            ["Places365_test_00000001.jpg", "Places365_test_00000002.jpg"]
        );
        assert_eq!(found.classes(), 2);
        std::fs::write(dir.path().join(TEST), "a.jpg\n../b.jpg\n").unwrap();
        let error = open().unwrap_err().to_string();
        assert!(
            error.contains("places365_test.txt") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn bad_lists_name_file_and_line() {
        let train = "places365_train_standard.txt";
        let cases: [(&str, &str, &str); 4] = [
            (
                train,
                "/a/airfield/1.jpg 2\n",
                "line 1: 2 is none of the 2 categories",
            ),
            (
                train,
                "/a/airfield/1.jpg 0\n\nnonsense\n",
                "line 3: expected",
            ),
            (train, "/../../etc/passwd 0\n", "no path below"),
            (
                CATEGORIES,
                "/a/airfield 0\n/b/bar 2\n",
                "category of the number 1",
            ),
        ];
        for (file, text, problem) in cases {
            let dir = places(&[(file, text)]);
            let error =
                open("x", dir.path(), List::Standard, Size::Small, Split::Train).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains(file) && error.contains(problem),
                "{problem}: {error}"
            );
        }
    }
}
