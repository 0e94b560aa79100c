//! A split whose images are files: what every layout that lists files becomes.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::error::DataError;

/// What the field calls an image by its name's end.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff"];

/// Whether a file's name is that of an image. Hidden files (`._x.jpg` of macOS) are none.
pub(super) fn is_image(name: &str) -> bool {
    !name.starts_with('.')
        && name
            .rsplit_once('.')
            .is_some_and(|(_, end)| EXTENSIONS.iter().any(|e| end.eq_ignore_ascii_case(e)))
}

/// Many strings in one: ImageNet's 1.3 million names are 50 MB instead of 100.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: String,
    ends: Vec<usize>,
}

impl Names {
    pub fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }
    pub fn get(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

/// An image of a list: its name and its class.
#[derive(Debug)]
pub(super) struct Listed {
    /// `CLASS/STEM.ext`: decides the order.
    pub name: String,
    /// Class, from 0.
    pub label: u32,
}

/// One split.
#[derive(Debug)]
pub struct Files {
    dataset: String,
    root: PathBuf,
    /// The files lie in `root` itself; the folder in a name is their class only.
    flat: bool,
    names: Names,
    labels: Vec<u32>,
    class_names: Vec<String>,
}

impl Files {
    /// Sorts the images by name. `flat` as in [`Files`]. Labels must be below the number of classes.
    pub(super) fn new(
        dataset: &str,
        root: &Path,
        flat: bool,
        mut images: Vec<Listed>,
        class_names: Vec<String>,
    ) -> Files {
        images.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut names = Names::default();
        for image in &images {
            names.push(&image.name);
        }
        Files {
            dataset: dataset.to_owned(),
            root: root.to_owned(),
            flat,
            names,
            labels: images.iter().map(|image| image.label).collect(),
            class_names,
        }
    }

    fn path(&self, index: usize) -> PathBuf {
        let name = self.names.get(index);
        match name.rsplit_once('/') {
            Some((_, file)) if self.flat => self.root.join(file),
            _ => self.root.join(name),
        }
    }
}

impl Dataset for Files {
    fn name(&self) -> &str {
        &self.dataset
    }
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn classes(&self) -> usize {
        self.class_names.len()
    }
    fn class_names(&self) -> &[String] {
        &self.class_names
    }
    fn label(&self, index: usize) -> i64 {
        i64::from(self.labels[index])
    }
    fn image_name(&self, index: usize) -> String {
        self.names.get(index).to_owned()
    }
    fn place(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }
    fn is_file(&self) -> bool {
        true
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        let path = self.path(index);
        std::fs::File::open(&path)
            .and_then(|mut file| file.read_to_end(into))
            .map_err(|source| DataError::io(&path, source))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        for name in ["a.jpg", "b.JPEG", "c.d.png", "x.TIFF"] {
            assert!(is_image(name), "{name}");
        }
        for name in ["._a.jpg", "Thumbs.db", "jpg", "notes.txt", ".jpg"] {
            assert!(!is_image(name), "{name}");
        }
    }

    #[test]
    fn images_are_in_the_byte_order_of_their_names() {
        let listed = |name: &str, label| Listed {
            name: name.to_owned(),
            label,
        };
        let images = vec![
            listed("b/1.jpg", 1),
            listed("a/2.jpg", 0),
            listed("a/10.jpg", 0),
        ];
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let files = Files::new("x", Path::new("/data"), false, images, classes.clone());
        let names: Vec<String> = (0..3).map(|i| files.image_name(i)).collect();
        assert_eq!(names, ["a/10.jpg", "a/2.jpg", "b/1.jpg"]);
        assert_eq!(files.place(2), "/data/b/1.jpg");
        let flat = Files::new(
            "x",
            Path::new("/val"),
            true,
            vec![listed("b/1.jpg", 1)],
            classes,
        );
        assert_eq!(
            (flat.place(0), flat.image_name(0)),
            ("/val/1.jpg".into(), "b/1.jpg".into())
        );
    }
}
