//! `cargo xtask codegen`: the pages of `docs/` that follow from the code.
//!
//! Each page is made by a test of the crate that has the data, which compares it with the file, so that a page that is
//! not current fails in every test run. The same tests, told to, write it.

use anyhow::Result;
use clap::Args;

use crate::{sh, workspace};

/// Where the tests are, and what the names of all of them end with.
const TESTS: [&str; 8] =
    ["--package", "config", "--test", "reference", "--package", "berth", "--bin", "berth"];
const NAME: &str = "page_is_current";

#[derive(Args)]
pub(crate) struct Options {
    /// Write nothing, and fail if a page is not current.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<bool> {
    // A test that does not build says nothing about its page.
    sh::run(sh::cargo(["test", "--quiet", "--no-run"]).args(TESTS))?;
    let mut test = sh::cargo(["test", "--quiet", "--no-fail-fast"]);
    test.args(TESTS).args(["--", NAME]);
    if options.check {
        test.env_remove("UPDATE_EXPECT");
    } else {
        test.env("UPDATE_EXPECT", "1");
    }
    let passed = sh::status(&mut test)?.success();
    match (passed, options.check) {
        (true, true) => println!("codegen: every page is current"),
        (true, false) => println!("codegen: wrote the pages in {}", workspace::root().join("docs").display()),
        (false, true) => println!("codegen: a page is not current: run `cargo xtask codegen`"),
        (false, false) => println!("codegen: a page could not be made"),
    }
    Ok(passed)
}
