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
                let passed = milestones.iter().filter(|m| step as f64 >= **m * self.steps_per_epoch as f64).count();
                self.peak * gamma.powi(passed as i32)
            }
            Schedule::Cosine => self.peak * 0.5 * (1.0 + (std::f64::consts::PI * t / total).cos()),
            Schedule::Poly { power } => self.peak * (1.0 - t / total).max(0.0).powf(*power),
        }
    }
}
