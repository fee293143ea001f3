//! What this process has in memory.

use std::path::Path;

use crate::PathError;
use crate::maps::{self, Map};

/// Makes all threads allocate from one arena of glibc's allocator, instead of from one per thread: what a burst of
/// pods leaves free in one thread's arena is otherwise of no use to the others, and is never given back. To be called
/// before there are threads. Does nothing with another C library.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        use std::ffi::c_int;

        /// glibc's `M_ARENA_MAX`.
        const ARENA_MAX: c_int = -8;
        #[expect(unsafe_code, reason = "declares a function of the C library that std links anyway")]
        unsafe extern "C" {
            /// Takes no pointers and may be called at any time, with any values.
            safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        // It cannot fail with this value; if it did, memory would only be larger.
        let _ = mallopt(ARENA_MAX, 1);
    }
}

/// Has the kernel take code and constants, the program's and its libraries', out of this process's memory. What is
/// needed again comes back, page by page, from the page cache; what only the start needed does not, and need not be held
/// any more. A debugger's breakpoints are lost.
///
/// # Errors
/// If `/proc` is not mounted, or the kernel refuses.
pub fn forget_code() -> Result<(), PathError> {
    for map in maps::own()? {
        let Some((start, length)) = unchanging(&map) else { continue };
        let start = std::ptr::with_exposed_provenance_mut(start);
        #[expect(unsafe_code)]
        // SAFETY: the mapping is private, and was never written: all that is in it is in the file, whence the kernel takes
        // it again.
        let given_back = unsafe { rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxDontNeed) };
        given_back.map_err(PathError::on("take out of memory", Path::new(&map.path)))?;
    }
    Ok(())
}

/// Start and length of what was never written, which is to be had from the file again.
fn unchanging(map: &Map) -> Option<(usize, usize)> {
    let start = usize::try_from(map.range.start).ok()?;
    let length = usize::try_from(map.range.end.checked_sub(map.range.start)?).ok()?;
    map.is_unchanged().then_some((start, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanging_is_what_was_never_written() {
        for (line, expected) in [
            (
                "5000-7000 r-xp 00592000 fe:00 1234                       /usr/bin/berth",
                Some((0x5000, 0x2000)),
            ),
            (
                "4000-5000 r--p 00000000 fe:00 1234                       /usr/bin/berth",
                Some((0x4000, 0x1000)),
            ),
            ("7000-8000 r--p 01534000 fe:00 1234                       /usr/bin/berth", None),
            ("8000-9000 rw-p 00000000 fe:00 1234                       /usr/bin/berth", None),
            ("8000-9000 rwxp 01534000 fe:00 1234                       /usr/bin/berth", None),
            (
                "a000-b000 r-xp 00026000 fe:00 99                         /usr/lib/libc.so.6",
                Some((0xa000, 0x1000)),
            ),
            ("c000-d000 r-xp 00000000 00:00 0                          [vdso]", None),
            ("e000-f000 r-xp 00000000 00:00 0", None),
            ("", None),
        ] {
            assert_eq!(Map::parse(line).as_ref().and_then(unchanging), expected, "{line}");
        }
    }

    #[test]
    fn what_was_forgotten_comes_back() {
        forget_code().unwrap();
        memory_is_allocated_as_before();
    }

    #[test]
    fn memory_is_allocated_as_before() {
        share_one_arena();
        let sums = (0..8).map(|n| std::thread::spawn(move || vec![n; 1 << 16].iter().sum::<usize>()));
        let total: usize = sums.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(total, 28 << 16);
    }
}
