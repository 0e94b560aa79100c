use super::*;

fn load(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let home = Home(dir.path().to_owned());
    std::fs::write(home.slurm(), text).unwrap();
    Config::load(&home).map_err(|e| crate::failure::paragraph(&e))
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(load("").unwrap(), Config::default());
    assert_eq!(Config::default().signal_s, 120);
}

#[test]
fn every_key_is_read() {
    let config = load(
        "partition = \"gpu\"\naccount = \"lab\"\ntime = \"1-00:00:00\"\ngpus = \"a100:2\"\n\
         cpus = 8\nmem = \"32G\"\nextra = [\"--qos=long\", \"--constraint=a100\"]\nsignal_s = 300\n\
         max_jobs = 7\npoll_s = 3\n",
    )
    .unwrap();
    assert_eq!(config.gpus.count(), Some(2));
    assert_eq!(config.gpus.option(), "a100:2");
    assert_eq!(config.shares(None).slots.len(), 7);
    assert_eq!(config.shares(Some(2)).slots.len(), 2);
    assert_eq!((config.poll_s, config.cpus), (3, 8));
}

#[test]
fn mistakes_are_refused_with_the_file_the_place_and_the_cure() {
    for (text, words) in [
        (
            "partion = \"gpu\"\n",
            ["slurm.toml", "unknown field `partion`", "slurm.toml:1:"],
        ),
        (
            "\ntime = \"soon\"\n",
            ["slurm.toml:2", "not a time", "HOURS:MINUTES"],
        ),
        (
            "time = \"00:01:00\"\n",
            ["slurm.toml", "signal_s = 120", "no time would be left"],
        ),
        ("gpus = \"a100\"\n", ["slurm.toml:1", "a100", "KIND:NUMBER"]),
        (
            "gpus = 1.5\n",
            ["slurm.toml", "slurm.toml:1:", "a number of GPUs"],
        ),
        ("cpus = 0\n", ["slurm.toml:1", "cpus = 0", "at least 1"]),
        ("max_jobs = -1\n", ["slurm.toml:1:", "-1", "u32"]),
        ("mem = \"lots\"\n", ["slurm.toml:1", "lots", "32G"]),
        (
            "extra = [\"qos=long\"]\n",
            ["slurm.toml:1", "qos=long", "--qos=long"],
        ),
        (
            "extra = [\"--time=1\"]\n",
            ["slurm.toml:1", "--time=1", "`time`"],
        ),
        (
            "extra = [\"-pgpu\"]\n",
            ["slurm.toml:1", "-pgpu", "`partition`"],
        ),
        (
            "extra = [\"--array=1-3\"]\n",
            ["slurm.toml:1", "--array", "leave it out"],
        ),
    ] {
        let error = load(text).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{text}: {word} is not in: {error}");
        }
    }
}

#[test]
fn a_missing_file_is_refused_with_an_example() {
    let dir = tempfile::tempdir().unwrap();
    let error = Config::load(&Home(dir.path().to_owned())).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("slurm.toml") && text.contains("partition = "),
        "{text}"
    );
}

#[test]
fn times_are_read_as_sbatch_reads_them() {
    let all = [
        "90",
        "1:30",
        "1:00:00",
        "1-12",
        "1-0:30",
        "1-0:0:1",
        "0",
        "",
        "1:",
        "1:2:3:4",
        "UNLIMITED",
    ];
    let read = all.map(seconds);
    assert_eq!(
        read[..6],
        [5400, 90, 3600, 129_600, 88_200, 86_401].map(Some)
    );
    assert_eq!(read[6..], [None; 5]);
}

#[test]
fn a_job_is_described_by_what_it_asks_for() {
    let info = TrainerInfo {
        protocol: 1,
        numerics: 1,
        version: "0".into(),
        libtorch: "0".into(),
        devices: Vec::new(),
    };
    let config = load("cpus = 6\ngpus = 1\n").unwrap();
    let described = config.describe(&info);
    assert_eq!(slots::machine_threads(&described), 6);
    assert_eq!(slots::gpus(&described), 1);
    assert_eq!(described.version, "0");
}
