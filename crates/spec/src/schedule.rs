//! The learning rate of every step (paper section 3.1 and 5.1).

use crate::recipe::{Recipe, Schedule, Variant};

/// The learning rate as a function of the step.
#[derive(Debug, Clone, PartialEq)]
pub struct LrSchedule {
    peak: f64,
    warmup_from: f64,
    warmup_steps: u64,
    zero_indexed: bool,
    steps: u64,
    steps_per_epoch: u64,
    decay: Schedule,
}

impl LrSchedule {
    /// Of a recipe whose epochs have `steps_per_epoch` steps.
    pub fn new(recipe: &Recipe, steps_per_epoch: u64) -> Self {
        LrSchedule {
            peak: recipe.peak_lr(),
            warmup_from: recipe.warmup_from,
            warmup_steps: (recipe.warmup_epochs * steps_per_epoch as f64).round() as u64,
            zero_indexed: recipe.variant == Variant::Gluoncv,
            steps: u64::from(recipe.epochs) * steps_per_epoch,
            steps_per_epoch,
            decay: recipe.schedule.clone(),
        }
    }

    /// Steps of the whole training.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Learning rate of the update at `step` (from 0).
    ///
    /// Warmup over m batches: lr = i * eta / m at batch i = 1..m (paper section 3.1); the released
    /// code counts i from 0, so that its first update has lr 0. Cosine: eta/2 (1 + cos(t pi / T)),
    /// t = 0 at the first step after the warmup (section 5.1). Step milestones count epochs from
    /// the start of training, warmup included.
    pub fn lr(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            let i = if self.zero_indexed { step } else { step + 1 };
            let share = i as f64 / self.warmup_steps as f64;
            return self.peak * (self.warmup_from + (1.0 - self.warmup_from) * share);
        }
        let t = (step - self.warmup_steps) as f64;
        let total = self.steps.saturating_sub(self.warmup_steps).max(1) as f64;
        match &self.decay {
            Schedule::Step { milestones, gamma } => {
                let passed = milestones
                    .iter()
                    .filter(|m| step as f64 >= **m * self.steps_per_epoch as f64)
                    .count();
                self.peak * gamma.powi(passed as i32)
            }
            Schedule::Cosine => self.peak * 0.5 * (1.0 + (std::f64::consts::PI * t / total).cos()),
            Schedule::Poly { power } => self.peak * (1.0 - t / total).max(0.0).powf(*power),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Recipe {
        crate::settle::complete(&text.parse().expect("TOML")).expect("a recipe")
    }

    fn close(got: f64, wanted: f64, relative: f64) {
        assert!(
            (got - wanted).abs() <= relative * wanted.abs(),
            "{got} is not {wanted}"
        );
    }

    /// The founding slides: batch 512 doubles the rate of batch 256.
    #[test]
    fn linear_scaling_takes_batch_512_to_a_rate_of_0_2() {
        let r = recipe("batch_size = 512\nlr_scaling = 'linear'");
        assert_eq!(r.peak_lr(), 0.2);
        assert_eq!(LrSchedule::new(&r, 100).lr(0), 0.2);
    }

    /// The founding slides: m = 1024 warmup batches, eta = 0.1: batch i = 512 trains at 0.05.
    #[test]
    fn warmup_over_1024_batches_is_at_0_05_in_batch_512() {
        let r = recipe("warmup_epochs = 1");
        let lr = LrSchedule::new(&r, 1024);
        assert_eq!(lr.lr(511), 0.05); // batches count from 1
        assert_eq!(lr.lr(0), 0.1 / 1024.0);
        assert_eq!(lr.lr(1023), 0.1);
        assert_eq!(lr.lr(1024), 0.1);
    }

    /// recipes.md section 7, trap 6: values printed in the authors' logs (batch 1024: 1251 batches).
    #[test]
    fn trap_6_gluoncv_warmup_equals_the_authors_logs() {
        let r = recipe(
            "variant = 'gluoncv'\nbatch_size = 1024\nlr_scaling = 'linear'\nwarmup_epochs = 5",
        );
        let lr = LrSchedule::new(&r, 1251);
        assert_eq!(lr.lr(0), 0.0);
        close(lr.lr(49), 0.003133, 1e-3);
        close(lr.lr(4 * 1251 + 1249), 0.399872, 1e-6);
        assert_eq!(lr.lr(5 * 1251), 0.4);
    }

    /// As above, over the cosine of section 5.1.
    #[test]
    fn trap_6_gluoncv_cosine_equals_the_authors_logs() {
        let r = recipe(
            "variant = 'gluoncv'\nbatch_size = 1024\nlr_scaling = 'linear'\nwarmup_epochs = 5\nschedule = { kind = 'cosine' }",
        );
        let lr = LrSchedule::new(&r, 1251);
        close(lr.lr(60 * 1251 + 49), 0.213435, 1e-5);
        close(lr.lr(119 * 1251 + 1249), 1.9e-10, 2e-2);
    }

    /// recipes.md section 7, trap 6, with the paper's own count of warmup batches, from 1: the values come from
    /// `0.4 * (1251 e + i + 1) / 6255` and the cosine over 115 epochs in Python's doubles.
    #[test]
    fn trap_6_the_papers_warmup_counts_batches_from_1_and_its_cosine_is_the_authors() {
        let r = recipe(
            "batch_size = 1024\nlr_scaling = 'linear'\nwarmup_epochs = 5\nschedule = { kind = 'cosine' }",
        );
        let lr = LrSchedule::new(&r, 1251);
        close(lr.lr(49), 0.0031974420463629096, 1e-12);
        close(lr.lr(4 * 1251 + 1249), 0.3999360511590728, 1e-12);
        close(lr.lr(60 * 1251 + 49), 0.21343497033019831, 1e-12);
        close(lr.lr(119 * 1251 + 1249), 1.9074335444457803e-10, 1e-6);
    }

    /// Milestones count epochs from the start of training, warmup included.
    #[test]
    fn steps_fall_at_30_60_and_90_epochs() {
        let r = recipe("batch_size = 256\nwarmup_epochs = 5");
        let lr = LrSchedule::new(&r, 5004);
        for (epoch, before, after) in [(30, 0.1, 0.01), (60, 0.01, 0.001), (90, 0.001, 0.0001)] {
            close(lr.lr(epoch * 5004 - 1), before, 1e-12);
            close(lr.lr(epoch * 5004), after, 1e-12);
        }
        assert_eq!(lr.steps(), 120 * 5004);
    }

    #[test]
    fn poly_ends_near_zero_and_warmup_may_start_above_it() {
        let r = recipe(
            "epochs = 10\nwarmup_epochs = 0.5\nwarmup_from = 0.3333333333333333\nschedule = { kind = 'poly', power = 0.9 }",
        );
        let lr = LrSchedule::new(&r, 100);
        close(lr.lr(0), 0.1 * (1.0 / 3.0 + 2.0 / 3.0 / 50.0), 1e-12);
        assert_eq!(lr.lr(50), 0.1);
        close(lr.lr(999), 0.1 * (1.0_f64 / 950.0).powf(0.9), 1e-9);
    }
}
