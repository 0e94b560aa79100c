//! Where attempts are executed: processes of this machine ([`local`]) or jobs of a cluster
//! ([`slurm`]).

pub mod alive;
pub mod local;
pub mod slurm;

use rungs_spec::home::Home;

use crate::cli::ExecutorName;

/// Where a scheduler executes attempts.
#[derive(Debug, Clone)]
pub enum Executor {
    /// On this machine.
    Local,
    /// As jobs of Slurm, submitted like this.
    Slurm(slurm::Config),
}

impl Executor {
    /// The executor of that name, if it can be used for this home. For Slurm that is: there is an
    /// sbatch, a slurm.toml without mistakes, and Slurm accepts what it asks for.
    pub async fn of(name: ExecutorName, home: &Home) -> anyhow::Result<Executor> {
        match name {
            ExecutorName::Local => Ok(Executor::Local),
            ExecutorName::Slurm => {
                let config = slurm::Config::load(home)?;
                slurm::commands::check(&config, home).await?;
                Ok(Executor::Slurm(config))
            }
        }
    }

    /// How jobs are submitted, if they are.
    pub fn slurm(&self) -> Option<&slurm::Config> {
        match self {
            Executor::Local => None,
            Executor::Slurm(config) => Some(config),
        }
    }
}
