//! A runtime that runs a command over SPDY: it says its input back, and in the end what it was given.

use std::collections::BTreeMap;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A frame: its first word, its flags, what is in it.
async fn frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u32, u8, Vec<u8>)> {
    let (first, flags_and_length) = (from.read_u32().await?, from.read_u32().await?);
    let mut bytes = vec![0; (flags_and_length & 0xff_ffff) as usize];
    from.read_exact(&mut bytes).await?;
    Ok((first, (flags_and_length >> 24) as u8, bytes))
}

async fn data(to: &mut TcpStream, stream: u32, bytes: &[u8], fin: bool) -> io::Result<()> {
    to.write_u32(stream).await?;
    to.write_u32(u32::try_from(bytes.len()).unwrap() | u32::from(fin) << 24).await?;
    to.write_all(bytes).await
}

/// The one header of a stream that is opened; the first one comes with the beginning of the compressed stream.
fn header(mut block: &[u8]) -> (String, String) {
    if block.starts_with(&[0x78, 0xbb]) {
        block = &block[6..];
    }
    let text = |at: usize| {
        let length = u32::from_be_bytes(block[at..at + 4].try_into().unwrap()) as usize;
        (String::from_utf8(block[at + 4..at + 4 + length].to_vec()).unwrap(), at + 4 + length)
    };
    // Behind the head of a stored block, and the number of headers.
    let (name, end) = text(5 + 4);
    (name, text(end).0)
}

pub(crate) async fn run(mut stream: TcpStream) -> io::Result<()> {
    let mut kinds = BTreeMap::new();
    let (mut sizes, mut input) = (Vec::new(), 0);
    loop {
        let (first, flags, bytes) = frame(&mut stream).await?;
        if first == 0x8003_0001 {
            let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            let (name, kind) = header(&bytes[10..]);
            assert_eq!(name, "streamtype");
            kinds.insert(kind, number);
            for word in [0x8003_0002, 4, number] {
                stream.write_u32(word).await?;
            }
            continue;
        }
        let kind = kinds.iter().find(|(_, number)| **number == first).map(|(kind, _)| kind.clone()).unwrap();
        let stdout = kinds["stdout"];
        match kind.as_str() {
            "stdin" => {
                input += bytes.len();
                data(&mut stream, stdout, &bytes, false).await?;
            }
            "resize" => sizes.push(String::from_utf8(bytes).unwrap()),
            other => panic!("{other}"),
        }
        if kind == "stdin" && flags & 1 != 0 {
            let seen = format!("{:?} {sizes:?} {input}", kinds.keys().collect::<Vec<_>>());
            data(&mut stream, stdout, seen.as_bytes(), true).await?;
            if let Some(stderr) = kinds.get("stderr") {
                data(&mut stream, *stderr, b"oh", true).await?;
            }
            let status = br#"{"metadata":{},"status":"Failure","reason":"NonZeroExitCode"}"#;
            data(&mut stream, kinds["error"], status, true).await?;
            // It closes after that, as runtimes do.
            return Ok(());
        }
    }
}
