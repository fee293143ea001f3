//! The targets under cargo-fuzz: `cargo +nightly fuzz run manifest fuzz/corpus/manifest fuzz/seeds/manifest`.
//!
//! Decides nothing: what is fuzzed, and how, is in `dev/fuzzing`. No tasks. Does not run on a stable compiler: `cargo
//! xtask fuzz` does, with the same targets and seeds.

/// Runs the target `name`.
pub fn run(name: &str, bytes: &[u8]) {
    if let Some(target) = fuzzing::TARGETS.iter().find(|target| target.name == name) {
        (target.run)(bytes);
    }
}
