//! Names of the classes of a dataset with boxes or masks, where a file beside it lists them.

use std::path::Path;

use crate::error::DataError;

/// `classes.txt`, one name a line.
pub const FILE: &str = "classes.txt";

/// The names in `classes.txt` of `dir`, or in ADE20K's `objectInfo150.txt`; none if neither is there.
/// Errors: it cannot be read, or has a name twice.
pub(super) fn read(dir: &Path) -> Result<Option<Vec<String>>, DataError> {
    let own = dir.join(FILE);
    if own.exists() {
        let text = text(&own)?;
        let names: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                let problem = format!("has the class \"{name}\" twice");
                return Err(DataError::bad(&own, problem, "name each class once"));
            }
        }
        return Ok(Some(names));
    }
    let ade = dir.join("objectInfo150.txt");
    if !ade.exists() {
        return Ok(None);
    }
    // Idx, Ratio, Train, Val, Name; the first line says so.
    let text = text(&ade)?;
    let names = text.lines().skip(1).filter_map(|line| {
        let name = line.split('\t').nth(4)?.trim();
        Some(name.split(',').next()?.trim().to_owned())
    });
    Ok(Some(names.collect()))
}

fn text(path: &Path) -> Result<String, DataError> {
    std::fs::read_to_string(path).map_err(|source| DataError::io(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_read_and_a_repeated_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let info = "Idx\tRatio\tTrain\tVal\tName\n1\t0.15\t11664\t1172\twall\n2\t0.10\t6046\t612\tbuilding, edifice\n";
        std::fs::write(dir.path().join("objectInfo150.txt"), info).unwrap();
        let names = read(dir.path()).unwrap().unwrap();
        assert_eq!(names, ["wall", "building"]);
        std::fs::write(dir.path().join(FILE), "a b\n\nc\n").unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap(), ["a b", "c"]);
        std::fs::write(dir.path().join(FILE), "a\nb\na\n").unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("\"a\" twice"), "{error}");
    }
}
