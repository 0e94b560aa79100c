//! What does a model change in the one before it? Its blocks with the changed steps marked.

use super::parts::{Block, Network, Part, Step};

/// A block of a model that differs from the same block of the model before.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Where: `Stages 2 to 4, first block; stage 4 drawn`.
    pub place: String,
    /// The block with its changes.
    pub block: Block,
}

/// Every kind of difference once: of stages that change alike the last one.
pub fn differences(before: &Network, after: &Network) -> Vec<Difference> {
    let mut found: Vec<(Vec<&Part>, usize, Block)> = Vec::new();
    for part in &after.parts {
        let old = before.parts.iter().find(|p| p.title == part.title);
        for (place, block) in part.blocks.iter().enumerate() {
            let was = old.and_then(|p| p.blocks.get(place));
            let Some(changed) = was.map_or_else(|| Some(all_new(block)), |w| changed(w, block))
            else {
                continue;
            };
            match found
                .iter_mut()
                .find(|(_, at, known)| *at == place && alike(known, &changed))
            {
                Some((parts, _, shown)) => {
                    parts.push(part);
                    *shown = changed;
                }
                None => found.push((vec![part], place, changed)),
            }
        }
    }
    found
        .into_iter()
        .map(|(parts, at, block)| Difference {
            place: place(&parts, at),
            block,
        })
        .collect()
}

/// A network with every step marked that the network before it has not.
pub fn marked(before: &Network, after: &Network) -> Network {
    let mut network = after.clone();
    for part in &mut network.parts {
        let old = before.parts.iter().find(|p| p.title == part.title);
        for (place, block) in part.blocks.iter_mut().enumerate() {
            let was = old.and_then(|p| p.blocks.get(place));
            let new = was.map_or_else(|| Some(all_new(block)), |was| changed(was, block));
            *block = new.unwrap_or_else(|| block.clone());
        }
    }
    network
}

/// `Input stem`; `First block of stages 2 to 4 (stage 4 drawn)`
fn place(parts: &[&Part], block: usize) -> String {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return String::new();
    };
    let number = |part: &Part| part.title.rsplit(' ').next().unwrap_or("").to_owned();
    let of = match parts.len() {
        1 if last.blocks.len() == 1 => return last.title.clone(),
        1 => last.title.to_lowercase(),
        2 => format!("stages {} and {}", number(first), number(last)),
        _ => format!("stages {} to {}", number(first), number(last)),
    };
    let which = match block {
        0 => "First block".to_owned(),
        n => format!("Block {}", n + 1),
    };
    let drawn = if parts.len() > 1 {
        format!(" ({} drawn)", last.title.to_lowercase())
    } else {
        String::new()
    };
    format!("{which} of {of}{drawn}")
}

/// Whether the same steps change in the same way, whatever the channels.
fn alike(a: &Block, b: &Block) -> bool {
    let marks = |block: &Block| -> Vec<Vec<Option<String>>> {
        block
            .paths
            .iter()
            .map(|path| path.iter().map(|s| s.change.clone()).collect())
            .collect()
    };
    marks(a) == marks(b) && a.instead_of.len() == b.instead_of.len()
}

fn all_new(block: &Block) -> Block {
    let mut block = block.clone();
    block
        .paths
        .iter_mut()
        .flatten()
        .for_each(|step| step.change = Some("new".to_owned()));
    block
}

/// The block with its changes; `None` where there are none.
fn changed(before: &Block, after: &Block) -> Option<Block> {
    let same = before.paths.len() == after.paths.len()
        && before.paths.iter().zip(&after.paths).all(|(a, b)| {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.looks_like(b) && a.then == b.then)
        });
    if same {
        return None;
    }
    let mut block = after.clone();
    let nothing = Vec::new();
    for (place, path) in block.paths.iter_mut().enumerate() {
        let old = before.paths.get(place).unwrap_or(&nothing);
        block.instead_of.extend(mark(old, path));
    }
    Some(block)
}

/// Marks the steps of a path that the old path has not; returns the old ones that nothing replaces.
fn mark(old: &[Step], new: &mut [Step]) -> Vec<String> {
    let mut gone = Vec::new();
    let (mut i, mut j) = (0, 0);
    // Between steps that both have lie the changed ones.
    let kept = common(old, new).into_iter().chain([(old.len(), new.len())]);
    for (at_old, at_new) in kept.collect::<Vec<_>>() {
        gone.extend(pair(&old[i..at_old], &mut new[j..at_new]));
        (i, j) = (at_old + 1, at_new + 1);
    }
    gone
}

