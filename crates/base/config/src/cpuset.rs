//! Lists of CPUs, as Linux writes them.

use std::collections::BTreeSet;

/// The CPUs of a list such as `0-3,8`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<BTreeSet<u32>, String> {
    const HIGHEST: u32 = 8191;
    let mut cpus = BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().ok().filter(|cpu| *cpu <= HIGHEST);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
            _ => return Err(format!("{part:?} is not a CPU, nor a range of CPUs such as 0-3")),
        }
    }
    Ok(cpus)
}
