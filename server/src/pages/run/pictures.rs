//! What a run says about a few images, beside the truth: boxes or masks over the image.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rungs_spec::home::RunDir;
use rungs_spec::pictures::{Marks, Object, Picture, Pictures, color};

use crate::error::Failure;
use crate::human::plural;
use crate::state::Dashboard;

/// The section of the page; empty of pictures where the run has none.
#[derive(Default)]
pub(super) struct Album {
    pub pictures: Vec<PictureView>,
    pub legend: Vec<Legend>,
    pub caption: String,
}

/// One image, twice.
pub(super) struct PictureView {
    pub name: String,
    pub width: u32,
    pub height: u32,
    pub image: String,
    pub sides: Vec<Side>,
    /// Size of letters, and width of lines, in pixels of the image.
    pub letter: u32,
    pub line: f64,
}

/// The truth or the prediction.
pub(super) struct Side {
    pub title: &'static str,
    pub alt: String,
    pub mask: Option<String>,
    pub boxes: Vec<BoxView>,
}

/// A box and what stands at it.
pub(super) struct BoxView {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    pub text_y: f64,
    pub color: String,
    pub label: String,
    pub dashed: bool,
}

/// A class and its colour.
pub(super) struct Legend {
    pub color: String,
    pub name: String,
}

/// What the newest attempt that has pictures left. What cannot be read is said in the caption.
pub(super) fn album(run: &str, dir: &RunDir) -> Album {
    let newest = std::fs::read_dir(dir.pictures())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".json")?.parse::<u32>().ok()
        })
        .max();
    let Some(attempt) = newest else {
        return Album::default();
    };
    let path = dir.pictures().join(Pictures::file(attempt));
    let read = std::fs::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
    let pictures: Pictures = match read {
        Ok(pictures) => pictures,
        Err(error) => {
            return Album {
                caption: format!("{} cannot be read: {error}", path.display()),
                ..Album::default()
            };
        }
    };
    view(run, &pictures)
}

fn view(run: &str, pictures: &Pictures) -> Album {
    let name = |class: u32| match pictures.classes.get(class as usize) {
        Some(name) => name.clone(),
        None => format!("class {class}"),
    };
    let mut seen = std::collections::BTreeSet::new();
    for picture in &pictures.pictures {
        for marks in [&picture.truth, &picture.predicted] {
            match marks {
                Marks::Mask { classes, .. } => seen.extend(classes),
                Marks::Boxes(objects) => seen.extend(objects.iter().map(|object| object.class)),
            }
        }
    }
    Album {
        pictures: pictures
            .pictures
            .iter()
            .map(|picture| one(run, picture, &name))
            .collect(),
        legend: seen
            .into_iter()
            .map(|class| Legend {
                color: hex(class),
                name: name(class),
            })
            .collect(),
        caption: format!("after {}", plural(pictures.epoch as usize, "epoch")),
    }
}

fn one(run: &str, picture: &Picture, name: &dyn Fn(u32) -> String) -> PictureView {
    let href = |file: &str| format!("/runs/{run}/pictures/{file}");
    let sides = [
        ("Truth", &picture.truth),
        ("Prediction", &picture.predicted),
    ];
    let short = picture.width.min(picture.height).max(1);
    let letter = (short / 18).max(5);
    PictureView {
        name: picture.name.clone(),
        width: picture.width,
        height: picture.height,
        image: href(&picture.image),
        letter,
        line: (f64::from(short) / 150.0).max(0.75),
        sides: sides
            .into_iter()
            .map(|(title, marks)| match marks {
                Marks::Mask { file, classes } => {
                    let names: Vec<String> = classes.iter().map(|class| name(*class)).collect();
                    Side {
                        title,
                        alt: format!("{title} of {}: {}", picture.name, names.join(", ")),
                        mask: Some(href(file)),
                        boxes: Vec::new(),
                    }
                }
                Marks::Boxes(objects) => {
                    let boxes: Vec<BoxView> =
                        objects.iter().map(|o| box_view(o, letter, name)).collect();
                    let names: Vec<&str> = boxes.iter().map(|b| b.label.as_str()).collect();
                    Side {
                        title,
                        alt: format!("{title} of {}: {}", picture.name, names.join(", ")),
                        mask: None,
                        boxes,
                    }
                }
            })
            .collect(),
    }
}

fn box_view(object: &Object, letter: u32, name: &dyn Fn(u32) -> String) -> BoxView {
    let [left, top, right, bottom] = object.at;
    let class = name(object.class);
    BoxView {
        x: left,
        y: top,
        width: (right - left).max(0.0),
        height: (bottom - top).max(0.0),
        text_y: top + f64::from(letter),
        color: hex(object.class),
        label: match object.score {
            Some(score) => format!("{class} {:.0} %", 100.0 * score),
            None => class,
        },
        dashed: object.difficult,
    }
}

fn hex(class: u32) -> String {
    let [r, g, b] = color(class);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// `/runs/{run}/pictures/{file}`: a PNG of the run's directory.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Path((run, file)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let missing = || {
        Failure::not_found(
            "no_such_picture",
            format!("Run {run} has no picture {file}."),
        )
    };
    if !Pictures::is_png(&file) {
        return Err(missing());
    }
    let key = dashboard.some_store().await?.find_run(&run).await?;
    let path = dashboard.home().run(&key).pictures().join(&file);
    let bytes = tokio::fs::read(path).await.map_err(|_| missing())?;
    Ok(([(header::CONTENT_TYPE, "image/png")], bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_attempts_boxes_are_shown_with_names_and_colours() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = RunDir(home.path().to_owned());
        assert!(album("ab", &dir).pictures.is_empty());
        std::fs::create_dir(dir.pictures()).expect("created");
        let object = |score| Object {
            at: [10.0, 20.0, 40.0, 80.0],
            class: 1,
            score,
            difficult: score.is_none(),
        };
        let pictures = Pictures {
            v: 1,
            epoch: 3,
            classes: vec!["coat".into(), "bag".into()],
            pictures: vec![Picture {
                name: "000001.jpg".into(),
                image: "12-0-image.png".into(),
                width: 200,
                height: 180,
                truth: Marks::Boxes(vec![object(None)]),
                predicted: Marks::Boxes(vec![object(Some(0.874))]),
            }],
        };
        let text = serde_json::to_string(&pictures).expect("JSON");
        std::fs::write(dir.pictures().join("12.json"), text).expect("written");
        std::fs::write(dir.pictures().join("2.json"), "torn").expect("written");
        let album = album("ab", &dir);
        assert_eq!(album.caption, "after 3 epochs");
        assert_eq!(album.legend.len(), 1);
        assert_eq!(album.legend[0].name, "bag");
        let one = &album.pictures[0];
        assert_eq!(one.image, "/runs/ab/pictures/12-0-image.png");
        let [truth, predicted] = one.sides.as_slice() else {
            panic!("two sides");
        };
        assert!(truth.boxes[0].dashed && !predicted.boxes[0].dashed);
        assert_eq!(predicted.boxes[0].label, "bag 87 %");
        assert_eq!(
            (predicted.boxes[0].width, predicted.boxes[0].height),
            (30.0, 60.0)
        );
        assert_eq!(predicted.alt, "Prediction of 000001.jpg: bag 87 %");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = RunDir(home.path().to_owned());
        std::fs::create_dir(dir.pictures()).expect("created");
        std::fs::write(dir.pictures().join("1.json"), "{").expect("written");
        let album = album("ab", &dir);
        assert!(album.pictures.is_empty());
        assert!(
            album.caption.contains("1.json cannot be read"),
            "{}",
            album.caption
        );
    }
}
