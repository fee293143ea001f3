//! Runs the targets on mutated seeds for a while: `fuzz --seeds DIR --work DIR --seconds N [--seed N] [TARGET…]`.
//!
//! Decides: how long each target runs, and that a panic, or an input that takes more than a second, is a failure.
//! Tasks: none; one target after the other. The input that is being tried is in a file of the work directory, so that
//! one that aborts the process is found there.
//! Does not: know the targets (the library does) or start itself (`cargo xtask fuzz`).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program: its output is its purpose"
)]

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fuzzing::mutation::{self, Random};
use fuzzing::{TARGETS, Target};

/// No parser takes that long for the few bytes it is given.
const SLOW: Duration = Duration::from_secs(1);

struct Options {
    seeds: PathBuf,
    work: PathBuf,
    time: Duration,
    seed: u64,
    targets: Vec<String>,
}

fn options() -> Option<Options> {
    let mut options = Options {
        seeds: PathBuf::new(),
        work: PathBuf::new(),
        time: Duration::from_secs(60),
        seed: 1,
        targets: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => options.seeds = args.next()?.into(),
            "--work" => options.work = args.next()?.into(),
            "--seconds" => options.time = Duration::from_secs(args.next()?.parse().ok()?),
            "--seed" => options.seed = args.next()?.parse().ok()?,
            name if TARGETS.iter().any(|target| target.name == name) => options.targets.push(arg),
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("usage: fuzz --seeds DIR --work DIR [--seconds N] [--seed N] [{}]…", names.join("|"));
        return ExitCode::from(2);
    };
    let wanted =
        |target: &&Target| options.targets.is_empty() || options.targets.iter().any(|t| t == target.name);
    let mut sound = true;
    for target in TARGETS.iter().filter(wanted) {
        match fuzz(target, &options) {
            Ok(failed) => sound &= !failed,
            Err(error) => {
                eprintln!("{}: {error}", target.name);
                sound = false;
            }
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one target; true if an input made it fail, which ends it.
#[expect(clippy::disallowed_methods, reason = "what is measured is how long a parser takes in truth")]
fn fuzz(target: &Target, options: &Options) -> io::Result<bool> {
    let seeds = seeds(&options.seeds.join(target.name))?;
    fs::create_dir_all(&options.work)?;
    let current = options.work.join(format!("{}.input", target.name));
    let mut random = Random::new(options.seed);
    let (start, mut tried) = (Instant::now(), 0_u64);
    let mut slowest = Duration::ZERO;
    let mut once = seeds.clone().into_iter();
    while start.elapsed() < options.time {
        let input = once.next().unwrap_or_else(|| mutation::input(&seeds, &mut random));
        fs::write(&current, &input)?;
        let begun = Instant::now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let took = begun.elapsed();
        (tried, slowest) = (tried + 1, slowest.max(took));
        if outcome.is_err() || took > SLOW {
            let what = if outcome.is_err() { "panics" } else { "takes more than a second" };
            println!("{}: {what} on this input, kept in {}:", target.name, current.display());
            println!("{}", input.escape_ascii());
            return Ok(true);
        }
    }
    fs::remove_file(&current)?;
    println!("{}: {tried} inputs, the slowest took {slowest:.1?}", target.name);
    Ok(false)
}

fn seeds(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    files.iter().map(fs::read).collect()
}
