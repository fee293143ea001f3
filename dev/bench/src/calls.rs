//! Numbers of calls and requests, and what became of them between two looks.

use std::collections::BTreeMap;

/// How often each was made.
pub(crate) type Calls = BTreeMap<String, f64>;

/// What `after` has more than `before`, divided by `by`.
pub(crate) fn per(before: &Calls, after: &Calls, by: f64) -> Calls {
    let more = after.iter().map(|(name, count)| (name, count - before.get(name).unwrap_or(&0.0)));
    more.filter(|(_, more)| *more > 0.0).map(|(name, more)| (name.clone(), more / by)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_between_two_looks() {
        let calls = |list: &[(&str, f64)]| list.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect::<Calls>();
        let per = per(&calls(&[("a", 2.0), ("b", 1.0)]), &calls(&[("a", 6.0), ("b", 1.0), ("c", 1.0)]), 2.0);
        assert_eq!(per, calls(&[("a", 2.0), ("c", 0.5)]));
    }
}
