//! What this process has in its memory of files (proc_pid_maps(5)).

use std::ops::Range;

use crate::PathError;

/// A part of a file that is in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Map {
    /// Its addresses.
    pub range: Range<u64>,
    /// What may be done there, as `r-xp`.
    access: String,
    /// Where it begins in the file.
    pub offset: u64,
    /// The file.
    pub path: String,
}

impl Map {
    /// What a line of `/proc/PID/maps` tells of, if that is a part of a file.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        // A path may have spaces in it; there are five fields before it.
        let (range, rest) = line.split_once(' ')?;
        let (access, rest) = rest.split_once(' ')?;
        let (offset, rest) = rest.split_once(' ')?;
        let path = rest.splitn(3, ' ').nth(2)?.trim_start();
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = range.split_once('-')?;
        path.starts_with('/').then_some(Self {
            range: number(start)?..number(end)?,
            access: access.to_owned(),
            offset: number(offset)?,
            path: path.to_owned(),
        })
    }

    /// Whether it may be executed.
    #[must_use]
    pub fn is_code(&self) -> bool {
        self.access.contains('x')
    }

    /// Whether it was never written. Such are code, and the first part of an object file, in which are its constants. What
    /// may only be read now but was relocated before (`RELRO`) lies behind the code.
    pub(crate) fn is_unchanged(&self) -> bool {
        match self.access.as_str() {
            "r-xp" => true,
            "r--p" => self.offset == 0,
            _ => false,
        }
    }
}

/// All of this process.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn own() -> Result<Vec<Map>, PathError> {
    Ok(crate::proc::read("/proc/self/maps")?.lines().filter_map(Map::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_files() {
        let maps = "\
            4000-5000 r--p 00000000 fe:00 1234                       /usr/bin/berth\n\
            5000-7000 r-xp 00592000 fe:00 1234                       /opt/my tools/berth\n\
            a000-b000 r-xp 00026000 fe:00 99 /usr/lib/libc.so.6\n\
            c000-d000 r-xp 00000000 00:00 0                          [vdso]\n\
            e000-f000 r-xp 00000000 00:00 0 \n\
            nonsense\n";
        let map = |range, offset, path: &str| Map {
            range,
            access: "r-xp".to_owned(),
            offset,
            path: path.to_owned(),
        };
        let expected = [
            map(0x5000..0x7000, 0x59_2000, "/opt/my tools/berth"),
            map(0xa000..0xb000, 0x2_6000, "/usr/lib/libc.so.6"),
        ];
        let code: Vec<_> = maps.lines().filter_map(Map::parse).filter(Map::is_code).collect();
        assert_eq!(code, expected);
    }
}
