//! What the block devices have done since the machine booted (`/proc/diskstats`; kernel: "I/O statistics fields").

use std::path::Path;

use crate::PathError;

/// One block device and what it has done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Disk {
    /// Major and minor number.
    pub device: (u32, u32),
    /// The kernel's name, such as `sda1`.
    pub name: String,
    /// What was read.
    pub read: Transfers,
    /// What was written.
    pub written: Transfers,
    /// Requests under way.
    pub in_flight: u64,
    /// Time with requests under way, in ms.
    pub busy_ms: u64,
    /// The same, times the number of requests under way, in ms.
    pub weighted_ms: u64,
}

/// What went one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transfers {
    /// Requests that were completed.
    pub requests: u64,
    /// Requests that were merged with others before.
    pub merged: u64,
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// Time that the requests took, in ms.
    pub time_ms: u64,
}

/// All block devices.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn all() -> Result<Vec<Disk>, PathError> {
    let path = Path::new("/proc/diskstats");
    let text = std::fs::read(path).map_err(PathError::on("read", path))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The block devices in a text like that of `/proc/diskstats`. Lines that are none are left out.
#[must_use]
pub fn parse(text: &str) -> Vec<Disk> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Disk> {
    let mut words = line.split_ascii_whitespace();
    let device = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let name = words.next()?.to_owned();
    let mut fields = [0; 11];
    for field in &mut fields {
        *field = words.next()?.parse().ok()?;
    }
    let transfers = |at: usize| Transfers {
        requests: fields[at],
        merged: fields[at + 1],
        sectors: fields[at + 2],
        time_ms: fields[at + 3],
    };
    Some(Disk {
        device,
        name,
        read: transfers(0),
        written: transfers(4),
        in_flight: fields[8],
        busy_ms: fields[9],
        weighted_ms: fields[10],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = " 254       1 vda1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";

    #[test]
    fn devices() {
        let read = Transfers { requests: 1, merged: 2, sectors: 3, time_ms: 4 };
        let written = Transfers { requests: 5, merged: 6, sectors: 7, time_ms: 8 };
        let expected = Disk {
            device: (254, 1),
            name: "vda1".to_owned(),
            read,
            written,
            in_flight: 9,
            busy_ms: 10,
            weighted_ms: 11,
        };
        assert_eq!(parse(&format!("{LINE}   8  0 sda 1 2\n\n8 x sdb 1 2 3 4 5 6 7 8 9 10 11\n")), [expected]);
        assert!(all().is_ok());
    }

    proptest! {
        #[test]
        fn never_panics(at in 0..LINE.len(), byte in any::<char>()) {
            let (head, tail) = LINE.split_at(at);
            let _ = parse(&format!("{head}{byte}{tail}"));
        }
    }
}
