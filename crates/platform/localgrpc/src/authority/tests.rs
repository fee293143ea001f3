use proptest::prelude::*;

use super::*;

const PATH: &[u8] = b"%2Fvar%2Flib%2Fkubelet%2Fpod-resources%2Fkubelet.sock";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

/// `:method: POST`, `:scheme: http`, `:path: /v1.PodResourcesLister/List` as a new entry, and then `rest`.
fn fields(rest: &[&[u8]]) -> Vec<u8> {
    [&[0x83, 0x86, 0x44], &string(b"/v1.PodResourcesLister/List")[..], &rest.concat()].concat()
}

/// What the library sees of the bytes, which come in pieces of that size.
fn seen(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut renamed = Renamed::default();
    let mut seen = Vec::new();
    for piece in bytes.chunks(piece) {
        renamed.feed(piece);
        assert!(renamed.held.len() <= FRAME_HEAD + LARGEST_FRAME);
        seen.extend_from_slice(renamed.ready());
        renamed.seen(renamed.ready().len());
    }
    renamed.end();
    seen.extend_from_slice(renamed.ready());
    seen
}

fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frames.concat()].concat()
}

#[test]
fn the_name_is_replaced_however_it_is_spelt() {
    let te = [&[0x40][..], &string(b"te"), &string(b"trailers")].concat();
    let huffman = [&[0x80 | 60][..], &[0x55; 60]].concat();
    let long = [&[0x7f, 0x80, 0x02][..], &[b'a'; 383]].concat();
    for (before, after) in [
        // Kept in the table, not kept, never kept.
        ([&[0x41][..], &string(PATH)].concat(), vec![0x41, 1, b'x']),
        ([&[0x01][..], &string(PATH)].concat(), vec![0x01, 1, b'x']),
        ([&[0x11][..], &string(b"/run/a.sock")].concat(), vec![0x11, 1, b'x']),
        ([&[0x41][..], &huffman].concat(), vec![0x41, 1, b'x']),
        ([&[0x41][..], &long].concat(), vec![0x41, 1, b'x']),
        // As gRPC's core writes it.
        (
            [&[0x40][..], &string(b":authority"), &string(b"localhost")].concat(),
            [&[0x40][..], &string(b":authority"), &[1, b'x']].concat(),
        ),
        // Known from an earlier request, or nothing at all.
        (vec![0xbf], vec![0xbf]),
        (vec![0x41, 0], vec![0x41, 0]),
        (vec![0x41, 1, b'a'], vec![0x41, 1, b'x']),
        (vec![0x3f, 0xe1, 0x1f, 0x41, 2, b'/', b'a'], vec![0x3f, 0xe1, 0x1f, 0x41, 1, b'x']),
        // The headers make no sense: it is for the library to say so.
        (vec![0x41, 5, b'a'], vec![0x41, 5, b'a']),
        (vec![0x7f, 0xff, 0xff, 0xff, 0xff], vec![0x7f, 0xff, 0xff, 0xff, 0xff]),
    ] {
        let whole = |name: &[u8]| {
            // Behind a name that makes no sense nothing else does.
            let rest = if name == [0x41, 5, b'a'] { &[][..] } else { &te[..] };
            connection(&[
                frame(4, 0, &[]),
                frame(HEADERS, END_HEADERS, &fields(&[name, rest])),
                frame(0, 1, &[0, 0, 0, 0, 0]),
            ])
        };
        for piece in [1, 7, 10_000] {
            assert_eq!(seen(&whole(&before), piece), whole(&after), "{before:?} in pieces of {piece}");
        }
    }
}

#[test]
fn padding_and_priority_stay() {
    let whole = |name: &[u8]| {
        let payload = [&[3][..], &[9, 9, 9, 9, 9], &fields(&[&[0x41], &string(name)]), &[0, 0, 0]].concat();
        connection(&[frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &payload)])
    };
    assert_eq!(seen(&whole(PATH), 10_000), whole(b"x"));
    let too_much = connection(&[frame(HEADERS, END_HEADERS | PADDED, &[200, 0x41, 1, b'/'])]);
    assert_eq!(seen(&too_much, 10_000), too_much);
}

#[test]
fn other_frames_and_what_is_no_frame_pass() {
    let headers = fields(&[&[0x41], &string(PATH)]);
    for bytes in [
        connection(&[frame(0, 0, &headers), frame(HEADERS, 0, &headers), frame(9, END_HEADERS, &headers)]),
        connection(&[frame(HEADERS, END_HEADERS, &vec![0x41; LARGEST_FRAME + 1])]),
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        connection(&[])[..10].to_vec(),
        connection(&[frame(HEADERS, END_HEADERS, &headers)[..20].to_vec()]),
    ] {
        assert_eq!(seen(&bytes, 3), bytes);
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_come_to_the_same(bytes: Vec<u8>, kind in 0u8..3, flags: u8, piece in 1usize..50) {
        let whole = connection(&[frame(kind, flags, &bytes), frame(kind, flags, &bytes)]);
        let at_once = seen(&whole, whole.len());
        prop_assert!(at_once.len() <= whole.len());
        prop_assert_eq!(seen(&whole, piece), at_once);
        let _ = seen(&bytes, piece);
    }
}
