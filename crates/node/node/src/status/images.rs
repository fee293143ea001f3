//! `status.images`.

use std::cmp::Reverse;

use types::corev1::ContainerImage;

/// How many names of one image are shown.
const NAMES: usize = 5;

/// The largest `max` of `images` (`None`: all), largest first, with their digests before their tags.
pub(super) fn shown(images: &[cri::Image], max: Option<usize>) -> Vec<ContainerImage> {
    let mut by_size: Vec<&cri::Image> = images.iter().collect();
    // The id settles ties, so that the same images always make the same list.
    by_size.sort_by_key(|image| (Reverse(image.size), &image.id));
    by_size.truncate(max.unwrap_or(usize::MAX));
    let show = |image: &cri::Image| {
        let names = image.repo_digests.iter().chain(&image.repo_tags).take(NAMES).cloned().collect();
        ContainerImage {
            names: super::some(names),
            size_bytes: Some(i64::try_from(image.size).unwrap_or(i64::MAX)),
        }
    };
    by_size.into_iter().map(show).collect()
}
