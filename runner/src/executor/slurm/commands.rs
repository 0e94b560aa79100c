//! Slurm's own programs: sbatch, squeue, sacct, scancel.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rungs_spec::home::{Home, RunDir};

use super::config::Config;
use super::job::Job;

/// How long one of Slurm's programs may take. A busy controller lets sbatch wait; more than this is
/// a refusal.
const PATIENCE: Duration = Duration::from_secs(30);

/// What Slurm says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// Such as `PENDING`.
    pub state: String,
    /// Why it is in that state.
    pub reason: String,
}

/// All jobs of this user that Slurm knows, those included that ended a moment ago.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue(Vec<Listed>);

impl Queue {
    /// Asks squeue. The error is Slurm's, in one line.
    pub async fn ask() -> Result<Queue, String> {
        let arguments = ["--me", "--noheader", "--states=all", "--format=%A|%T|%j|%r"];
        let said = call("squeue", &arguments.map(OsString::from)).await?;
        Ok(Queue::parse(&said))
    }

    fn parse(text: &str) -> Queue {
        let line = |line: &str| {
            let mut words = line.splitn(4, '|');
            Some(Listed {
                number: words.next()?.trim().parse().ok()?,
                state: words.next()?.to_owned(),
                name: words.next()?.to_owned(),
                reason: words.next()?.trim().to_owned(),
            })
        };
        Queue(text.lines().filter_map(line).collect())
    }

    /// What it says of a job. Names are used only once, and known before numbers are.
    pub fn find(&self, job: &Job) -> Option<&Listed> {
        self.0.iter().find(|listed| listed.name == job.name)
    }
}

/// What the accounting database says of a job that squeue has forgotten; `None` where there is none.
pub async fn accounted(job: &Job) -> Option<Listed> {
    let number = job.number?;
    let arguments = [
        "--noheader".to_owned(),
        "--allocations".to_owned(),
        "--parsable2".to_owned(),
        "--format=JobName,State".to_owned(),
        format!("--jobs={number}"),
    ];
    let said = call("sacct", &arguments.map(OsString::from)).await.ok()?;
    parse_accounted(&said, job, number)
}

fn parse_accounted(text: &str, job: &Job, number: u64) -> Option<Listed> {
    // A job that was started again has a line for each time: the last one counts.
    let line = |line: &str| {
        let (name, state) = line.split_once('|')?;
        (name == job.name).then(|| Listed {
            number,
            name: name.to_owned(),
            // `CANCELLED by 1000`
            state: state.split(' ').next().unwrap_or_default().to_owned(),
            reason: "as sacct says".to_owned(),
        })
    };
    text.lines().filter_map(line).next_back()
}

/// What a job needs besides slurm.toml.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The job, whose script is in the run directory.
    pub job: Job,
    /// The run directory.
    pub run_dir: RunDir,
    /// Numbers of the jobs that must succeed before it may start.
    pub after: Vec<u64>,
    /// Nothing else may be on its node.
    pub alone: bool,
}

/// Submits a job. Returns its number; the error is Slurm's, in one line.
pub async fn submit(config: &Config, submission: &Submission) -> Result<u64, String> {
    let Submission {
        job,
        run_dir,
        after,
        alone,
    } = submission;
    let absolute = std::path::absolute(run_dir.dir()).map_err(|e| e.to_string())?;
    let run_dir = RunDir(absolute);
    let mut arguments = options(config);
    arguments.push("--parsable".into());
    arguments.push(format!("--job-name={}", job.name).into());
    for (option, path) in [
        ("--output=", run_dir.log()),
        ("--chdir=", run_dir.dir().to_owned()),
    ] {
        let mut argument = OsString::from(option);
        argument.push(path);
        arguments.push(argument);
    }
    if *alone {
        arguments.push("--exclusive".into());
    }
    if !after.is_empty() {
        let numbers: Vec<String> = after.iter().map(u64::to_string).collect();
        arguments.push(format!("--dependency=afterok:{}", numbers.join(":")).into());
        // Its place in the queue is free again for who can use it; the runner submits it anew.
        arguments.push("--kill-on-invalid-dep=yes".into());
    }
    arguments.push(run_dir.job_script().into());
    let said = call("sbatch", &arguments).await?;
    // `NUMBER` or `NUMBER;CLUSTER`
    let number = said.trim().split(';').next().and_then(|n| n.parse().ok());
    number.ok_or_else(|| format!("sbatch said {said:?} instead of the number of a job"))
}

/// What slurm.toml asks of sbatch.
fn options(config: &Config) -> Vec<OsString> {
    let Config {
        partition,
        account,
        time,
        gpus,
        cpus,
        mem,
        extra,
        signal_s,
        max_jobs: _,
        poll_s: _,
    } = config;
    let mut options = vec![
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={cpus}"),
        "--open-mode=append".to_owned(),
        "--requeue".to_owned(),
        // To the script alone, which passes it on.
        format!("--signal=B:USR1@{signal_s}"),
    ];
    for (option, value) in [
        ("partition", partition),
        ("account", account),
        ("time", time),
        ("mem", mem),
    ] {
        options.extend(value.as_ref().map(|value| format!("--{option}={value}")));
    }
    if gpus.count() != Some(0) {
        options.push(format!("--gpus={}", gpus.option()));
    }
    options.extend(extra.iter().cloned());
    options.into_iter().map(OsString::from).collect()
}

