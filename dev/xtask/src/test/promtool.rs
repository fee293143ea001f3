//! Prometheus' own checks of the alerts in `docs/monitoring`.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::count::Count;
use crate::{sh, workspace};

/// Whether this machine has it.
pub(super) fn is_here() -> bool {
    let mut promtool = Command::new("promtool");
    promtool.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    promtool.status().is_ok_and(|status| status.success())
}

/// Checks the rules and runs their tests.
pub(super) fn run() -> Result<Count> {
    let mut count = Count::default();
    for args in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]] {
        let mut promtool = Command::new("promtool");
        promtool.args(args).current_dir(workspace::root().join("docs/monitoring"));
        let passed = sh::status(&mut promtool)?.success();
        count.passed += usize::from(passed);
        count.failed += usize::from(!passed);
    }
    Ok(count)
}
