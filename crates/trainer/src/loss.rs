//! What is the loss of a batch? Softmax cross entropy with smoothed and mixed labels, plus what a
//! teacher says; always at least in FP32 (recipes.md section 3; trap 17).

use tch::{Device, Kind, Reduction, Tensor};

/// What a network should say about the images of a batch.
#[derive(Debug)]
pub struct Targets {
    /// (N): the label of each image.
    pub labels: Tensor,
    /// Under mixup: lambda, and the label (N) of each image's partner.
    pub mixed: Option<(f64, Tensor)>,
    /// Under distillation: the teacher's logits r (N, classes) for the same images.
    pub teacher: Option<Tensor>,
}

/// Weights of the terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// epsilon of label smoothing (paper section 5.2).
    pub label_smoothing: f64,
    /// Distillation.
    pub distill: Option<Distill>,
}

/// Distillation (paper section 5.3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distill {
    /// T.
    pub temperature: f64,
    /// Weight of T^2 times the cross entropy with the teacher's softened probabilities.
    pub soft_weight: f64,
    /// Weight of the cross entropy with the labels.
    pub hard_weight: f64,
}

impl Targets {
    /// Those of some rows, on a device; what the teacher says is left out.
    pub fn rows(&self, start: i64, rows: i64, device: Device) -> Targets {
        let part = |labels: &Tensor| labels.narrow(0, start, rows).to_device(device);
        Targets {
            labels: part(&self.labels),
            mixed: self
                .mixed
                .as_ref()
                .map(|(lambda, partners)| (*lambda, part(partners))),
            teacher: None,
        }
    }
}

impl Loss {
    /// The mean over the batch of: hard_weight H + soft_weight T^2 CE(softmax(r/T), softmax(z/T)),
    /// H the cross entropy with the labels; without a teacher H alone. Scalar, FP32 or FP64.
    pub fn of(&self, logits: &Tensor, targets: &Targets) -> Tensor {
        let logits = in_full_precision(logits);
        let hard = self.hard(&logits, targets);
        let (Some(distill), Some(teacher)) = (self.distill, &targets.teacher) else {
            return hard;
        };
        let soft = distill.soft(&logits, teacher);
        let weight = distill.soft_weight * distill.temperature * distill.temperature;
        hard * distill.hard_weight + soft * weight
    }

    /// Cross entropy is linear in the target, so that of a mixed target is the mixture of two; each
    /// label is smoothed first (recipes.md section 3). With lambda = 1 it is the plain loss, bit by
    /// bit.
    fn hard(&self, logits: &Tensor, targets: &Targets) -> Tensor {
        let one = |labels| cross_entropy(logits, labels, self.label_smoothing);
        match &targets.mixed {
            None => one(&targets.labels),
            Some((lambda, partners)) => {
                one(&targets.labels) * *lambda + one(partners) * (1.0 - lambda)
            }
        }
    }
}

impl Distill {
    /// CE(softmax(r/T), softmax(z/T)), mean over the batch: cross entropy, not KL divergence (their
    /// gradients are equal).
    fn soft(&self, logits: &Tensor, teacher: &Tensor) -> Tensor {
        let kind = logits.kind();
        let target = (teacher.to_kind(kind) / self.temperature).softmax(1, kind);
        let log = (logits / self.temperature).log_softmax(1, kind);
        -(target * log)
            .sum_dim_intlist(Some([1].as_slice()), false, kind)
            .mean(kind)
    }
}

/// Half kinds become FP32.
pub fn in_full_precision(logits: &Tensor) -> Tensor {
    match logits.kind() {
        Kind::Half | Kind::BFloat16 => logits.to_kind(Kind::Float),
        _ => logits.shallow_clone(),
    }
}

