//! Which parts has a network, and which blocks and steps have they? Read off the model's own layers:
//! nothing of a network is written here by hand.

use rungs_spec::SpecError;
use rungs_spec::model::{self, Layer, LayerRow, Model};
use rungs_spec::recipe::Variant;
use serde::Serialize;

use crate::profile::model_title;

/// A network as block diagrams show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    /// Name in recipes.
    pub model: String,
    /// What people call it: `ResNet-50-D`.
    pub title: String,
    /// Side of its input, pixels.
    pub input_size: u32,
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-accumulates of convolutions and linear layers for one image.
    pub macs: u64,
    /// In order of execution.
    pub parts: Vec<Part>,
}

/// A stretch of a network: its input stem, a stage, its output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// `Input stem`, `Stage 2`, `Output`.
    pub title: String,
    /// [channels, height, width] behind it.
    pub output: [u32; 3],
    /// In order of execution.
    pub blocks: Vec<Block>,
}

/// What a part is made of: layers in a row, or paths that meet again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// `Down-sampling block`, `Residual block`, ...; empty of plain layers.
    pub title: String,
    /// [channels, height, width] behind it.
    pub output: [u32; 3],
    /// One, or those that start from the same input; an empty one hands it on as it is.
    pub paths: Vec<Vec<Step>>,
    /// How several paths meet: `sum` or `concatenation`.
    pub join: Option<&'static str>,
    /// What happens behind the join.
    pub then: Vec<&'static str>,
    /// Steps of the model before that none here replaces one for one.
    pub instead_of: Vec<String>,
}

/// A layer with the normalisation and activation behind it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// State-dict prefix, or the operation.
    pub name: String,
    /// `conv`, `max_pool`, `avg_pool`, `global_avg_pool`, `linear`, `dropout`.
    pub kind: &'static str,
    /// [height, width] of its window.
    pub kernel: Option<[u32; 2]>,
    /// [height, width].
    pub stride: Option<[u32; 2]>,
    /// Groups of a convolution.
    pub groups: u32,
    /// [channels, height, width] behind it.
    pub output: [u32; 3],
    /// `BN`, `ReLU`.
    pub then: Vec<&'static str>,
    /// Beside the model before: `new`, `was stride 2`; nothing where it is the same.
    pub change: Option<String>,
}

impl Step {
    /// `Conv 3 × 3, 64, stride 2`
    pub fn text(&self) -> String {
        let window = self
            .kernel
            .map_or_else(String::new, |[h, w]| format!(" {h} \u{d7} {w}"));
        let depthwise = self.groups > 1 && self.groups == self.output[0];
        let head = match self.kind {
            "conv" if depthwise => "Depthwise",
            "conv" => "Conv",
            "max_pool" => "Max pool",
            "avg_pool" => "Average pool",
            "global_avg_pool" => "Global average pool",
            "linear" => "Fully connected",
            _ => "Dropout",
        };
        let mut text = format!("{head}{window}");
        if matches!(self.kind, "conv" | "linear") {
            text.push_str(&format!(", {}", self.output[0]));
        }
        if let Some(stride) = self.stride_text() {
            text.push_str(&format!(", stride {stride}"));
        }
        text
    }

    /// `2`, `2 × 1`; nothing where it is 1.
    pub fn stride_text(&self) -> Option<String> {
        match self.stride? {
            [1, 1] => None,
            [h, w] if h == w => Some(h.to_string()),
            [h, w] => Some(format!("{h} \u{d7} {w}")),
        }
    }

    /// Whether a drawing says the same of both, but for names and places.
    pub(super) fn looks_like(&self, other: &Step) -> bool {
        self.kind == other.kind
            && (self.kernel, self.stride) == (other.kernel, other.stride)
            && (self.groups, self.output[0]) == (other.groups, other.output[0])
    }
}

/// The published shape of a model, 1000 classes.
///
/// Errors: an unknown name.
pub fn network(name: &str) -> Result<Network, SpecError> {
    let info = model::find(name)?;
    let built = Model::published(name, Variant::Paper)?;
    let rows = model::rows(&built, info.input_size);
    let counts = model::counts(&built, info.input_size);
    let mut reader = Reader { rows: rows.iter() };
    Ok(Network {
        model: name.to_owned(),
        title: model_title(name),
        input_size: info.input_size,
        parameters: counts.parameters,
        macs: counts.macs,
        parts: parts(&built, &mut reader),
    })
}

/// Walks the list of layers beside the tree of layers: both are in order of execution.
struct Reader<'a> {
    rows: std::slice::Iter<'a, LayerRow>,
}

