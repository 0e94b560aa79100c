//! Mixup (paper section 5.4): which images of a batch are mixed with which, and how much?
//!
//! Every batch has one lambda ~ Beta(alpha, alpha) and one partner per image, both functions of
//! (seed, step), so a resumed run mixes as an uninterrupted one. Training only sees
//! x = lambda x_i + (1 - lambda) x_j and the same mixture of (smoothed) targets; evaluation never
//! mixes.

use std::path::Path;

use rungs_spec::protocol::RunFile;
use rungs_spec::recipe::Variant;
use tch::{Kind, Tensor};

use crate::determinism::Stream;
use crate::failure::Failure;
use crate::weights;

/// Key of `RunFile.inputs` (and of the recipe) that names given lambdas and partners.
const GIVEN: &str = "mixup_lambdas";

/// The mixing of every step of a run.
#[derive(Debug)]
pub struct Mixup {
    batch: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Drawn {
        seed: u64,
        alpha: f64,
        pairing: Pairing,
    },
    /// Verification: the lambda and the partners of every step.
    Given(Vec<Mix>),
}

/// Which image is whose partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pairing {
    /// A random permutation of the batch.
    Permutation,
    /// The released code's: each slice of so many images reversed (`X[::-1]` on each GPU).
    ReversedSlices(usize),
}

/// How one batch is mixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Share of the image itself.
    pub lambda: f64,
    /// (N): position in the batch of each image's partner.
    pub partner: Vec<i64>,
}

impl Mixup {
    /// What a run's recipe asks for, `None` without mixup. Errors (permanent): a file of given
    /// lambdas that cannot be read, is too short for `steps`, or is out of range.
    pub fn of_run(run: &RunFile, steps: u64) -> Result<Option<Mixup>, Failure> {
        let recipe = &run.recipe;
        let batch = recipe.batch_size as usize;
        if let Some(name) = &recipe.mixup_lambdas {
            let input = run
                .inputs
                .get(GIVEN)
                .and_then(|input| input.file.as_deref());
            let path = input.unwrap_or(Path::new(name));
            let given = read(path, steps, batch)?;
            return Ok(Some(Mixup {
                batch,
                source: Source::Given(given),
            }));
        }
        if recipe.mixup_alpha <= 0.0 {
            return Ok(None);
        }
        let pairing = match recipe.variant {
            Variant::Paper => Pairing::Permutation,
            Variant::Gluoncv => Pairing::ReversedSlices(batch / recipe.replicas.max(1) as usize),
        };
        Ok(Some(Mixup {
            batch,
            source: Source::Drawn {
                seed: run.seed,
                alpha: recipe.mixup_alpha,
                pairing,
            },
        }))
    }

    /// These, step by step.
    #[cfg(test)]
    pub fn given(mixes: Vec<Mix>) -> Mixup {
        Mixup {
            batch: mixes[0].partner.len(),
            source: Source::Given(mixes),
        }
    }

    /// The mixing of the `step`-th update.
    pub fn of_step(&self, step: u64) -> Mix {
        match &self.source {
            Source::Given(all) => all[step as usize].clone(),
            Source::Drawn {
                seed,
                alpha,
                pairing,
            } => {
                let mut stream = Stream::new(*seed, &format!("mixup {step}"));
                let lambda = beta(&mut stream, *alpha);
                let mut partner: Vec<i64> = (0..self.batch as i64).collect();
                match pairing {
                    Pairing::Permutation => stream.shuffle(&mut partner),
                    Pairing::ReversedSlices(slice) => {
                        partner.chunks_mut(*slice).for_each(<[i64]>::reverse);
                    }
                }
                Mix { lambda, partner }
            }
        }
    }
}

impl Mix {
    /// lambda x_i + (1 - lambda) x_j of images (N, C, H, W) in channels-last memory, in their kind
    /// and on their device. With lambda = 1 every bit stays.
    pub fn images(&self, images: &Tensor, partner: &Tensor) -> Tensor {
        // Row by row of (N, H, W, C), which lies contiguous: index_select of a permuted view would
        // come out in another layout.
        let rows = images.permute([0, 2, 3, 1]);
        let others = rows.index_select(0, partner);
        let mixed = (rows * self.lambda).g_add_(&(others * (1.0 - self.lambda)));
        mixed.permute([0, 3, 1, 2])
    }
}

