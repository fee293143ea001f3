//! Files beneath a directory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use linux::beneath::{BeneathError, Links, Root};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::spawn_blocking;

/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// What is at a path.
enum Found {
    File(File, u64),
    Directory(Vec<String>),
    Missing,
    Refused,
}

/// Answers with the file at `path` beneath `root`, or with a list of what is in that directory; `slash` says whether the
/// client asked for a directory.
pub(super) async fn serve(root: PathBuf, path: String, slash: bool) -> Response {
    if path.split('/').any(|part| part == "..") || path.contains('\0') {
        return (StatusCode::BAD_REQUEST, "invalid URL path\n").into_response();
    }
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let found = spawn_blocking(move || find(&root, &path)).await;
    match found.unwrap_or(Ok(Found::Refused)) {
        Ok(Found::File(file, size)) => {
            let kind = if name.ends_with(".gz") { "application/gzip" } else { "text/plain; charset=utf-8" };
            let headers =
                [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_LENGTH, size.to_string())];
            // Not more than the file had: whoever writes faster than we read must not keep us here.
            (headers, pieces(tokio::fs::File::from_std(file).take(size))).into_response()
        }
        Ok(Found::Directory(_)) if !slash => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, format!("{}/", escaped(&name)))])
                .into_response()
        }
        Ok(Found::Directory(names)) => listing(&names).into_response(),
        Ok(Found::Missing) => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
        Ok(Found::Refused) => (StatusCode::FORBIDDEN, "403 Forbidden\n").into_response(),
        Err(error) => {
            tracing::warn!(error = telemetry::chain(&error), "A log file could not be read");
            (StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n").into_response()
        }
    }
}

/// The bytes of a reader, piece by piece.
pub(super) fn pieces(reader: impl AsyncRead + Send + Unpin + 'static) -> Body {
    Body::from_stream(futures::stream::unfold(reader, |mut reader| async {
        let mut piece = vec![0; PIECE];
        match reader.read(&mut piece).await {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(Bytes::from(piece)), reader))
            }
            Err(error) => Some((Err(error), reader)),
        }
    }))
}

/// The file at `path` beneath `root`, for reading; `None` if there is none. Links are followed as long as they lead to
/// something beneath the root, where pods may put links of their own.
pub(super) fn open(root: &Path, path: &str) -> io::Result<Option<File>> {
    Ok(match find(root, path)? {
        Found::File(file, _) => Some(file),
        _ => None,
    })
}

fn find(root: &Path, path: &str) -> io::Result<Found> {
    let real_root = fs::canonicalize(root)?;
    let relative: PathBuf = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let real = match fs::canonicalize(real_root.join(relative)) {
        Ok(real) => real,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Found::Missing);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Found::Refused),
        Err(error) => return Err(error),
    };
    let Ok(inside) = real.strip_prefix(&real_root) else { return Ok(Found::Refused) };
    if inside.as_os_str().is_empty() {
        return list(&real_root).map(Found::Directory);
    }
    // What was found may be another thing by now: this time no link is followed.
    let opened = Root::open(&real_root).and_then(|root| root.open_file(inside, Links::Refuse));
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(Found::Missing),
        Err(BeneathError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Found::Refused);
        }
        Err(BeneathError::Io { source, .. }) => return Err(source),
        Err(_) => return Ok(Found::Refused),
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return list(&linux::beneath::fd_path(&file)).map(Found::Directory);
    }
    Ok(if metadata.is_file() { Found::File(file, metadata.size()) } else { Found::Refused })
}

/// The names in a directory, those of directories with a slash.
fn list(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let mut name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            name.push('/');
        }
        names.push(name);
    }
    names.sort();
    Ok(names)
}

fn listing(names: &[String]) -> Response {
    let lines = names.iter().map(|name| format!("<a href=\"{}\">{}</a>\n", escaped(name), shown(name)));
    let page = format!(
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n{}</pre>\n",
        lines.collect::<String>()
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// `name` as a part of a relative URL.
fn escaped(name: &str) -> String {
    let escaped: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    escaped
}

/// `name` as text of a page.
fn shown(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(root: &Path, path: &str, slash: bool) -> (u16, String) {
        let response = serve(root.to_owned(), path.to_owned(), slash).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn nothing_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (root, secret) = (dir.path().join("log"), dir.path().join("secret"));
        fs::create_dir_all(root.join("pods/a")).unwrap();
        fs::write(&secret, "secret").unwrap();
        fs::write(root.join("pods/a/0.log"), "line").unwrap();
        symlink(&secret, root.join("out")).unwrap();
        symlink("../secret", root.join("out2")).unwrap();
        symlink(dir.path(), root.join("outdir")).unwrap();
        symlink(root.join("pods/a/0.log"), root.join("in")).unwrap();
        symlink("pods/a", root.join("indir")).unwrap();
        for (path, status, text) in [
            ("pods/a/0.log", 200, "line"),
            ("/pods//a/./0.log", 200, "line"),
            ("in", 200, "line"),
            ("indir/0.log", 200, "line"),
            ("out", 403, ""),
            ("out2", 403, ""),
            ("outdir/secret", 403, ""),
            ("../secret", 400, ""),
            ("pods/../../secret", 400, ""),
            ("pods/a\0", 400, ""),
            ("none", 404, ""),
            ("pods/a/0.log/x", 404, ""),
        ] {
            let answer = ask(&root, path, false).await;
            assert_eq!(answer.0, status, "{path}");
            assert!(answer.1.contains(text) && !answer.1.contains("secret"), "{path}: {}", answer.1);
        }
        rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, 0o644.into(), 0)
            .unwrap();
        assert_eq!(ask(&root, "fifo", false).await.0, 403);
    }

    #[tokio::test]
    async fn directories_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("a<b> c"), "").unwrap();
        let (status, page) = ask(dir.path(), "", true).await;
        assert_eq!(status, 200);
        let list = "<pre>\n<a href=\"a%3Cb%3E%20c\">a&lt;b&gt; c</a>\n<a href=\"d/\">d/</a>\n</pre>";
        assert!(page.contains(list), "{page}");
        let response = serve(dir.path().to_owned(), "d".to_owned(), false).await;
        assert_eq!(
            (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
            (301, "d/")
        );
    }
}