impl Reader<'_> {
    /// Name and output of the next layer.
    fn next(&mut self) -> (String, [u32; 3]) {
        self.rows
            .next()
            .map_or_else(Default::default, |row| (row.name.clone(), row.output))
    }

    fn steps(&mut self, layers: &[Layer]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for layer in layers {
            self.layer(layer, &mut steps);
        }
        steps
    }

    fn layer(&mut self, layer: &Layer, steps: &mut Vec<Step>) {
        if let Layer::Branches { branches, .. } = layer {
            // Arms at the end of a path: said, not drawn beside each other.
            for (arm, layers) in branches.iter().enumerate() {
                let first = steps.len();
                layers.iter().for_each(|layer| self.layer(layer, steps));
                if let Some(step) = steps.get_mut(first).filter(|_| arm > 0) {
                    step.then.push("beside the one above");
                }
            }
            self.next();
            return;
        }
        let (name, output) = self.next();
        let mut step = |kind, kernel: Option<u32>, stride: Option<u32>| {
            steps.push(Step {
                name: name.clone(),
                kind,
                kernel: kernel.map(|k| [k, k]),
                stride: stride.map(|s| [s, s]),
                groups: 1,
                output,
                then: Vec::new(),
                change: None,
            });
        };
        match layer {
            Layer::Conv(conv) => {
                step("conv", None, None);
                if let Some(last) = steps.last_mut() {
                    (last.kernel, last.stride) = (Some(conv.kernel), Some(conv.stride));
                    last.groups = conv.groups;
                }
            }
            Layer::BatchNorm(_) => behind(steps, "BN"),
            Layer::Relu => behind(steps, "ReLU"),
            Layer::MaxPool { kernel, stride, .. } => step("max_pool", Some(*kernel), Some(*stride)),
            Layer::AvgPool { kernel, stride, .. } => step("avg_pool", Some(*kernel), Some(*stride)),
            Layer::GlobalAvgPool => step("global_avg_pool", None, None),
            Layer::Dropout { .. } => step("dropout", None, None),
            Layer::Linear { .. } => step("linear", None, None),
            // No model has residual blocks within a path.
            Layer::Residual { .. } | Layer::Branches { .. } => {}
        }
    }

    /// A block, or `None` of a plain layer.
    fn block(&mut self, layer: &Layer) -> Option<Block> {
        let (paths, join, then, title) = match layer {
            Layer::Residual { main, shortcut, .. } => {
                let paths = vec![self.steps(main), self.steps(shortcut)];
                let strided = |step: &Step| step.stride_text().is_some();
                let title = if paths[0].iter().any(strided) {
                    "Down-sampling block"
                } else if shortcut.is_empty() {
                    "Residual block"
                } else {
                    "Projection block"
                };
                // The sum and the ReLU behind it are layers of their own.
                self.next();
                (paths, "sum", vec!["ReLU"], title)
            }
            Layer::Branches { branches, .. } => {
                let paths = branches.iter().map(|branch| self.steps(branch)).collect();
                (paths, "concatenation", Vec::new(), "Branches")
            }
            _ => return None,
        };
        let (_, output) = self.next();
        Some(Block {
            title: title.to_owned(),
            output,
            paths,
            join: Some(join),
            then,
            instead_of: Vec::new(),
        })
    }
}

fn behind(steps: &mut [Step], what: &'static str) {
    if let Some(last) = steps.last_mut() {
        last.then.push(what);
    }
}

/// Plain layers before the blocks are the stem, those behind them the output; blocks belong together by
/// the first word of their names (`layer3.0`, `layer3.1`). A network without blocks falls apart where its
/// maps become smaller.
fn parts(model: &Model, reader: &mut Reader<'_>) -> Vec<Part> {
    let has_blocks = model.layers.iter().any(is_block);
    let mut parts: Vec<Part> = Vec::new();
    let mut group = String::new();
    let mut plain: Vec<Step> = Vec::new();
    let mut stages = 0;
    for layer in &model.layers {
        let Some(block) = reader.block(layer) else {
            let pooled = matches!(layer, Layer::GlobalAvgPool);
            let smaller = !has_blocks && !plain.is_empty() && is_strided(layer);
            if pooled || smaller {
                flush(&mut parts, &mut plain, &mut stages);
            }
            reader.layer(layer, &mut plain);
            group.clear();
            continue;
        };
        flush(&mut parts, &mut plain, &mut stages);
        let of = block_name(layer).split('.').next().unwrap_or("").to_owned();
        match parts.last_mut() {
            Some(part) if of == group => {
                part.output = block.output;
                part.blocks.push(block);
            }
            _ => {
                stages += 1;
                parts.push(Part {
                    title: format!("Stage {stages}"),
                    output: block.output,
                    blocks: vec![block],
                });
            }
        }
        group = of;
    }
    flush(&mut parts, &mut plain, &mut stages);
    parts
}

