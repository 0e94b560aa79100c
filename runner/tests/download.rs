//! Fetching over real sockets: a server on this machine that knows ranges, breaks off, or lies.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rungs_runner::download::{Wanted, get};
use sha2::{Digest as _, Sha256};

/// How a server treats its clients.
#[derive(Clone, Copy)]
enum Manner {
    /// Knows ranges; breaks off after so many bytes of a body.
    Ranges { breaks_after: usize },
    /// Sends everything, whatever range is asked for.
    NoRanges,
    /// Answers so.
    Status(&'static str),
}

/// A server of one body, and the ranges that were asked of it.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

fn serve(body: Vec<u8>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &body, manner, &told);
        }
    });
    Server { address, asked }
}

fn answer(mut stream: TcpStream, body: &[u8], manner: Manner, asked: &Mutex<Vec<Option<String>>>) {
    let mut range = None;
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap().to_lowercase();
        if line.is_empty() {
            break;
        }
        range = line
            .strip_prefix("range: bytes=")
            .map(str::to_owned)
            .or(range);
    }
    asked.lock().unwrap().push(range.clone());
    let from = range.and_then(|r| r.trim_end_matches('-').parse::<usize>().ok());
    let (head, part, length) = match (manner, from) {
        (Manner::Status(status), _) => (status.to_owned(), &b""[..], 0),
        (Manner::NoRanges, _) | (_, None) => ("200 OK".to_owned(), body, body.len()),
        (Manner::Ranges { .. }, Some(from)) => {
            let range = format!(
                "Content-Range: bytes {from}-{}/{}",
                body.len() - 1,
                body.len()
            );
            (
                format!("206 Partial Content\r\n{range}"),
                &body[from..],
                body.len() - from,
            )
        }
    };
    let sent = match manner {
        Manner::Ranges { breaks_after } => &part[..part.len().min(breaks_after)],
        _ => part,
    };
    write!(
        stream,
        "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    // The client may have gone.
    let _ = stream.write_all(sent);
}

fn body() -> Vec<u8> {
    (0..300_000u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect()
}

fn wanted(server: &Server, body: &[u8]) -> Wanted {
    Wanted {
        url: format!("{}/file.bin", server.address),
        size: body.len() as u64,
        sha256: Sha256::digest(body)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect(),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("file.bin");
    let server = serve(
        body(),
        Manner::Ranges {
            breaks_after: 130_000,
        },
    );
    let most = AtomicUsize::new(0);
    get(&wanted(&server, &body()), &into, &|have| {
        most.fetch_max(have as usize, Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(std::fs::read(&into).unwrap(), body());
    assert_eq!(most.into_inner(), 300_000);
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [None, Some("130000-".to_owned()), Some("260000-".to_owned())]
    );
    // What is there already is not fetched again.
    get(&wanted(&server, &body()), &into, &|_| ()).unwrap();
    assert_eq!(server.asked.lock().unwrap().len(), 3);
    assert_eq!(names(dir.path()), ["file.bin"]);
}

#[test]
fn a_later_call_goes_on_with_what_an_earlier_one_left() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("file.bin");
    std::fs::write(dir.path().join("file.bin.part"), &body()[..1000]).unwrap();
    let server = serve(
        body(),
        Manner::Ranges {
            breaks_after: usize::MAX,
        },
    );
    get(&wanted(&server, &body()), &into, &|_| ()).unwrap();
    assert_eq!(std::fs::read(&into).unwrap(), body());
    assert_eq!(*server.asked.lock().unwrap(), [Some("1000-".to_owned())]);

    // A server without ranges sends all of it: nothing is appended twice.
    std::fs::remove_file(&into).unwrap();
    std::fs::write(dir.path().join("file.bin.part"), &body()[..1000]).unwrap();
    let server = serve(body(), Manner::NoRanges);
    get(&wanted(&server, &body()), &into, &|_| ()).unwrap();
    assert_eq!(std::fs::read(&into).unwrap(), body());
    assert_eq!(names(dir.path()), ["file.bin"]);
}

#[test]
fn another_file_is_refused_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("file.bin");
    let refused = |server: &Server, expected: &[u8]| {
        let error = get(&wanted(server, expected), &into, &|_| ()).unwrap_err();
        assert_eq!(names(dir.path()), Vec::<String>::new());
        format!("{error:#}")
    };
    let mut other = body();
    other[200_000] ^= 1;
    let server = serve(other, Manner::NoRanges);
    let error = refused(&server, &body());
    assert!(
        error.contains("SHA-256") && error.contains("--from") && error.contains(&server.address),
        "{error}"
    );
    let server = serve([body(), vec![0]].concat(), Manner::NoRanges);
    assert!(refused(&server, &body()).contains("more than the 300000 bytes"));
    let server = serve(Vec::new(), Manner::Status("404 Not Found"));
    let error = refused(&server, &body());
    assert!(
        error.contains("404") && error.contains("/file.bin"),
        "{error}"
    );
    assert_eq!(server.asked.lock().unwrap().len(), 1, "not asked again");
    // A file that is too short is asked for again, and then named as what it is.
    let server = serve(body()[..1000].to_vec(), Manner::NoRanges);
    let error = get(&wanted(&server, &body()), &into, &|_| ()).unwrap_err();
    assert!(
        format!("{error:#}").contains("1000 of 300000 bytes"),
        "{error:#}"
    );
}

#[test]
fn a_busy_server_is_asked_a_few_times() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("file.bin");
    let server = serve(Vec::new(), Manner::Status("503 Service Unavailable"));
    let error = get(&wanted(&server, &body()), &into, &|_| ()).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("503") && error.contains("0 of 300000 bytes"),
        "{error}"
    );
    assert_eq!(server.asked.lock().unwrap().len(), 3);
}
