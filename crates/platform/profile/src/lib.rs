//! A CPU profile of this program, in the format of [pprof](https://github.com/google/pprof). The kernel looks at each
//! processor a hundred times a second, at what this program does there and by whom that was called
//! (`perf_event_open(2)`). The program is not interrupted by signals, and nothing is sampled while nobody asks.
//!
//! A profile has addresses, and the file in which they are; names are found where it is read, by `go tool pprof BERTH
//! PROFILE`. Callers are found by frame pointers, with which `.cargo/config.toml` has the program compiled; behind
//! functions of the C library, which has none, there are none.

mod pprof;
mod sampler;
mod stacks;

use std::io;
use std::time::{Duration, SystemTime};

use linux::maps::Map;
use tokio::sync::Semaphore;

/// There is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Another one is being taken.
    #[error("cpu profiling already in use")]
    InUse,
    /// The kernel does not let the program look at processors.
    #[error(
        "the kernel does not sample processors for this program: it needs CAP_PERFMON, a seccomp profile with perf_event_open, and CONFIG_PERF_EVENTS"
    )]
    Refused(#[source] io::Error),
    /// `/proc` or `/sys` is not there.
    #[error(transparent)]
    Unseen(#[from] linux::PathError),
}

/// Looks at this program for so `long`, and gives the profile, compressed. To drop the future is to leave it.
///
/// # Errors
/// While another profile is being taken, and where the kernel does not let it.
pub async fn cpu(long: Duration) -> Result<Vec<u8>, ProfileError> {
    static TURN: Semaphore = Semaphore::const_new(1);
    let _turn = TURN.try_acquire().map_err(|_| ProfileError::InUse)?;
    let begun = SystemTime::now();
    let stacks = sampler::sample(&linux::proc::online_cpus()?, std::process::id(), long).await?;
    Ok(pprof::compressed(&pprof::profile(&stacks, &code()?, begun, long)))
}

/// Where the program's code is.
fn code() -> Result<Vec<Map>, linux::PathError> {
    Ok(linux::maps::own()?.into_iter().filter(Map::is_code).collect())
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Is busy until told otherwise.
    #[inline(never)]
    fn works_hard(stop: &AtomicBool) {
        let mut number = 1_u64;
        while !stop.load(Ordering::Relaxed) {
            number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_profile_shows_who_was_busy() {
        let stop = AtomicBool::new(false);
        let stacks = std::thread::scope(|scope| {
            scope.spawn(|| works_hard(&stop));
            let cpus = linux::proc::online_cpus().unwrap();
            let sampled = sampler::sample(&cpus, std::process::id(), Duration::from_millis(300));
            let stacks = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(sampled));
            stop.store(true, Ordering::Relaxed);
            stacks
        });
        let stacks = match stacks {
            Err(error @ ProfileError::Refused(_)) => {
                let ProfileError::Refused(why) = &error else { return };
                println!("left out: {error}: {why}");
                return;
            }
            stacks => stacks.unwrap(),
        };
        let maps = code().unwrap();
        let busy = works_hard as fn(&AtomicBool) as usize as u64;
        let own = maps.iter().find(|map| map.range.contains(&busy)).expect("the test's own code");
        let leaves = stacks.iter().filter_map(|(stack, times)| Some((*stack.first()?, times)));
        let of_it: u64 = leaves.filter(|(leaf, _)| own.range.contains(leaf)).map(|(_, times)| times).sum();
        assert!(of_it > 0, "{stacks:?}");
        assert!(stacks.iter().any(|(stack, _)| stack.len() > 2), "nobody knows callers: {stacks:?}");
    }
}
