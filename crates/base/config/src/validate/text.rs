//! Forms of text that fields have.

use types::Quantity;
use types::quantity::QuantityError;

/// An eviction threshold: a quantity or a percentage.
pub(super) fn amount_or_percentage(text: &str) -> Result<(), String> {
    if let Some(number) = text.strip_suffix('%') {
        let percent = number.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
        return percent.map(|_| ()).ok_or_else(|| format!("{text:?} is not a percentage from 0% to 100%"));
    }
    let amount: Quantity = text.parse().map_err(|error: QuantityError| error.to_string())?;
    if amount.is_negative() { Err("must not be negative".to_owned()) } else { Ok(()) }
}

/// An image name without tag or digest; its last segment may be `*`.
pub(super) fn image_pattern(image: &str) -> Result<(), &'static str> {
    let name = image.strip_suffix("/*").unwrap_or(image);
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c == '*') {
        return Err("must be an image name; only its last segment may be *");
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    if name.contains('@') || (name.contains('/') && last.contains(':')) {
        return Err("must not have a tag or a digest");
    }
    Ok(())
}

/// The part of a label key behind the slash, or a label value.
pub(super) fn is_label_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A label key, with or without a domain in front.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_label_name(text),
        Some((prefix, name)) => {
            let part = |part: &str| is_label_name(part) && !part.contains('_') && part == part.to_lowercase();
            is_label_name(name) && prefix.len() <= 253 && prefix.split('.').all(part)
        }
    }
}

/// A sysctl, or a prefix of some that ends in `*`.
pub(super) fn is_sysctl_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').map_or(text, |prefix| prefix.trim_end_matches(['.', '/']));
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && name.split(['.', '/']).all(part)
}

/// Whether a sysctl is one per network or IPC namespace.
pub(super) fn is_namespaced(pattern: &str) -> bool {
    let dotted = pattern.replace('/', ".");
    ["kernel.shm", "kernel.msg", "fs.mqueue.", "net."].iter().any(|group| dotted.starts_with(group))
        || dotted.trim_end_matches('*') == "kernel.sem"
}
