//! The format of a profile (`profile.proto` of pprof), as far as one of addresses needs it.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use linux::maps::Map;
use prost::Message;

use crate::sampler::PERIOD;
use crate::stacks::Stacks;

/// A profile. Texts are numbers of strings.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(string, repeated, tag = "6")]
    strings: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
}

/// What a value counts, and in which unit.
#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

/// A stack, the leaf first, and its values.
#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

/// Code of a file.
#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(uint64, tag = "4")]
    file_offset: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
}

/// An address. One that is in no mapping has the mapping 0.
#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
}

/// Texts, each once; the first is empty.
struct Strings(Vec<String>);

impl Strings {
    fn number(&mut self, text: &str) -> i64 {
        let found = self.0.iter().position(|known| known == text);
        let at = found.unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        });
        signed(at as u64)
    }

    fn kind(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { kind: self.number(kind), unit: self.number(unit) }
    }
}

/// The profile of `stacks`, whose code is in `maps`, and which were seen in the time that is so `long` since `begun`.
pub(crate) fn profile(stacks: &Stacks, maps: &[Map], begun: SystemTime, long: Duration) -> Profile {
    let mut strings = Strings(vec![String::new()]);
    let sample_type = vec![strings.kind("samples", "count"), strings.kind("cpu", "nanoseconds")];
    let mut locations = Locations { maps, all: Vec::new(), ids: HashMap::new() };
    let sample = stacks.iter().map(|(stack, times)| Sample {
        // An address of return is behind the call.
        location_id: stack
            .iter()
            .enumerate()
            .map(|(depth, address)| {
                locations.id(if depth == 0 { *address } else { address.saturating_sub(1) })
            })
            .collect(),
        value: vec![signed(times), signed(times.saturating_mul(PERIOD))],
    });
    let sample = sample.collect();
    let mapping = (1..).zip(maps).map(|(id, map)| Mapping {
        id,
        memory_start: map.range.start,
        memory_limit: map.range.end,
        file_offset: map.offset,
        filename: strings.number(&map.path),
    });
    let mapping = mapping.collect();
    let lost = (stacks.lost > 0).then(|| strings.number(&format!("{} samples were lost", stacks.lost)));
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    Profile {
        sample_type,
        sample,
        mapping,
        location: locations.all,
        time_nanos: nanos(begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
        duration_nanos: nanos(long),
        period_type: Some(strings.kind("cpu", "nanoseconds")),
        period: signed(PERIOD),
        comment: lost.into_iter().collect(),
        strings: strings.0,
    }
}

/// As it is sent.
pub(crate) fn compressed(profile: &Profile) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(&profile.encode_to_vec()).and_then(|()| encoder.finish());
    // Nothing that is written to memory fails.
    written.unwrap_or_default()
}

/// Addresses, each once.
struct Locations<'a> {
    maps: &'a [Map],
    all: Vec<Location>,
    ids: HashMap<u64, u64>,
}

impl Locations<'_> {
    fn id(&mut self, address: u64) -> u64 {
        if let Some(id) = self.ids.get(&address) {
            return *id;
        }
        let id = self.all.len() as u64 + 1;
        let mapping_id = (1..).zip(self.maps).find(|(_, map)| map.range.contains(&address));
        self.all.push(Location { id, mapping_id: mapping_id.map_or(0, |(id, _)| id), address });
        self.ids.insert(address, id);
        id
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn a_profile_of_addresses() {
        let mut stacks = Stacks::default();
        stacks.add(&[0x5010, 0x5101]);
        stacks.add(&[0x5010, 0x5101]);
        stacks.lost = 3;
        let maps = [Map::parse("5000-6000 r-xp 00001000 fe:00 1 /usr/bin/berth").unwrap()];
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let made = profile(&stacks, &maps, begun, Duration::from_secs(1));
        let location = |id, address| Location { id, mapping_id: 1, address };
        let cpu = ValueType { kind: 3, unit: 4 };
        let expected = Profile {
            sample_type: vec![ValueType { kind: 1, unit: 2 }, cpu],
            sample: vec![Sample { location_id: vec![1, 2], value: vec![2, 20_000_000] }],
            mapping: vec![Mapping {
                id: 1,
                memory_start: 0x5000,
                memory_limit: 0x6000,
                file_offset: 0x1000,
                filename: 5,
            }],
            location: vec![location(1, 0x5010), location(2, 0x5100)],
            strings: ["", "samples", "count", "cpu", "nanoseconds", "/usr/bin/berth", "3 samples were lost"]
                .map(str::to_owned)
                .to_vec(),
            time_nanos: 5_000_000_000,
            duration_nanos: 1_000_000_000,
            period_type: Some(cpu),
            period: 10_000_000,
            comment: vec![6],
        };
        assert_eq!(made, expected);
        let mut plain = Vec::new();
        GzDecoder::new(&*compressed(&made)).read_to_end(&mut plain).unwrap();
        assert_eq!(Profile::decode(&*plain).unwrap(), expected);
        // An address outside of all files has no mapping.
        stacks.add(&[0x9000]);
        let made = profile(&stacks, &maps, begun, Duration::from_secs(1));
        assert!(made.location.iter().any(|at| (at.address, at.mapping_id) == (0x9000, 0)));
    }
}
