//! Where the program's code is.

use std::ops::Range;

/// A part of a file that is in memory to be executed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Map {
    /// Its addresses.
    pub(crate) range: Range<u64>,
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// The file.
    pub(crate) path: String,
}

/// Those that `maps`, the text of `/proc/PID/maps`, tells of.
pub(crate) fn of_code(maps: &str) -> Vec<Map> {
    maps.lines().filter_map(map).collect()
}

fn map(line: &str) -> Option<Map> {
    // A path may have spaces in it; there are five fields before it.
    let (range, rest) = line.split_once(' ')?;
    let (access, rest) = rest.split_once(' ')?;
    let (offset, rest) = rest.split_once(' ')?;
    let path = rest.splitn(3, ' ').nth(2)?.trim_start();
    let number = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = range.split_once('-')?;
    let map = Map { range: number(start)?..number(end)?, offset: number(offset)?, path: path.to_owned() };
    (access.contains('x') && path.starts_with('/')).then_some(map)
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
        let map = |range, offset, path: &str| Map { range, offset, path: path.to_owned() };
        let expected = [
            map(0x5000..0x7000, 0x59_2000, "/opt/my tools/berth"),
            map(0xa000..0xb000, 0x2_6000, "/usr/lib/libc.so.6"),
        ];
        assert_eq!(of_code(maps), expected);
    }
}