/// Softmax cross entropy, mean over the batch. Smoothed targets are 1 - eps + eps / K for the label
/// and eps / K for the others (paper section 5.2).
fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, smoothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: f64 = 20.0;

    fn distill(hard_weight: f64) -> Distill {
        Distill {
            temperature: T,
            soft_weight: 1.0,
            hard_weight,
        }
    }

    fn loss(label_smoothing: f64, distill: Option<Distill>) -> Loss {
        Loss {
            label_smoothing,
            distill,
        }
    }

    /// (4, 10), spread over +-`size`.
    fn logits(size: f64, salt: i64) -> Tensor {
        let values: Vec<f64> = (0..40)
            .map(|i| ((i * 7919 + salt) % 101) as f64 / 50.0 - 1.0)
            .collect();
        Tensor::from_slice(&values).view([4, 10]) * size
    }

    fn targets(mixed: Option<f64>, teacher: Option<Tensor>) -> Targets {
        Targets {
            labels: Tensor::from_slice(&[0_i64, 3, 3, 9]),
            mixed: mixed.map(|lambda| (lambda, Tensor::from_slice(&[3_i64, 0, 9, 3]))),
            teacher,
        }
    }

    fn gradient(logits: &Tensor, of: impl Fn(&Tensor) -> Tensor) -> (Tensor, Tensor) {
        let leaf = logits.copy().set_requires_grad(true);
        let loss = of(&leaf);
        let gradient = Tensor::run_backward(&[&loss], &[&leaf], false, false).remove(0);
        (loss.detach(), gradient)
    }

    /// recipes.md section 7, trap 15: the smoothed target sums to 1, its label has 1 - eps + eps/K.
    #[test]
    fn trap_15_smoothed_targets_are_1_minus_eps_plus_eps_over_k() {
        let z = logits(3.0, 0);
        let one_hot = targets(None, None).labels.one_hot(10).to_kind(Kind::Double);
        let target = one_hot * 0.9 + 0.01;
        let expected = -(target * z.log_softmax(1, Kind::Double)).sum(None) / 4.0;
        let got = loss(0.1, None).of(&z, &targets(None, None));
        assert!((got - expected).abs().double_value(&[]) < 1e-14);
    }

    /// recipes.md section 7, trap 16: with lambda = 1 loss and gradient are the plain ones, bit by
    /// bit, and labels are smoothed before they are mixed.
    #[test]
    fn trap_16_lambda_1_is_the_plain_loss_and_smoothing_comes_first() {
        for kind in [Kind::Float, Kind::Double] {
            let z = logits(3.0, 0).to_kind(kind);
            let loss = loss(0.1, None);
            let plain = gradient(&z, |z| loss.of(z, &targets(None, None)));
            let mixed = gradient(&z, |z| loss.of(z, &targets(Some(1.0), None)));
            assert!(
                plain.0.equal(&mixed.0) && plain.1.equal(&mixed.1),
                "{kind:?}"
            );
        }
        let z = logits(3.0, 0);
        let mixed = targets(Some(0.3), None);
        let smoothed = |labels: &Tensor| labels.one_hot(10).to_kind(Kind::Double) * 0.9 + 0.01;
        let (lambda, partners) = mixed.mixed.as_ref().expect("mixed");
        let target = smoothed(&mixed.labels) * *lambda + smoothed(partners) * (1.0 - lambda);
        let expected = -(target * z.log_softmax(1, Kind::Double)).sum(None) / 4.0;
        let got = loss(0.1, None).of(&z, &mixed);
        assert!((got - expected).abs().double_value(&[]) < 1e-14);
    }

    /// recipes.md section 7, trap 17: a student that says what the teacher says is not moved.
    #[test]
    fn trap_17_equal_logits_have_no_soft_gradient() {
        let z = logits(5.0, 0);
        let loss = loss(0.0, Some(distill(0.0)));
        let (_, zero) = gradient(&z, |z| loss.of(z, &targets(None, Some(logits(5.0, 0)))));
        assert!(zero.abs().max().double_value(&[]) < 1e-15);
        let (_, moved) = gradient(&z, |z| loss.of(z, &targets(None, Some(logits(5.0, 1)))));
        assert!(moved.abs().max().double_value(&[]) > 1e-2);
    }

    /// recipes.md section 7, trap 17: the factor T^2 keeps the soft gradient's size: at large T it is
    /// (z - mean z - r + mean r) / K, whatever T.
    #[test]
    fn trap_17_temperature_squared_keeps_the_gradients_size() {
        let (z, r) = (logits(1.0, 0), logits(1.0, 1));
        let centred = |x: &Tensor| x - x.mean_dim([1].as_slice(), true, None);
        let expected = (centred(&z) - centred(&r)) / 10.0 / 4.0;
        for temperature in [100.0, 1000.0] {
            let soft = Distill {
                temperature,
                ..distill(0.0)
            };
            let loss = loss(0.0, Some(soft));
            let (_, got) = gradient(&z, |z| loss.of(z, &targets(None, Some(r.copy()))));
            let error = (got - &expected).abs().max().double_value(&[]);
            assert!(
                error < 1e-3 / temperature * 10.0,
                "T {temperature}: {error}"
            );
        }
    }

    /// recipes.md section 7, trap 17: half logits of any size give a finite FP32 loss at T = 20, and
    /// the hard term is the smoothed and mixed one.
    #[test]
    fn trap_17_the_loss_is_finite_and_in_fp32() {
        let z = (logits(6e4, 0)).to_kind(Kind::Half);
        let r = (logits(6e4, 1)).to_kind(Kind::Half);
        let both = loss(0.1, Some(distill(1.0)));
        let (value, gradient) = gradient(&z, |z| {
            both.of(z, &targets(Some(0.3), Some(r.shallow_clone())))
        });
        assert_eq!(value.kind(), Kind::Float);
        assert!(value.double_value(&[]).is_finite());
        assert_eq!(gradient.kind(), Kind::Half);
        assert!(gradient.isfinite().all().int64_value(&[]) == 1);

        let (z, r) = (logits(3.0, 0), logits(3.0, 1));
        let of = |hard| {
            loss(0.1, Some(distill(hard)))
                .of(&z, &targets(Some(0.3), Some(r.copy())))
                .double_value(&[])
        };
        let hard = loss(0.1, None)
            .of(&z, &targets(Some(0.3), None))
            .double_value(&[]);
        assert!((of(1.0) - of(0.0) - hard).abs() < 1e-10);
        // As MXNet and the paper have it: of the order of T^2 ln K.
        assert!((of(0.0) - T * T * 10f64.ln()).abs() < T * T * 0.1);
    }

    #[test]
    fn the_kind_of_the_logits_is_kept_from_fp32_on() {
        let one = Tensor::ones([1, 2], (Kind::Double, Device::Cpu));
        assert_eq!(in_full_precision(&one).kind(), Kind::Double);
        assert_eq!(
            in_full_precision(&one.to_kind(Kind::BFloat16)).kind(),
            Kind::Float
        );
    }
}
