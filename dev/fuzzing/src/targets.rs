//! What is fuzzed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use linux::mountinfo::MountTable;
use localgrpc::authority::Renamed;
use logs::{Decoder, LogOptions, Stream};

/// One function that takes any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of seeds in `fuzz/seeds`.
    pub name: &'static str,
    /// Does with the bytes what the program does.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "manifest", run: source::fuzz },
    Target { name: "configuration", run: configuration },
    Target { name: "flags", run: flags },
    Target { name: "document", run: document::fuzz },
    Target { name: "logs", run: log_lines },
    Target { name: "mountinfo", run: mountinfo },
    Target { name: "quantity", run: quantity },
    Target { name: "image", run: image_name },
    Target { name: "authority", run: authority },
    Target { name: "note", run: csi::fuzz },
];

fn configuration(bytes: &[u8]) {
    let _ = config::check::check_bytes(Path::new("/etc/berth.yaml"), bytes);
}

/// One argument per line.
fn flags(bytes: &[u8]) {
    let arguments = bytes.split(|byte| *byte == b'\n').map(|line| OsString::from_vec(line.to_vec()));
    if let Err(error) = config::flags::parse(arguments) {
        let _ = error.to_string();
    }
}

/// The first byte chooses the options, the second how large the pieces are in which the file is read.
fn log_lines(bytes: &[u8]) {
    let [choice, size, log @ ..] = bytes else { return };
    let options = LogOptions {
        tail: None,
        since: (choice & 1 != 0).then(|| "2024-05-01T00:00:00Z".parse().ok()).flatten(),
        limit_bytes: (choice & 2 != 0).then_some(u64::from(*size)),
        timestamps: choice & 4 != 0,
        stream: (choice & 8 != 0).then_some(Stream::Stderr),
    };
    let mut decoder = Decoder::new(options);
    let mut text = Vec::new();
    for piece in log.chunks(usize::from(*size).max(1)) {
        decoder.feed(piece, &mut text);
    }
    decoder.next_file();
    decoder.feed(log, &mut text);
}

fn mountinfo(bytes: &[u8]) {
    let table = MountTable::parse(bytes);
    for mount in &table {
        let _ = (mount.is_read_only(), table.at(&mount.point), table.holding(&mount.point));
    }
    let _ = table.below(Path::new("/var/lib/kubelet"));
}

fn quantity(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(quantity) = text.parse::<types::Quantity>() {
        let written = quantity.to_string();
        assert_eq!(written.parse(), Ok(quantity), "{text:?} is written as {written:?}");
        let _ = quantity.value();
    }
}

fn image_name(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = image::reference::ImageName::parse(&text) {
        let _ = name.tagged(&text);
    }
}

/// What a client sends; the first byte says how large the pieces are in which it comes.
fn authority(bytes: &[u8]) {
    let [size, bytes @ ..] = bytes else { return };
    let seen = |size: usize| {
        let mut renamed = Renamed::default();
        bytes.chunks(size).for_each(|piece| renamed.feed(piece));
        renamed.end();
        renamed.ready().to_vec()
    };
    let at_once = seen(bytes.len().max(1));
    assert!(at_once.len() <= bytes.len());
    assert_eq!(seen(usize::from(*size).max(1)), at_once);
}
