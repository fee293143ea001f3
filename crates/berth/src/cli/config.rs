//! `berth config check` and `berth config print`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use config::Outcome;
use config::check::{Severity, check, render};

use crate::FAILED;
use crate::console::{tell, tell_error};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Check configuration files; exit status 1 if the agent would not start with one of them
    Check(CheckArgs),
    /// Print the effective configuration of the flags that follow, and where each value came from
    Print(PrintArgs),
}

#[derive(Args)]
pub(super) struct CheckArgs {
    /// Files with a KubeletConfiguration
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Args)]
pub(super) struct PrintArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
    /// The agent's flags, such as --config FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Yaml,
    Json,
}

pub(super) fn run(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check(args) => {
            let findings = check(&args.files);
            tell(&render(&findings));
            let bad = findings.iter().any(|finding| finding.severity == Severity::Error);
            Ok(if bad { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
        }
        ConfigCommand::Print(args) => {
            let flags = args.flags.iter().filter(|flag| *flag != "--").cloned();
            let Outcome::Run(loaded) = config::load(flags)? else {
                anyhow::bail!("--help and --version print no configuration")
            };
            tell(&match args.output {
                Output::Yaml => config::print::yaml(&loaded),
                Output::Json => config::print::json(&loaded),
            });
            for warning in &loaded.warnings {
                tell_error(warning);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
