//! What tests of detection begin with: a small detector, and images with bright squares and dark bars.

use rungs_data::dataset::Image;
use rungs_data::scenes::Object;
use rungs_data::scenes::detection::Prepared;
use rungs_data::{DataError, Dataset};
use rungs_spec::model::{Model, Shape as Backbone};
use rungs_spec::recipe::{Detect, Recipe, Task, Variant};
use tch::{Device, Kind};

use super::network::{Detector, Shape};
use crate::determinism::Stream;
use crate::init::{self, Distribution};
use crate::norm::Replicas;
use crate::parameters::{Arithmetic, Parameters};

/// Sub-table of a recipe; `set` has a key a line.
pub fn detect(set: &str) -> Detect {
    let common = "task = 'detect'\n[detect]\nshort_side = 64\nmax_side = 64\nanchor_base = 8\nanchor_scales = [2, 3]\n\
                  rpn_channels = 16\nrpn_batch = 32\nproposals_before_nms = [200, 200]\nproposals = [50, 20]\n\
                  proposal_min_size = 4\nroi_batch = 16\nroi_size = 8\nfrozen = 0\n";
    let mut table: toml::Table = common.parse().expect("TOML");
    let own: toml::Table = set.parse().expect("TOML");
    if let Some(detect) = table["detect"].as_table_mut() {
        detect.extend(own);
    }
    let recipe: Recipe = rungs_spec::settle::complete(&table).expect("a recipe");
    recipe.detect.expect("its sub-table")
}

/// Two stages behind the stem; weights from seed 3, statistics at rest.
pub fn detector(detect: &Detect) -> (Detector, Parameters, Replicas) {
    let backbone = Backbone {
        depths: vec![1, 1, 1],
        width: 0.125,
        dropout: 0.0,
        variant: Variant::Paper,
        classes: 1,
    };
    let shape = Shape::of_recipe(detect, 2);
    let model = Model::build("resnet50d", &backbone).expect("a model");
    let detector = Detector::new(&model, shape).expect("a network");
    let arithmetic = Arithmetic::Plain(Kind::Float);
    let mut parameters = Parameters::new(&detector.network, arithmetic, Device::Cpu);
    let specs = &detector.network.parameters;
    init::draw(&mut parameters, specs, Distribution::Xavier, 3);
    init::spread(&mut parameters, specs, Detector::spread, 3);
    parameters.refresh();
    let replicas = Replicas::new(&detector.network, 1, Kind::Float, Device::Cpu);
    (detector, parameters, replicas)
}

/// Images of 64 pixels, each with one thing: a bright square (class 0) or a dark bar (class 1).
#[derive(Debug)]
pub struct Things {
    objects: Vec<Vec<Object>>,
}

const SIDE: usize = 64;

impl Things {
    /// `count` images from `seed`.
    pub fn new(count: usize, seed: u64) -> Things {
        let mut stream = Stream::new(seed, "things");
        let mut below = |n: u64| (stream.next_u64() % n) as f32;
        let objects = (0..count).map(|i| {
            let label = (i % 2) as i64;
            let [width, height] = [[19.0, 19.0], [29.0, 13.0]][i % 2];
            let (left, top) = (below(32), below(42));
            vec![Object {
                label,
                corners: [left, top, left + width, top + height],
                difficult: false,
            }]
        });
        Things {
            objects: objects.collect(),
        }
    }

    /// Image i for the network.
    pub fn prepared(&self, i: usize) -> Prepared {
        let mut stream = Stream::new(i as u64, "noise");
        let mut pixels = Vec::new();
        for y in 0..SIDE {
            for x in 0..SIDE {
                let object = &self.objects[i][0];
                let [left, top, right, bottom] = object.corners.map(|at| at as usize);
                let inside = (left..=right).contains(&x) && (top..=bottom).contains(&y);
                let level = match (inside, object.label) {
                    (false, _) => 0.0,
                    (true, 0) => 2.0,
                    (true, _) => -2.0,
                };
                let noise = stream.uniform() as f32 * 0.5;
                pixels.extend([level + noise; 3]);
            }
        }
        Prepared {
            pixels,
            width: SIDE,
            height: SIDE,
            original: [2 * SIDE, SIDE],
            scale: [0.5, 1.0],
            flipped: false,
            objects: self.objects[i].clone(),
            index: i,
        }
    }
}

/// As stored it is twice as wide: evaluations must scale boxes back.
impl Dataset for Things {
    fn name(&self) -> &str {
        "things"
    }
    fn len(&self) -> usize {
        self.objects.len()
    }
    fn classes(&self) -> usize {
        2
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn label(&self, _: usize) -> i64 {
        0
    }
    fn image(&self, _: usize, _: &mut Image) -> Result<(), DataError> {
        Ok(())
    }
    fn bytes(&self, _: usize, _: &mut Vec<u8>) -> Result<(), DataError> {
        Ok(())
    }
    fn tasks(&self) -> &[Task] {
        &[Task::Detect]
    }
    fn objects(&self, index: usize) -> &[Object] {
        &self.objects[index]
    }
}
