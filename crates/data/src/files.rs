//! Image files below a directory, without labels: what `runner bench loader` measures with.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Image};
use crate::decode;
use crate::error::DataError;

/// Endings of the names of image files, in small letters.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff"];

/// The image files below a directory, sorted; all of one class.
#[derive(Debug, Clone)]
pub struct Files {
    name: String,
    paths: Vec<PathBuf>,
}

impl Files {
    /// Files below `dir`, at any depth; links are followed. Errors: a directory that cannot be
    /// read, or has no image files.
    pub fn below(dir: &Path) -> Result<Self, DataError> {
        let mut paths = Vec::new();
        // A link to a directory above would go round for ever; no dataset is deeper than this.
        collect(dir, 16, &mut paths)?;
        paths.sort_unstable();
        if paths.is_empty() {
            return Err(DataError::Missing {
                dataset: dir.display().to_string(),
                what: "an image file".to_owned(),
                looked: format!("names that end in {}", ENDINGS.join(", ")),
                cure: "name a directory of images".to_owned(),
            });
        }
        Ok(Files {
            name: dir.display().to_string(),
            paths,
        })
    }

    /// The same files over and over, `n` in all.
    pub fn repeated(mut self, n: usize) -> Self {
        self.paths = self.paths.iter().cycle().take(n).cloned().collect();
        self
    }
}

fn collect(dir: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let failed = |source| DataError::Io {
        path: dir.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ending = path.extension().and_then(|e| e.to_str());
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, paths)?;
            }
        } else if ending.is_some_and(|e| ENDINGS.contains(&e.to_lowercase().as_str())) {
            paths.push(path);
        }
    }
    Ok(())
}

impl Dataset for Files {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.paths.len()
    }
    fn classes(&self) -> usize {
        1
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn label(&self, _: usize) -> i64 {
        0
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        let mut bytes = Vec::new();
        self.bytes(index, &mut bytes)?;
        decode::whole(&bytes, &|| self.place(index), into)
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        let path = &self.paths[index];
        File::open(path)
            .and_then(|mut file| file.read_to_end(into))
            .map(|_| ())
            .map_err(|source| DataError::Io {
                path: path.clone(),
                source,
            })
    }
    fn is_file(&self) -> bool {
        true
    }
    fn place(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }
}
