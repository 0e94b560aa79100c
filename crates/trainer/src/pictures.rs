//! How do predictions get into pictures? After an evaluation, a few images of the split are written
//! into the run directory with the truth and the prediction ([`rungs_spec::pictures`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use rungs_spec::home::RunDir;
use rungs_spec::pictures::{Marks, Object, Picture, Pictures, color};
use rungs_spec::protocol::PROTOCOL_VERSION;

use crate::failure::{Failure, io_failure};

/// How much of the image a mask lets through, of 255.
const OPAQUE: u8 = 150;

/// An image with what is said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// What the dataset calls it.
    pub name: String,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Row by row, `width * height * 3` bytes.
    pub rgb: Vec<u8>,
    /// What the annotation says.
    pub truth: Said,
    /// What the network says.
    pub predicted: Said,
}

/// What is said about an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Class of each pixel, row by row; below 0 none.
    Mask(Vec<i16>),
    /// Objects in pixels of the image.
    Boxes(Vec<Object>),
}

/// Writes (again) what attempt `attempt` says about some images after `epoch` epochs. A page that is
/// being made meanwhile reads whole files, old or new. Error: the file system refused (transient).
pub fn write(
    run_dir: &RunDir,
    attempt: u32,
    epoch: u64,
    classes: &[String],
    shown: &[Shown],
) -> Result<(), Failure> {
    let dir = run_dir.pictures();
    std::fs::create_dir_all(&dir).map_err(|error| io_failure("cannot create", &dir, error))?;
    let mut pictures = Pictures {
        v: PROTOCOL_VERSION,
        epoch,
        classes: classes.to_vec(),
        pictures: Vec::new(),
    };
    for (i, one) in shown.iter().enumerate() {
        let size = [one.width, one.height].map(|side| side as u32);
        let image = Pictures::png(attempt, i, "image");
        replace(&dir.join(&image), |file| {
            png(file, size, &Values::Rgb(&one.rgb))
        })?;
        let marks = |said: &Said, what: &str| -> Result<Marks, Failure> {
            Ok(match said {
                Said::Boxes(objects) => Marks::Boxes(objects.clone()),
                Said::Mask(mask) => {
                    let file = Pictures::png(attempt, i, what);
                    replace(&dir.join(&file), |file| {
                        png(file, size, &Values::Classes(mask))
                    })?;
                    let classes: BTreeSet<u32> =
                        mask.iter().filter_map(|c| u32::try_from(*c).ok()).collect();
                    Marks::Mask {
                        file,
                        classes: classes.into_iter().collect(),
                    }
                }
            })
        };
        pictures.pictures.push(Picture {
            name: one.name.clone(),
            image,
            width: size[0],
            height: size[1],
            truth: marks(&one.truth, "truth")?,
            predicted: marks(&one.predicted, "predicted")?,
        });
    }
    replace(&dir.join(Pictures::file(attempt)), |file| {
        serde_json::to_writer_pretty(file, &pictures).map_err(std::io::Error::from)
    })
}

/// What a PNG is made of.
enum Values<'a> {
    Rgb(&'a [u8]),
    Classes(&'a [i16]),
}

fn png(file: &mut dyn Write, size: [u32; 2], values: &Values) -> std::io::Result<()> {
    let mut encoder = png::Encoder::new(file, size[0], size[1]);
    encoder.set_depth(png::BitDepth::Eight);
    let painted;
    let bytes = match values {
        Values::Rgb(bytes) => {
            encoder.set_color(png::ColorType::Rgb);
            *bytes
        }
        Values::Classes(classes) => {
            encoder.set_color(png::ColorType::Rgba);
            painted = classes
                .iter()
                .flat_map(|class| match u32::try_from(*class) {
                    Ok(class) => {
                        let [r, g, b] = color(class);
                        [r, g, b, OPAQUE]
                    }
                    Err(_) => [0; 4],
                })
                .collect::<Vec<u8>>();
            &painted
        }
    };
    let mut writer = encoder.write_header()?;
    writer.write_image_data(bytes)?;
    writer.finish()?;
    Ok(())
}

/// Writes a file under another name first.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    written
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| {
            // Half a file is of no use, and the disk may be full. The first error is the one to tell.
            let _ = std::fs::remove_file(&temporary);
            io_failure("cannot write", path, error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> (png::ColorType, Vec<u8>) {
        let file = std::io::BufReader::new(File::open(path).expect("the file"));
        let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut bytes).expect("pixels");
        bytes.truncate(info.buffer_size());
        (info.color_type, bytes)
    }

    #[test]
    fn masks_and_boxes_are_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let run_dir = RunDir(dir.path().to_owned());
        let object = Object {
            at: [1.0, 0.0, 2.0, 1.5],
            class: 1,
            score: Some(0.75),
            difficult: false,
        };
        let shown = |truth, predicted| Shown {
            name: "two by one".into(),
            width: 2,
            height: 1,
            rgb: vec![1, 2, 3, 4, 5, 6],
            truth,
            predicted,
        };
        let both = [
            shown(Said::Mask(vec![1, -1]), Said::Mask(vec![0, 1])),
            shown(Said::Boxes(Vec::new()), Said::Boxes(vec![object.clone()])),
        ];
        let names = ["coat".to_owned(), "bag".to_owned()];
        for epoch in [1, 2] {
            write(&run_dir, 7, epoch, &names, &both).expect("written");
        }
        let text = std::fs::read_to_string(dir.path().join("pictures/7.json")).expect("JSON");
        let found: Pictures = serde_json::from_str(&text).expect("pictures");
        assert_eq!((found.epoch, found.classes.len()), (2, 2));
        assert_eq!(found.pictures[1].predicted, Marks::Boxes(vec![object]));
        let Marks::Mask { file, classes } = &found.pictures[0].truth else {
            panic!("no mask");
        };
        assert_eq!(*classes, [1]);
        let [r, g, b] = color(1);
        let at = |file: &str| run_dir.pictures().join(file);
        assert_eq!(
            read(&at(file)),
            (png::ColorType::Rgba, vec![r, g, b, OPAQUE, 0, 0, 0, 0])
        );
        assert_eq!(
            read(&at(&found.pictures[0].image)),
            (png::ColorType::Rgb, vec![1, 2, 3, 4, 5, 6])
        );
        // Two images, two masks, one JSON file: nothing half written is left.
        let files = std::fs::read_dir(run_dir.pictures()).expect("the directory");
        assert_eq!(files.count(), 5);
    }
}
