//! Running suites with nextest and counting what came of them.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::count::Count;
use crate::{sh, workspace};

/// Tests that start a real containerd, or change this machine's cgroups, mounts or network namespaces.
pub(crate) const REAL: &str = "test(/(^|::)real_/)";

/// nextest's exit status when tests ran and some failed.
pub(crate) const TESTS_FAILED: i32 = 100;

/// Runs the workspace's tests that the filterset matches.
pub(crate) fn run(filter: &str) -> Result<Count> {
    // Beside the workspace, wherever the rest of what is built goes.
    let report = workspace::root().join("target/nextest/default/junit.xml");
    // A report of an earlier run must not be taken for this one's.
    if report.exists() {
        std::fs::remove_file(&report).with_context(|| format!("remove {}", report.display()))?;
    }
    let args =
        ["nextest", "run", "--workspace", "--ignore-default-filter", "--no-tests", "pass", "-E", filter];
    let status = sh::status(&mut sh::cargo(args))?;
    match (status.code(), std::fs::read_to_string(&report)) {
        (Some(0 | TESTS_FAILED), Ok(report)) => {
            count(&report).context("nextest's report has no count of tests")
        }
        (Some(0), Err(_)) => Ok(Count::default()),
        _ => bail!("the tests could not be built or run: nextest ended with {status}"),
    }
}

/// The number of tests that the filterset matches.
pub(crate) fn list(filter: &str) -> Result<usize> {
    let args = [
        "nextest",
        "list",
        "--workspace",
        "--ignore-default-filter",
        "--message-format",
        "json",
        "-E",
        filter,
    ];
    let listed: Value =
        serde_json::from_str(&sh::output(&mut sh::cargo(args))?).context("read nextest's list")?;
    let suites = listed["rust-suites"].as_object().into_iter().flat_map(|suites| suites.values());
    let cases = suites.filter_map(|suite| suite["testcases"].as_object()).flat_map(|cases| cases.values());
    Ok(cases.filter(|case| case["filter-match"]["status"] == "matches").count())
}

/// Reads the numbers out of the opening tag of a JUnit report.
pub(crate) fn count(report: &str) -> Option<Count> {
    let tag = report.split_once("<testsuites ")?.1.split('>').next()?;
    let number = |name: &str| {
        let value = tag.split_once(&format!("{name}=\""))?.1.split('"').next()?;
        value.parse::<usize>().ok()
    };
    let failed = number("failures")? + number("errors")?;
    Some(Count { passed: number("tests")?.checked_sub(failed)?, failed, skipped: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_the_opening_tag() {
        let report = r#"<?xml version="1.0"?><testsuites name="nextest-run" tests="7" failures="2" errors="1" uuid="x"><testsuite tests="9"/>"#;
        let count = count(report).unwrap();
        assert_eq!((count.passed, count.failed), (4, 3));
        assert!(super::count("<html>").is_none());
    }
}
