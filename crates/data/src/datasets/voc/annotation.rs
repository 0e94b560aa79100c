//! One annotation file of PASCAL VOC: which objects, with which boxes, in which lines.

use roxmltree::{Document, Node};

/// What a file says, before anything about it is believed.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Annotation {
    pub objects: Vec<Said>,
}

/// An object as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub name: String,
    /// Line of the name.
    pub name_line: u64,
    /// xmin, ymin, xmax, ymax, pixels from 1.
    pub corners: [f64; 4],
    /// Line of the box.
    pub box_line: u64,
    pub difficult: bool,
}

/// Reads a file. Error: a line, and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Annotation, (u64, String)> {
    let document = Document::parse(text).map_err(|e| {
        (
            u64::from(e.pos().row),
            format!("is no XML that can be read: {e}"),
        )
    })?;
    let line = |node: Node<'_, '_>| u64::from(document.text_pos_at(node.range().start).row);
    let root = document.root_element();
    let mut objects = Vec::new();
    // Parts of a person have boxes of their own: only children of an object count.
    for object in root.children().filter(|n| n.has_tag_name("object")) {
        let place = line(object);
        let child = |name: &str| {
            let mut found = object.children().filter(|n| n.has_tag_name(name));
            found.next().ok_or_else(|| {
                (
                    place,
                    format!("the object has no <{name}>; add it, or take the object out"),
                )
            })
        };
        let name = child("name")?;
        let bounds = child("bndbox")?;
        let mut corners = [0.0; 4];
        for (corner, tag) in corners.iter_mut().zip(["xmin", "ymin", "xmax", "ymax"]) {
            let node = bounds.children().find(|n| n.has_tag_name(tag));
            let text = node.and_then(|n| n.text()).unwrap_or("").trim();
            *corner = text
                .parse()
                .ok()
                .filter(|x: &f64| x.is_finite())
                .ok_or_else(|| {
                    let place = node.map_or_else(|| line(bounds), line);
                    (
                        place,
                        format!("<{tag}> is \"{text}\", expected a number; correct it"),
                    )
                })?;
        }
        objects.push(Said {
            name: name.text().unwrap_or("").trim().to_owned(),
            name_line: line(name),
            corners,
            box_line: line(bounds),
            difficult: child("difficult").is_ok_and(|n| n.text().is_some_and(|t| t.trim() == "1")),
        });
    }
    Ok(Annotation { objects })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "<annotation>\n<size><width>4</width></size>\n<object>\n<name> dog </name>\n\
        <difficult>1</difficult>\n<bndbox><xmin>1</xmin><ymin>2.5</ymin>\n<xmax>3</xmax><ymax>4</ymax></bndbox>\n\
        <part><name>head</name><bndbox><xmin>9</xmin></bndbox></part></object>\n</annotation>";

    #[test]
    fn an_object_and_its_lines() {
        let [said] = parse(TEXT).unwrap().objects.try_into().unwrap();
        assert_eq!(
            (said.name.as_str(), said.name_line, said.box_line),
            ("dog", 4, 6)
        );
        assert_eq!((said.corners, said.difficult), ([1.0, 2.5, 3.0, 4.0], true));
    }

    #[test]
    fn what_cannot_be_read_names_its_line() {
        for (from, to, line, what) in [
            ("<xmax>3<", "<xmax>three<", 7, "<xmax> is \"three\""),
            ("<xmax>3</xmax>", "", 6, "<xmax> is \"\""),
            ("<name> dog </name>", "", 3, "has no <name>"),
            ("</annotation>", "</annotations>", 0, "no XML"),
        ] {
            let (found, why) = parse(&TEXT.replace(from, to)).unwrap_err();
            // 0: wherever the parser says.
            let there = line == 0 || found == line;
            assert!(there && why.contains(what), "line {found}: {why}");
        }
    }
}
