//! How this process's memory is allocated.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_allocated_as_before() {
        share_one_arena();
        let sums = (0..8).map(|n| std::thread::spawn(move || vec![n; 1 << 16].iter().sum::<usize>()));
        let total: usize = sums.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(total, 28 << 16);
    }
}
