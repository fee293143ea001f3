//! Following a log while it is written, rotated and ended.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use logs::{LogOptions, LogReader, ReadError};
use tokio::sync::watch;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

struct Log {
    dir: tempfile::TempDir,
    file: File,
    ended: watch::Sender<bool>,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("0.log")).unwrap();
        Self { dir, file, ended: watch::Sender::new(false) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("0.log")
    }

    fn write(&mut self, text: &str) {
        writeln!(self.file, "2024-01-01T00:00:01Z stdout F {text}").unwrap();
    }

    fn rename(&self, time: &str) {
        fs::rename(self.path(), self.dir.path().join(format!("0.log.{time}"))).unwrap();
    }

    fn reopen(&mut self) {
        self.file = OpenOptions::new().create(true).append(true).open(self.path()).unwrap();
    }

    async fn follow(&self, options: LogOptions) -> LogReader {
        LogReader::follow(&self.path(), options, self.ended.subscribe()).await.unwrap()
    }
}

/// Reads until `expected` has come, and checks that nothing else did.
async fn read(reader: &mut LogReader, expected: &str) {
    let mut text = String::new();
    while text.len() < expected.len() {
        let piece = timeout(DEADLINE, reader.next()).await.unwrap().unwrap().unwrap();
        text.push_str(&String::from_utf8(piece).unwrap());
    }
    assert_eq!(text, expected);
}

async fn end(reader: &mut LogReader) {
    assert!(timeout(DEADLINE, reader.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_added_comes() {
    let mut log = Log::new();
    log.write("one");
    log.write("two");
    let mut reader = log.follow(LogOptions { tail: Some(1), ..Default::default() }).await;
    read(&mut reader, "two\n").await;
    log.write("three");
    read(&mut reader, "three\n").await;
    write!(log.file, "2024-01-01T00:00:01Z std").unwrap();
    writeln!(log.file, "out F four").unwrap();
    read(&mut reader, "four\n").await;
    log.write("five");
    log.ended.send_replace(true);
    read(&mut reader, "five\n").await;
    end(&mut reader).await;
}

#[tokio::test]
async fn rotation_loses_nothing() {
    let mut log = Log::new();
    log.write("one");
    let mut reader = log.follow(LogOptions::default()).await;
    read(&mut reader, "one\n").await;
    log.rename("20240101-000001");
    // The runtime still has the old file open.
    log.write("two");
    read(&mut reader, "two\n").await;
    log.write("three");
    log.reopen();
    log.write("four");
    read(&mut reader, "three\nfour\n").await;
}

#[tokio::test]
async fn a_reader_that_slept_through_rotations_gets_all_files() {
    let mut log = Log::new();
    let mut reader = log.follow(LogOptions::default()).await;
    for n in 0..4 {
        log.write(&format!("file {n}"));
        log.rename(&format!("20240101-00000{n}"));
        log.reopen();
    }
    log.write("now");
    log.ended.send_replace(true);
    read(&mut reader, "file 0\nfile 1\nfile 2\nfile 3\nnow\n").await;
    end(&mut reader).await;
}

#[tokio::test]
async fn the_end_is_told_when_the_container_is_removed() {
    let mut log = Log::new();
    log.write("one");
    let mut reader = log.follow(LogOptions::default()).await;
    fs::remove_dir_all(log.dir.path()).unwrap();
    drop(log.ended);
    read(&mut reader, "one\n").await;
    end(&mut reader).await;
}

#[tokio::test]
async fn a_limit_ends_the_reading() {
    let mut log = Log::new();
    log.write("one");
    let mut reader = log.follow(LogOptions { limit_bytes: Some(6), ..Default::default() }).await;
    read(&mut reader, "one\n").await;
    log.write("two");
    read(&mut reader, "tw").await;
    end(&mut reader).await;
}

#[tokio::test]
async fn waiting_can_be_cancelled() {
    let mut log = Log::new();
    let mut reader = log.follow(LogOptions::default()).await;
    for n in 0..50 {
        log.write(&format!("line {n}"));
        // Dropped at whatever point one look has reached.
        let first = tokio::select! {
            biased;
            piece = reader.next() => piece,
            () = std::future::ready(()) => None,
        };
        match first {
            Some(piece) => assert_eq!(piece.unwrap(), format!("line {n}\n").into_bytes()),
            None => read(&mut reader, &format!("line {n}\n")).await,
        }
    }
}

#[tokio::test]
async fn a_log_of_any_length_comes_in_pieces() {
    let mut log = Log::new();
    let line = "x".repeat(3 << 20);
    log.write(&line);
    log.write("end");
    let mut reader = LogReader::open(&log.path(), LogOptions::default()).await.unwrap();
    let mut total = 0;
    while let Some(piece) = reader.next().await {
        let piece = piece.unwrap();
        assert!(piece.len() < 128 << 10);
        total += piece.len();
    }
    assert_eq!(total, line.len() + 5);
}

#[tokio::test]
async fn what_is_no_log_is_refused() {
    let mut log = Log::new();
    assert!(matches!(
        LogReader::open(&log.dir.path().join("1.log"), LogOptions::default()).await,
        Err(ReadError::Io { .. })
    ));
    assert!(LogReader::open(log.dir.path(), LogOptions::default()).await.is_err());
    writeln!(log.file, "{{\"log\":\"hello\"}}").unwrap();
    let mut reader = LogReader::open(&log.path(), LogOptions::default()).await.unwrap();
    assert!(matches!(reader.next().await, Some(Err(ReadError::Format { .. }))));
    assert!(reader.next().await.is_none());
}
