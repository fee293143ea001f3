//! What is there at one place where a volume is staged or published. Pure.

/// What the disk and the kernel show of a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shown {
    /// Its directory.
    pub directory: bool,
    /// Its note, which says whose it is.
    pub note: bool,
    /// Something is mounted on it.
    pub mounted: bool,
    /// The mark that says that it was made whole. Only published places have one.
    pub mark: bool,
}

/// What berth knows of a place since it started, from what it asked and was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Known {
    /// Nothing.
    #[default]
    Unknown,
    /// berth made the directory where nothing was, and the driver was never asked.
    Fresh,
    /// The driver was asked, and it is not known what came of it.
    Asked,
    /// The driver did it, and it is whole. Whether something was mounted then.
    Done {
        /// Not every driver mounts.
        mounted: bool,
    },
    /// The driver undid it, or refused it as the first thing it was asked.
    Undone,
}

/// What is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nothing.
    Nothing,
    /// A directory or a note of which the driver knows nothing (any more).
    Remains,
    /// Directory and note, and the driver was not asked yet.
    Prepared,
    /// Something is or may be mounted and no note says whose it is.
    Stray,
    /// It may be there, whole or in parts, or still be in the making.
    Uncertain,
    /// It is there, and whole.
    Ready,
}

impl Place {
    /// What is there, from what is shown and known.
    #[must_use]
    pub fn of(shown: Shown, known: Known) -> Self {
        let Shown { directory, note, mounted, mark } = shown;
        match known {
            Known::Done { mounted: was } if note && (mounted || !was) => Self::Ready,
            Known::Unknown if note && mark && mounted => Self::Ready,
            Known::Fresh if note && !mounted => Self::Prepared,
            Known::Fresh | Known::Undone if !mounted && (note || directory) => Self::Remains,
            Known::Unknown if !mounted && !note && directory => Self::Remains,
            Known::Fresh | Known::Undone | Known::Unknown if !mounted && !note => Self::Nothing,
            _ if note => Self::Uncertain,
            _ => Self::Stray,
        }
    }

    /// What is known of it after its directory and note were made.
    #[must_use]
    pub fn prepared(self) -> Known {
        match self {
            Self::Nothing | Self::Remains | Self::Prepared => Known::Fresh,
            Self::Stray | Self::Uncertain | Self::Ready => Known::Asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Shown {
        let has = |letter| text.contains(letter);
        Shown { directory: has('d'), note: has('n'), mounted: has('m'), mark: has('r') }
    }

    #[test]
    fn what_is_there() {
        use Known::{Asked, Done, Fresh, Undone, Unknown};
        let done = |mounted| Done { mounted };
        // d: directory, n: note, m: mounted, r: mark.
        let table = [
            ("", Unknown, Place::Nothing),
            ("d", Unknown, Place::Remains),
            ("dn", Unknown, Place::Uncertain),
            ("dnm", Unknown, Place::Uncertain),
            ("dnmr", Unknown, Place::Ready),
            ("dnr", Unknown, Place::Uncertain), // The machine was booted.
            ("dm", Unknown, Place::Stray),
            ("dmr", Unknown, Place::Stray),
            ("d", Fresh, Place::Remains),
            ("dn", Fresh, Place::Prepared),
            ("dnm", Fresh, Place::Uncertain),
            ("dn", Asked, Place::Uncertain),
            ("dnm", Asked, Place::Uncertain),
            ("", Asked, Place::Stray),
            ("d", Asked, Place::Stray),
            ("dnm", done(true), Place::Ready),
            ("dn", done(true), Place::Uncertain), // Somebody unmounted it.
            ("dn", done(false), Place::Ready),
            ("d", done(false), Place::Stray),
            ("dn", Undone, Place::Remains),
            ("d", Undone, Place::Remains),
            ("", Undone, Place::Nothing),
            ("dnm", Undone, Place::Uncertain), // The driver says it did, and did not.
            ("dm", Undone, Place::Stray),
        ];
        for (text, known, expected) in table {
            assert_eq!(Place::of(shown(text), known), expected, "{text:?}, {known:?}");
        }
    }

    #[test]
    fn what_is_mounted_is_never_only_remains() {
        let all = [Known::Unknown, Known::Fresh, Known::Asked, Known::Undone, Known::Done { mounted: false }];
        for known in all {
            for text in ["m", "dm", "dnm", "nm", "dnmr"] {
                let place = Place::of(shown(text), known);
                assert!(
                    matches!(place, Place::Stray | Place::Uncertain | Place::Ready),
                    "{text:?}, {known:?}: {place:?}"
                );
            }
        }
    }
}
