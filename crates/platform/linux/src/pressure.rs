//! Pressure stall information: for how long tasks have waited for a resource (kernel: "PSI - Pressure Stall Information").

use std::path::PathBuf;

/// For how long tasks waited.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Stall {
    /// Share of the last 10 s, in percent.
    pub avg10: f64,
    /// Share of the last 60 s, in percent.
    pub avg60: f64,
    /// Share of the last 300 s, in percent.
    pub avg300: f64,
    /// All of the time, in µs.
    pub total_us: u64,
}

/// Pressure on one resource.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks that were not idle waited at once. The kernel has none of it for the CPU of the whole machine.
    pub full: Stall,
}

/// What there is pressure on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// Time on a CPU.
    Cpu,
    /// Memory.
    Memory,
    /// Disks.
    Io,
}

impl Resource {
    /// The kernel's word for it, as in names of files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

/// The pressure that a file such as `/proc/pressure/cpu` tells of; `None` for a text that is none.
#[must_use]
pub fn parse(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    let mut found = false;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let stall = match words.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => stall.avg10 = percent(value)?,
                "avg60" => stall.avg60 = percent(value)?,
                "avg300" => stall.avg300 = percent(value)?,
                "total" => stall.total_us = value.parse().ok()?,
                _ => {}
            }
        }
        found = true;
    }
    found.then_some(pressure)
}

fn percent(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share: &f64| share.is_finite())
}

/// The pressure on a resource of the whole machine; `None` where the kernel does not account for it.
#[must_use]
pub fn of_machine(resource: Resource) -> Option<Pressure> {
    let path = PathBuf::from("/proc/pressure").join(resource.as_str());
    parse(&std::fs::read_to_string(path).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        let stall = |avg10, avg60, avg300, total_us| Stall { avg10, avg60, avg300, total_us };
        let some = stall(1.5, 0.25, 0.0, 123_456);
        let line = "some avg10=1.50 avg60=0.25 avg300=0.00 total=123456\n";
        for (text, expected) in [
            (line.to_owned(), Some(Pressure { some, full: Stall::default() })),
            (
                format!("{line}full avg10=0.10 avg60=0.00 avg300=0.00 total=7\n"),
                Some(Pressure { some, full: stall(0.1, 0.0, 0.0, 7) }),
            ),
            (format!("irq avg10=9.00\n{line}"), Some(Pressure { some, full: Stall::default() })),
            (String::new(), None),
            ("some avg10=NaN".to_owned(), None),
            ("some total=-1".to_owned(), None),
        ] {
            assert_eq!(parse(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn this_machine() {
        let has = std::path::Path::new("/proc/pressure/memory").exists();
        let readable = std::fs::read("/proc/pressure/memory").is_ok();
        assert_eq!(of_machine(Resource::Memory).is_some(), has && readable);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(some|full|x)? ?(avg10=|total=|avg60=)?\\PC{0,40}\n?\\PC{0,20}") {
            let _ = parse(&text);
        }
    }
}
