//! The forms that the kernel's files have.

/// The one number of a file; `max` and what is no number are none.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Lines of a name and a number.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, value.trim().parse().ok()?))
    })
}

/// The number of `name` in lines of a name and a number.
pub(super) fn of(text: &str, name: &str) -> Option<u64> {
    pairs(text).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A device, such as `8:0`.
pub(super) fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, expected) in
            [("12\n", Some(12)), ("max\n", None), ("", None), ("-1\n", None), ("18446744073709551616", None)]
        {
            assert_eq!(number(text), expected, "{text:?}");
        }
        assert_eq!(pairs("a 1\nb\nc x\nd 2\n").collect::<Vec<_>>(), [("a", 1), ("d", 2)]);
        assert_eq!((of("a 1\nab 2\n", "ab"), of("a 1\n", "b")), (Some(2), None));
        assert_eq!((device("8:16"), device("8"), device("x:1")), (Some((8, 16)), None, None));
    }
}
