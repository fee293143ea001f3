//! The fields of a struct, read from its source text.

/// A field and the name that serde was told to give it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) rename: Option<&'a str>,
}

impl Field<'_> {
    /// The name in a configuration file: `maxPods` for `max_pods`.
    pub(super) fn in_file(&self) -> String {
        if let Some(rename) = self.rename {
            return rename.to_owned();
        }
        let mut words = self.name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| {
            let (initial, rest) = word.split_at(word.len().min(1));
            name + &initial.to_uppercase() + rest
        })
    }

    /// The name as a flag: `--root-dir` for `root_dir`.
    pub(super) fn as_flag(&self) -> String {
        let name = self.rename.map_or_else(|| self.name.replace('_', "-"), str::to_owned);
        format!("--{name}")
    }
}

/// The fields of `struct <name>`, which rustfmt has put on lines of their own.
pub(super) fn of_struct<'a>(text: &'a str, name: &str) -> Vec<Field<'a>> {
    let Some((_, after)) = text.split_once(&format!("struct {name} {{\n")) else { return Vec::new() };
    let body = after.split("\n}").next().unwrap_or_default();
    let mut fields = Vec::new();
    let mut rename = None;
    for line in body.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if line.starts_with('#') {
            rename = line.split_once("rename = \"").and_then(|(_, rest)| rest.split('"').next()).or(rename);
        } else if let Some((left, _)) = line.split_once(": ")
            && let Some(name) = left.split_whitespace().last()
        {
            fields.push(Field { name, rename: rename.take() });
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_with_their_names_in_files_and_flags() {
        let text = "/// All.\npub struct Settings {\n    /// Doc: colon.\n    pub max_pods: u32,\n    #[serde(rename = \"podCIDR\")]\n    pub(crate) pod_cidr: String,\n    plain: u8,\n}\nstruct Other {\n    c: u8,\n}";
        let fields = of_struct(text, "Settings");
        let names: Vec<_> =
            fields.iter().map(|field| (field.name, field.in_file(), field.as_flag())).collect();
        let expected = [
            ("max_pods", "maxPods", "--max-pods"),
            ("pod_cidr", "podCIDR", "--podCIDR"),
            ("plain", "plain", "--plain"),
        ];
        assert_eq!(names, expected.map(|(name, file, flag)| (name, file.to_owned(), flag.to_owned())));
        assert!(of_struct(text, "Absent").is_empty());
    }
}
