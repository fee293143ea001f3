//! Manifest problems as the local API shows them.

use server::Problem;
use source::{ManifestProblem, Severity};

/// `problem` for the local API.
pub(super) fn shown(problem: &ManifestProblem) -> Problem {
    Problem {
        origin: problem.path.clone(),
        line: problem.location.map(|at| at.line),
        column: problem.location.map(|at| at.column),
        reason: problem.reason.as_str().to_owned(),
        message: problem.message.clone(),
        warning: problem.severity == Severity::Warning,
    }
}
