//! Having the kernel sample.

use std::io;
use std::time::Duration;

use perf_event::data::Record;
use perf_event::events::Software;
use perf_event::{Builder, SampleFlag, Sampler};
use tokio::time::{Instant, sleep_until};

use crate::ProfileError;
use crate::stacks::Stacks;

/// How often a processor is looked at, in ns.
pub(crate) const PERIOD: u64 = 10_000_000;
/// How much the kernel has to keep samples of one processor in, in bytes.
const ROOM: usize = 128 << 10;
/// How often they are fetched: they are 1 KiB each at most, of 127 callers.
const EVERY: Duration = Duration::from_secs(1);

/// What the process `pid` does on `cpus` for so `long`.
pub(crate) async fn sample(cpus: &[usize], pid: u32, long: Duration) -> Result<Stacks, ProfileError> {
    let samplers: io::Result<Vec<_>> = cpus.iter().map(|cpu| sampler(*cpu)).collect();
    let (mut samplers, mut stacks) = (samplers.map_err(ProfileError::Refused)?, Stacks::default());
    let until = Instant::now() + long;
    while Instant::now() < until {
        sleep_until(until.min(Instant::now() + EVERY)).await;
        samplers.iter_mut().for_each(|sampler| fetch(sampler, pid, &mut stacks));
    }
    Ok(stacks)
}

/// One of all that a processor does, in the kernel as well; but by whom something was called is told of programs alone. A
/// sampler of one process would not see threads that begin later.
fn sampler(cpu: usize) -> io::Result<Sampler> {
    let mut builder = Builder::new(Software::CPU_CLOCK);
    builder.any_pid().one_cpu(cpu).sample_period(PERIOD);
    builder.include_kernel().exclude_callchain_kernel(true);
    builder.sample(SampleFlag::TID).sample(SampleFlag::CALLCHAIN).enabled(true);
    builder.build()?.sampled(ROOM)
}

fn fetch(sampler: &mut Sampler, pid: u32, into: &mut Stacks) {
    while let Some(record) = sampler.next_record() {
        match record.parse_record() {
            Ok(Record::Sample(sample)) if sample.pid() == Some(pid) => {
                into.add(sample.callchain().unwrap_or_default());
            }
            // Whose they were is not known.
            Ok(Record::Lost(lost)) => into.lost += lost.lost,
            // Samples of the kernel's own threads: the library cannot read a sample without callers.
            Ok(_) | Err(_) => {}
        }
    }
}