/// Plain layers so far as a part of their own.
fn flush(parts: &mut Vec<Part>, plain: &mut Vec<Step>, stages: &mut u32) {
    let Some(last) = plain.last() else { return };
    let output = last.output;
    let title = if plain.iter().any(|step| step.kind == "global_avg_pool") {
        "Output".to_owned()
    } else if parts.is_empty() {
        "Input stem".to_owned()
    } else {
        *stages += 1;
        format!("Stage {stages}")
    };
    parts.push(Part {
        title,
        output,
        blocks: vec![Block {
            title: String::new(),
            output,
            paths: vec![std::mem::take(plain)],
            join: None,
            then: Vec::new(),
            instead_of: Vec::new(),
        }],
    });
}

fn is_block(layer: &Layer) -> bool {
    matches!(layer, Layer::Residual { .. } | Layer::Branches { .. })
}

fn is_strided(layer: &Layer) -> bool {
    matches!(layer, Layer::Conv(conv) if conv.stride != [1, 1])
}

fn block_name(layer: &Layer) -> &str {
    match layer {
        Layer::Residual { name, .. } | Layer::Branches { name, .. } => name,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &[Step]) -> Vec<String> {
        path.iter().map(Step::text).collect()
    }

    #[test]
    fn resnet_50_is_figure_1_of_the_paper() {
        let net = network("resnet50").unwrap();
        let titles: Vec<_> = net
            .parts
            .iter()
            .map(|p| (p.title.as_str(), p.blocks.len()))
            .collect();
        assert_eq!(
            titles,
            [
                ("Input stem", 1),
                ("Stage 1", 3),
                ("Stage 2", 4),
                ("Stage 3", 6),
                ("Stage 4", 3),
                ("Output", 1)
            ]
        );
        assert_eq!(net.title, "ResNet-50 v1");
        assert_eq!(
            texts(&net.parts[0].blocks[0].paths[0]),
            ["Conv 7 × 7, 64, stride 2", "Max pool 3 × 3, stride 2"]
        );
        let down = &net.parts[4].blocks[0];
        assert_eq!(
            (down.title.as_str(), down.join),
            ("Down-sampling block", Some("sum"))
        );
        assert_eq!(
            texts(&down.paths[0]),
            [
                "Conv 1 × 1, 512, stride 2",
                "Conv 3 × 3, 512",
                "Conv 1 × 1, 2048"
            ]
        );
        assert_eq!(texts(&down.paths[1]), ["Conv 1 × 1, 2048, stride 2"]);
        assert_eq!(
            down.paths[0][2].then,
            ["BN"],
            "the last one's ReLU stands behind the sum"
        );
        assert_eq!(down.output, [2048, 7, 7]);
        assert!(net.parts[4].blocks[1].paths[1].is_empty(), "the identity");
        assert_eq!(net.parts[1].blocks[0].title, "Projection block");
        assert_eq!(net.parts[5].output, [1000, 1, 1]);
        assert_eq!(net.macs, 3_857_973_248);
    }

    #[test]
    fn every_model_has_a_stem_an_output_and_every_convolution_in_between() {
        for info in model::MODELS {
            let net = network(info.name).unwrap();
            let built = Model::published(info.name, Variant::Paper).unwrap();
            let convs = model::rows(&built, info.input_size)
                .iter()
                .filter(|r| r.kind == "conv")
                .count();
            let steps = net
                .parts
                .iter()
                .flat_map(|p| &p.blocks)
                .flat_map(|b| b.paths.iter().flatten());
            assert_eq!(
                steps.filter(|s| s.kind == "conv").count(),
                convs,
                "{}",
                info.name
            );
            assert_eq!(net.parts[0].title, "Input stem", "{}", info.name);
            assert_eq!(net.parts.last().unwrap().title, "Output", "{}", info.name);
            assert_eq!(
                net.parts.last().unwrap().output,
                [1000, 1, 1],
                "{}",
                info.name
            );
        }
        let mobile = network("mobilenet").unwrap();
        assert_eq!(
            mobile.parts.len(),
            6,
            "it falls apart where its maps become smaller"
        );
        assert_eq!(
            mobile.parts[1].blocks[0].paths[0][0].text(),
            "Depthwise 3 × 3, 64, stride 2"
        );
    }
}