/// Cancels a job, by its number or, while that is not known, by its name. One that is over is none.
pub async fn cancel(job: &Job) -> Result<(), String> {
    let which = match job.number {
        Some(number) => number.to_string(),
        None => format!("--name={}", job.name),
    };
    call("scancel", &[OsString::from("--quiet"), which.into()]).await?;
    Ok(())
}

/// Whether jobs can be submitted: Slurm is there, and takes what slurm.toml asks for. A full queue is
/// no reason not to begin.
pub async fn check(config: &Config, home: &Home) -> anyhow::Result<()> {
    for program in ["sbatch", "squeue", "scancel", "scontrol"] {
        if find(program).is_none() {
            bail!(
                "there is no {program} on PATH: run this on a machine from which jobs can be \
                 submitted, or take --executor local"
            );
        }
    }
    let test = |more: &[&str]| {
        let mut arguments = options(config);
        arguments.extend(more.iter().map(OsString::from));
        // Without it Slurm writes slurm-NUMBER.out into the current folder.
        arguments.extend(["--output=/dev/null", "--wrap=true"].map(OsString::from));
        arguments
    };
    let Err(doubt) = call("sbatch", &test(&["--test-only"])).await else {
        return Ok(());
    };
    // It says the same of nodes that are down for a while as of nodes that there will never be. What
    // Slurm keeps can become something.
    let held = ["--hold", "--parsable", "--job-name=rungs-check"];
    match call("sbatch", &test(&held)).await {
        Ok(number) => {
            let number = number.trim().split(';').next().unwrap_or_default();
            tracing::warn!("Slurm takes jobs, but can start none now: {doubt}");
            if let Err(refusal) = call("scancel", &[number.into()]).await {
                tracing::warn!("cannot cancel job {number}, with which that was tried: {refusal}");
            }
            Ok(())
        }
        Err(refusal) if is_limit(&refusal) => {
            tracing::warn!("Slurm takes no job now: {refusal}");
            Ok(())
        }
        Err(refusal) => Err(anyhow::anyhow!("{refusal}")).with_context(|| {
            format!(
                "Slurm refuses a job as {} describes it; correct that file, or Slurm",
                home.slurm().display()
            )
        }),
    }
}

/// Whether Slurm refuses a job because there are too many at this moment.
fn is_limit(refusal: &str) -> bool {
    let refusal = refusal.to_lowercase();
    [
        "submitjob",
        "maxjobs",
        "job submit limit",
        "temporarily unable",
    ]
    .iter()
    .any(|words| refusal.contains(words))
}

/// A program on PATH.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Runs one of Slurm's programs. Returns what it printed; the error is what it complained of.
async fn call(program: &str, arguments: &[OsString]) -> Result<String, String> {
    tracing::debug!(program, ?arguments, "asking Slurm");
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let output = match tokio::time::timeout(PATIENCE, child.wait_with_output()).await {
        Ok(output) => output.map_err(|error| format!("cannot wait for {program}: {error}"))?,
        Err(_) => {
            return Err(format!(
                "{program} has not ended after {} s: Slurm is busy, full, or not there",
                PATIENCE.as_secs()
            ));
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = one_line(&String::from_utf8_lossy(&output.stderr));
    Err(if complaint.is_empty() {
        format!("{program} ended with {}", output.status)
    } else {
        complaint
    })
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job {
            name: "rungs-abc-1".into(),
            number: Some(17),
            first_attempt: 1,
        }
    }

    #[test]
    fn squeue_is_read() {
        let queue = Queue::parse(
            "16|RUNNING|mine|None\n17|PENDING|rungs-abc-1|Nodes required for job are DOWN, DRAINED\n\
             torn\n18|COMPLETED|rungs-abc-2|None\n",
        );
        assert_eq!(queue.0.len(), 3);
        let found = queue.find(&job()).unwrap();
        assert_eq!((found.number, found.state.as_str()), (17, "PENDING"));
        assert_eq!(found.reason, "Nodes required for job are DOWN, DRAINED");
        let other = Job {
            name: "rungs-abc-3".into(),
            ..job()
        };
        assert_eq!(queue.find(&other), None);
    }

    #[test]
    fn sacct_is_read() {
        let said = "rungs-abc-1|NODE_FAIL\nrungs-abc-1|CANCELLED by 1000\n";
        let found = parse_accounted(said, &job(), 17).unwrap();
        assert_eq!(found.state, "CANCELLED");
        assert_eq!(parse_accounted("", &job(), 17), None);
        // A number that was used again.
        assert_eq!(parse_accounted("other|RUNNING\n", &job(), 17), None);
    }

    #[test]
    fn options_are_what_the_file_says() {
        let config = Config {
            partition: Some("gpu".into()),
            gpus: super::super::config::Gpus::Count(2),
            extra: vec!["--qos=long".into()],
            ..Config::default()
        };
        let options = options(&config);
        for option in [
            "--partition=gpu",
            "--gpus=2",
            "--qos=long",
            "--signal=B:USR1@120",
            "--requeue",
        ] {
            assert!(options.contains(&OsString::from(option)), "{options:?}");
        }
        assert!(
            !options
                .iter()
                .any(|o| o.to_string_lossy().starts_with("--account"))
        );
    }

    #[test]
    fn limits_are_told_from_mistakes() {
        assert!(is_limit(
            "sbatch: error: QOSMaxSubmitJobPerUserLimit; Batch job submission failed: Job violates \
             accounting/QOS policy (job submit limit, user's size and/or time limits)"
        ));
        assert!(!is_limit(
            "allocation failure: Invalid partition name specified"
        ));
    }
}
