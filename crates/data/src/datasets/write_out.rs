//! A dataset with boxes or masks, written into the layout that other programs read: PASCAL VOC's devkit, or
//! ADE20K's. Images become JPEGs of quality 95; boxes and masks are exact.

use std::fmt::Write as _;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::class_list;
use crate::dataset::{Image, Split, Splits};
use crate::error::DataError;
use crate::parallel;
use crate::scenes::{Mask, Object, image_and_mask};

/// As `VOC2007/` in `dir`: the training split as `trainval`, the other as `test`. Errors: no boxes; a file
/// cannot be written.
pub fn voc(
    splits: &Splits,
    dir: &Path,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<(), DataError> {
    let root = dir.join("VOC2007");
    let mut first = 1;
    for (split, dataset) in splits {
        crate::scenes::check(dataset.as_ref(), rungs_spec::recipe::Task::Detect, 0)?;
        write(
            &dir.join(class_list::FILE),
            lines(dataset.class_names()).as_bytes(),
        )?;
        let id = |index: usize| format!("{:06}", first + index);
        parallel::map(dataset.len(), |index| {
            let mut image = Image::default();
            dataset.image(index, &mut image)?;
            let id = id(index);
            jpeg(&root.join("JPEGImages").join(format!("{id}.jpg")), &image)?;
            let text = annotation(&id, &image, dataset.objects(index), dataset.class_names());
            write(
                &root.join("Annotations").join(format!("{id}.xml")),
                text.as_bytes(),
            )?;
            progress(1);
            Ok(())
        })?;
        let list = match split {
            Split::Train => "trainval.txt",
            Split::Val => "test.txt",
        };
        let ids: Vec<String> = (0..dataset.len()).map(id).collect();
        write(
            &root.join("ImageSets/Main").join(list),
            lines(&ids).as_bytes(),
        )?;
        first += dataset.len();
    }
    Ok(())
}

/// As `images/` and `annotations/` in `dir`. Errors: no masks; a file cannot be written.
pub fn ade(
    splits: &Splits,
    dir: &Path,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<(), DataError> {
    for (split, dataset) in splits {
        crate::scenes::check(dataset.as_ref(), rungs_spec::recipe::Task::Segment, 0)?;
        let folder = match split {
            Split::Train => "training",
            Split::Val => "validation",
        };
        write(
            &dir.join(class_list::FILE),
            lines(dataset.mask_classes()).as_bytes(),
        )?;
        parallel::map(dataset.len(), |index| {
            let (mut image, mut mask) = (Image::default(), Mask::default());
            image_and_mask(dataset.as_ref(), index, &mut image, &mut mask)?;
            let id = format!("{:06}", index + 1);
            jpeg(
                &dir.join("images").join(folder).join(format!("{id}.jpg")),
                &image,
            )?;
            let place = dir
                .join("annotations")
                .join(folder)
                .join(format!("{id}.png"));
            png(&place, &mask)?;
            progress(1);
            Ok(())
        })?;
    }
    Ok(())
}

fn annotation(id: &str, image: &Image, objects: &[Object], classes: &[String]) -> String {
    let mut text = format!(
        "<annotation>\n  <folder>VOC2007</folder>\n  <filename>{id}.jpg</filename>\n  <size>\n    \
         <width>{}</width>\n    <height>{}</height>\n    <depth>3</depth>\n  </size>\n",
        image.width, image.height
    );
    for object in objects {
        let name = classes
            .get(object.label as usize)
            .map_or("", String::as_str);
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        // Pixels count from 1 there.
        let [left, top, right, bottom] = object.corners.map(|corner| corner + 1.0);
        let difficult = u8::from(object.difficult);
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "  <object>\n    <name>{name}</name>\n    <difficult>{difficult}</difficult>\n    <bndbox>\n      \
             <xmin>{left}</xmin>\n      <ymin>{top}</ymin>\n      <xmax>{right}</xmax>\n      <ymax>{bottom}</ymax>\n    \
             </bndbox>\n  </object>\n"
        );
    }
    text + "</annotation>\n"
}

fn jpeg(path: &Path, image: &Image) -> Result<(), DataError> {
    let pixels: Vec<u8> = (0..image.height)
        .flat_map(|y| (0..image.width).flat_map(move |x| image.rgb(x, y)))
        .collect();
    let mut bytes = Vec::new();
    let (width, height) = (image.width as u32, image.height as u32);
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder
        .write_image(&pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|e| {
            DataError::bad(
                path,
                format!("cannot be encoded: {e}"),
                "write another layout",
            )
        })?;
    write(path, &bytes)
}

/// 0 counts nowhere, 1 is the first class.
fn png(path: &Path, mask: &Mask) -> Result<(), DataError> {
    let bytes: Vec<u8> = mask.classes.iter().map(|class| (class + 1) as u8).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, mask.width as u32, mask.height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&bytes));
    written.map_err(|e| {
        DataError::bad(
            path,
            format!("cannot be encoded: {e}"),
            "write another layout",
        )
    })?;
    write(path, &file)
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let dir = path.parent().unwrap_or(path);
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|source| DataError::write(path, source))
}