/// lambda ~ Beta(alpha, alpha), alpha > 0, as Gamma / (Gamma + Gamma').
fn beta(stream: &mut Stream, alpha: f64) -> f64 {
    // In logarithms: at small alpha both gammas may be smaller than any f64.
    let difference = ln_gamma_variate(stream, alpha) - ln_gamma_variate(stream, alpha);
    1.0 / (1.0 + libm::exp(-difference))
}

/// ln G, G ~ Gamma(alpha, 1): Marsaglia and Tsang 2000 for alpha + 1, then G = G' U^(1/alpha).
fn ln_gamma_variate(stream: &mut Stream, alpha: f64) -> f64 {
    let d = alpha + 1.0 - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    let g = loop {
        let x = stream.normal();
        let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
        let u = 1.0 - stream.uniform();
        if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            break d * v;
        }
    };
    libm::log(g) + libm::log(1.0 - stream.uniform()) / alpha
}

/// Given lambdas: safetensors with `lambda` (steps; F32 or F64, in [0, 1]) and `partner` (steps,
/// batch; I64, in 0..batch).
fn read(path: &Path, steps: u64, batch: usize) -> Result<Vec<Mix>, Failure> {
    let wrong = |what: String| {
        Failure::permanent(format!(
            "{}: {what}; {GIVEN} needs `lambda` (steps, in [0, 1]) and `partner` (steps, batch, I64, in 0..batch) for \
             the {steps} steps of {batch} images of this run",
            path.display()
        ))
    };
    let dict = weights::read(path).map_err(|error| Failure::permanent(format!("{error:#}")))?;
    let tensor = |name: &str, shape: &str| {
        let missing = || wrong(format!("has no tensor `{name}` {shape}"));
        dict.get(name).ok_or_else(missing)
    };
    let lambda = tensor("lambda", "(steps)")?;
    let partner = tensor("partner", "(steps, batch)")?;
    let rows = lambda.size().first().copied().unwrap_or(0);
    if lambda.dim() != 1 || !matches!(lambda.kind(), Kind::Float | Kind::Double) {
        return Err(wrong(format!(
            "`lambda` is {:?} of shape {:?}",
            lambda.kind(),
            lambda.size()
        )));
    }
    if partner.size() != [rows, batch as i64] || partner.kind() != Kind::Int64 {
        return Err(wrong(format!(
            "`partner` is {:?} of shape {:?}, with {rows} lambdas",
            partner.kind(),
            partner.size()
        )));
    }
    if (rows as u64) < steps {
        return Err(wrong(format!("has {rows} steps")));
    }
    let lambdas = Vec::<f64>::try_from(lambda.to_kind(Kind::Double))?;
    if let Some((step, value)) = lambdas
        .iter()
        .enumerate()
        .find(|(_, value)| !(0.0..=1.0).contains(*value))
    {
        return Err(wrong(format!("`lambda` of step {step} is {value}")));
    }
    let partners = Vec::<i64>::try_from(partner.reshape([-1]))?;
    if let Some((at, value)) = partners
        .iter()
        .enumerate()
        .find(|(_, value)| !(0..batch as i64).contains(*value))
    {
        return Err(wrong(format!(
            "`partner` of image {} in step {} is {value}",
            at % batch,
            at / batch
        )));
    }
    let mixes = lambdas.iter().zip(partners.chunks(batch));
    Ok(mixes
        .map(|(lambda, partner)| Mix {
            lambda: *lambda,
            partner: partner.to_vec(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn drawn(alpha: f64, pairing: Pairing) -> Mixup {
        Mixup {
            batch: 8,
            source: Source::Drawn {
                seed: 1,
                alpha,
                pairing,
            },
        }
    }

    /// recipes.md section 7, trap 16: Beta(.2, .2) has mean .5 and P(l < .1 or l > .9) = .673.
    #[test]
    fn trap_16_lambda_has_the_moments_and_tails_of_beta() {
        let n = 100_000;
        for (alpha, tails) in [(0.2, 0.6729), (1.0, 0.2)] {
            let mixup = drawn(alpha, Pairing::Permutation);
            let lambdas: Vec<f64> = (0..n).map(|step| mixup.of_step(step).lambda).collect();
            let mean = |f: &dyn Fn(f64) -> f64| {
                lambdas.iter().map(|lambda| f(*lambda)).sum::<f64>() / n as f64
            };
            let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean(&|l| l) - 0.5).abs() < 0.005, "{alpha}");
            let got = mean(&|l| (l - 0.5).powi(2));
            assert!((got - variance).abs() < 0.003, "{alpha}: variance {got}");
            let got = mean(&|l| f64::from(!(0.1..=0.9).contains(&l)));
            assert!((got - tails).abs() < 0.005, "{alpha}: tails {got}");
        }
        let tiny = drawn(1e-4, Pairing::Permutation);
        assert!((0..1000).all(|step| (0.0..=1.0).contains(&tiny.of_step(step).lambda)));
    }

    /// recipes.md section 7, trap 16: one lambda and one permutation per batch, others in the next.
    #[test]
    fn trap_16_one_lambda_per_batch_and_every_image_is_a_partner_once() {
        let mixup = drawn(0.2, Pairing::Permutation);
        let (first, second) = (mixup.of_step(0), mixup.of_step(1));
        assert_eq!(first, mixup.of_step(0));
        assert_ne!(first.lambda, second.lambda);
        assert_ne!(first.partner, second.partner);
        let mut sorted = first.partner;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn the_released_code_reverses_each_replicas_slice() {
        let mixup = drawn(0.2, Pairing::ReversedSlices(4));
        assert_eq!(mixup.of_step(3).partner, [3, 2, 1, 0, 7, 6, 5, 4]);
        // The lambda is the paper variant's.
        let paper = drawn(0.2, Pairing::Permutation);
        assert_eq!(mixup.of_step(3).lambda, paper.of_step(3).lambda);
    }

    /// recipes.md section 7, trap 16: lambda = 1 leaves every bit of the images.
    #[test]
    fn trap_16_images_are_mixed_and_lambda_1_leaves_them() {
        let images = Tensor::arange(2 * 3 * 2 * 2, (Kind::Float, Device::Cpu))
            .view([2, 2, 2, 3])
            .permute([0, 3, 1, 2]);
        let partner = Tensor::from_slice(&[1_i64, 0]);
        let mixed = |lambda| {
            let mix = Mix {
                lambda,
                partner: vec![1, 0],
            };
            mix.images(&images, &partner)
        };
        assert!(mixed(1.0).equal(&images));
        assert!(mixed(0.0).equal(&images.flip([0])));
        // Images differ by 12 everywhere.
        assert!(mixed(0.25).get(0).equal(&(images.get(0) + 9.0)));
        assert_eq!(mixed(0.25).stride(), images.stride());
    }

    fn file(lambda: &[f64], partner: &[i64], batch: i64) -> tempfile::NamedTempFile {
        let partner = Tensor::from_slice(partner).view([-1, batch]);
        let dict = weights::StateDict::from([
            ("lambda".to_owned(), Tensor::from_slice(lambda)),
            ("partner".to_owned(), partner),
        ]);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), weights::serialize(&dict, None).expect("bytes"))
            .expect("a write");
        file
    }

    #[test]
    fn given_lambdas_are_read_and_checked() {
        let good = file(&[0.25, 1.0], &[1, 0, 0, 1], 2);
        let mixes = read(good.path(), 2, 2).expect("reads");
        assert_eq!(mixes[0].lambda, 0.25);
        assert_eq!(mixes[1].partner, [0, 1]);
        let refused = |file: &tempfile::NamedTempFile, steps, named: &str| {
            let message = read(file.path(), steps, 2).expect_err("refused").message;
            assert!(message.contains(named), "{message}");
        };
        refused(&good, 3, "has 2 steps");
        refused(
            &file(&[0.5, 1.5], &[1, 0, 0, 1], 2),
            2,
            "`lambda` of step 1 is 1.5",
        );
        refused(
            &file(&[0.5, f64::NAN], &[1, 0, 0, 1], 2),
            2,
            "`lambda` of step 1 is NaN",
        );
        refused(
            &file(&[0.5, 0.5], &[1, 0, 0, 2], 2),
            2,
            "`partner` of image 1 in step 1 is 2",
        );
        refused(&file(&[0.5], &[0, 1, 2], 3), 1, "shape [1, 3]");
    }
}
