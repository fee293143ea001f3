//! `cargo xtask test`: every test this machine can run.

mod promtool;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::count::Count;
use crate::nextest::{self, REAL};
use crate::{files, sh, tidy, tools, vm, workspace};

/// The emulated machine is ten to twenty times as slow as this one.
const VM_WITHIN: Duration = Duration::from_secs(45 * 60);

#[derive(Args)]
pub(crate) struct Options {
    /// Run only the tests that this nextest filterset matches, and no other check.
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Leave the emulated machine out.
    #[arg(long)]
    no_vm: bool,
}

/// The run so far.
#[derive(Default)]
struct Run {
    total: Count,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Run {
    fn check(&mut self, name: &str, passed: bool) {
        self.suite(name, Count { passed: usize::from(passed), failed: usize::from(!passed), skipped: 0 });
    }

    fn suite(&mut self, name: &str, count: Count) {
        self.total.passed += count.passed;
        self.total.failed += count.failed;
        self.total.skipped += count.skipped;
        if count.failed > 0 {
            self.failures.push(format!("{name}: {} failed", count.failed));
        }
    }

    /// A suite that could not run has failed, and the others still have their turn.
    fn attempt(&mut self, name: &str, suite: Result<Count>) {
        match suite {
            Ok(count) => self.suite(name, count),
            Err(error) => {
                self.total.failed += 1;
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    fn skip(&mut self, name: &str, tests: Result<usize>, why: &str) {
        match tests {
            Ok(tests) => {
                self.total.skipped += tests;
                self.skips.push(format!("{name} ({tests} tests): {why}"));
            }
            Err(error) => self.attempt(name, Err(error)),
        }
    }

    /// Prints what failed, what was skipped and why, and the one line that sums it up.
    fn finish(&self) -> bool {
        for skip in &self.skips {
            println!("skipped {skip}");
        }
        for failure in &self.failures {
            println!("FAILED  {failure}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.total.passed, self.total.failed, self.total.skipped
        );
        self.total.failed == 0
    }
}

fn within(filter: Option<&str>, suite: &str) -> String {
    filter.map_or_else(|| suite.to_owned(), |filter| format!("({suite}) & ({filter})"))
}

pub(crate) async fn run(options: &Options) -> Result<bool> {
    tools::ensure()?;
    // Where there are less than 7 GiB, what fails below may fail by that alone.
    sh::run(Command::new("df").arg("-h").arg(workspace::target()).arg(std::env::temp_dir()))?;
    let mut run = Run::default();
    let filter = options.filter.as_deref();
    let why_no_vm = if options.no_vm { Some("--no-vm") } else { vm::is_impossible() };
    let machine = why_no_vm.is_none().then(vm::prepare);
    if filter.is_none() {
        run.check("cargo fmt", sh::status(&mut sh::cargo(["fmt", "--all", "--check"]))?.success());
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        run.check("cargo clippy", sh::status(&mut sh::cargo(clippy))?.success());
        run.check("tidy", tidy::run()?.print());
        // Without it, the test of a scrape says so and passes.
        match promtool::is_here() {
            true => run.attempt("promtool", promtool::run()),
            false => run.skips.push(
                "checks of alerts and of a scrape: there is no promtool (Debian: prometheus)".to_owned(),
            ),
        }
    }
    run.attempt(
        "unit, property and fake-runtime tests",
        nextest::run(&within(filter, &format!("not ({REAL})"))),
    );
    if filter.is_none() && has_doc_tests()? {
        run.check(
            "doc tests",
            sh::status(&mut sh::cargo(["test", "--workspace", "--doc", "--quiet"]))?.success(),
        );
    }

    let name = "real containerd on this machine";
    let real = within(filter, REAL);
    match real_is_impossible() {
        None => {
            // Without it, the tests of kubectl say so and pass.
            if let Err(error) = lab::debian::ensure(&lab::debian::KUBECTL) {
                run.skips.push(format!("tests of kubectl: {error:#}"));
            }
            run.attempt(name, nextest::run(&real));
        }
        Some(why) => run.skip(name, nextest::list(&real), why),
    }

    let name = "real containerd in the emulated machine";
    let emulated = within(filter, &vm::default_filter());
    match (machine, why_no_vm) {
        (Some(machine), _) => {
            let tests = async {
                machine?.await.context("make the emulated machine")??;
                vm::tests(&vm::default_packages(), &emulated, VM_WITHIN).await
            };
            run.attempt(name, tests.await);
        }
        (None, why) => run.skip(name, nextest::list(&emulated), why.unwrap_or_default()),
    }
    Ok(run.finish())
}

/// Examples in the documentation of libraries are tests; looking for some crate by crate takes long.
fn has_doc_tests() -> Result<bool> {
    let opens = |line: &str| {
        matches!(line.trim(), "/// ```" | "//! ```" | "/// ```rust" | "//! ```rust" | "/// ```no_run")
    };
    Ok(files::rust()?.iter().any(|file| file.text.lines().any(opens)))
}

/// Why the real suite cannot run on this machine; nothing if it can.
fn real_is_impossible() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("needs Linux");
    }
    (!workspace::is_root()).then_some("needs root")
}