/// Changed steps: each beside the one it replaces, where that is clear.
fn pair(old: &[Step], new: &mut [Step]) -> Vec<String> {
    if old.len() == new.len() {
        for (was, step) in old.iter().zip(new) {
            step.change = Some(what_it_was(was, step));
        }
        return Vec::new();
    }
    let mut gone = Vec::new();
    for was in old {
        let alone = old.iter().filter(|o| o.kind == was.kind).count() == 1;
        let mut of_kind = new.iter_mut().filter(|step| step.kind == was.kind);
        match (of_kind.next(), of_kind.next()) {
            (Some(step), None) if alone => step.change = Some(what_it_was(was, step)),
            _ => gone.push(was.text()),
        }
    }
    for step in new.iter_mut().filter(|step| step.change.is_none()) {
        step.change = Some("new".to_owned());
    }
    gone
}

fn what_it_was(was: &Step, step: &Step) -> String {
    let stride = |s: &Step| s.stride_text().unwrap_or_else(|| "1".to_owned());
    if (was.kind, was.kernel, was.groups, was.output[0])
        == (step.kind, step.kernel, step.groups, step.output[0])
    {
        format!("was stride {}", stride(was))
    } else {
        format!("was {}", was.text())
    }
}

/// Places of the longest run of steps that both have, in order.
fn common(old: &[Step], new: &[Step]) -> Vec<(usize, usize)> {
    let equal = |i: usize, j: usize| old[i].looks_like(&new[j]);
    let mut best = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            best[i][j] = if equal(i, j) {
                best[i + 1][j + 1] + 1
            } else {
                best[i + 1][j].max(best[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut kept) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if equal(i, j) {
            kept.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[i + 1][j] >= best[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::parts::network;
    use super::*;

    fn marks(path: &[Step]) -> Vec<(String, Option<&str>)> {
        path.iter()
            .map(|s| (s.text(), s.change.as_deref()))
            .collect()
    }

    fn only(before: &str, after: &str) -> Difference {
        let mut found = differences(&network(before).unwrap(), &network(after).unwrap());
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    }

    /// Figure 2 (a): the stride of path A moves to its 3 × 3.
    #[test]
    fn b_moves_a_stride() {
        let b = only("resnet50", "resnet50b");
        assert_eq!(b.place, "First block of stages 2 to 4 (stage 4 drawn)");
        assert_eq!(
            marks(&b.block.paths[0]),
            [
                ("Conv 1 × 1, 512".to_owned(), Some("was stride 2")),
                ("Conv 3 × 3, 512, stride 2".to_owned(), Some("was stride 1")),
                ("Conv 1 × 1, 2048".to_owned(), None),
            ]
        );
        assert_eq!(
            marks(&b.block.paths[1]),
            [("Conv 1 × 1, 2048, stride 2".to_owned(), None)]
        );
    }

    /// Figure 2 (b): three 3 × 3 convolutions for the 7 × 7.
    #[test]
    fn c_replaces_the_stem() {
        let c = only("resnet50b", "resnet50c");
        assert_eq!(c.place, "Input stem");
        assert_eq!(
            marks(&c.block.paths[0]),
            [
                ("Conv 3 × 3, 32, stride 2".to_owned(), Some("new")),
                ("Conv 3 × 3, 32".to_owned(), Some("new")),
                ("Conv 3 × 3, 64".to_owned(), Some("new")),
                ("Max pool 3 × 3, stride 2".to_owned(), None),
            ]
        );
        assert_eq!(c.block.instead_of, ["Conv 7 × 7, 64, stride 2"]);
    }

    /// Figure 2 (c): path B averages before it convolves.
    #[test]
    fn d_pools_in_path_b() {
        let d = only("resnet50c", "resnet50d");
        assert_eq!(
            marks(&d.block.paths[1]),
            [
                ("Average pool 2 × 2, stride 2".to_owned(), Some("new")),
                ("Conv 1 × 1, 2048".to_owned(), Some("was stride 2")),
            ]
        );
        assert!(d.block.paths[0].iter().all(|s| s.change.is_none()));
    }

    #[test]
    fn a_model_beside_itself_has_no_difference() {
        let net = network("resnet50d").unwrap();
        assert!(differences(&net, &net).is_empty());
    }
}
