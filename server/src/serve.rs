//! From an address to a server that runs until it is told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rungs_spec::home::Home;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::guard::Guard;
use crate::state::Dashboard;

/// A runtime for a server: four threads a core, because a table or a chart takes its thread for as long as it
/// is made, and with one a core two of them would keep every small answer waiting. The system shares the cores.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4 * cores)
        .enable_all()
        .build()
}

/// Why there is no server. All of them are exit status 2: nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else listens there.
    #[error(
        "Port {} of {} is in use by another program (another dashboard?). Stop it, or choose another port with --bind {}:{}, or let the system choose with --bind {}:0",
        address.port(), address.ip(), address.ip(), address.port().wrapping_add(1), address.ip()
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Not allowed, not an address of this machine, ...
    #[error(
        "The address {address} cannot be listened on: {source}. The default is --bind 127.0.0.1:8080"
    )]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// The token that another address needs.
    #[error("The token file {} cannot be used: {source}", path.display())]
    Token {
        /// HOME/server.token.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// A bound address, ready to serve.
#[derive(Debug)]
pub struct Listen {
    listener: TcpListener,
    guard: Guard,
    /// Where it really listens: port 0 is replaced by the one the system chose.
    pub address: SocketAddr,
    /// What a person opens.
    pub url: String,
    /// As `url`, and gives the right to change things to the first who opens it; `None` where there is no
    /// token (no home yet), which is only on loopback.
    pub link: Option<String>,
}

/// Binds `address`. Loopback addresses are open to read; any other needs the home's token, which is
/// drawn where there is none.
pub async fn bind(home: &Home, address: SocketAddr) -> Result<Listen, ServeError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address },
            _ => ServeError::Bind { address, source },
        })?;
    let path = home.dir().join("server.token");
    let token = |source| ServeError::Token {
        path: path.clone(),
        source,
    };
    let guard = Guard::of_address(address.ip(), &path).map_err(token)?;
    let address = listener
        .local_addr()
        .map_err(|source| ServeError::Bind { address, source })?;
    let host = if address.ip().is_unspecified() {
        IpAddr::from([127, 0, 0, 1])
    } else {
        address.ip()
    };
    let host = format!("http://{}", SocketAddr::new(host, address.port()));
    let link = match guard.keys() {
        Ok(_) => Some(host.clone() + &guard.one_time_link().map_err(token)?),
        Err(failure) => {
            tracing::info!("{}", failure.message);
            None
        }
    };
    Ok(Listen {
        listener,
        guard,
        address,
        url: host + "/",
        link,
    })
}

/// Bounds on what a visitor may hold open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest that the headers of a request may take to come, also of the next one on a connection.
    pub headers: Duration,
    /// Longest that an answer may take to be made, the request's body included.
    pub answer: Duration,
    /// Connections at once; more wait until one ends.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            headers: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            connections: 1024,
        }
    }
}

/// Most bytes of the headers of a request together; more is refused with 431.
const HEADER_BYTES: usize = 64 * 1024;
/// After the end is asked for: how long answers under way have.
const GRACE: Duration = Duration::from_millis(500);

/// Before connections without a request are closed: how long its bytes may take to be read.
const SETTLE: Duration = Duration::from_millis(100);

/// Whom the system has let in and nobody has attended to yet; nobody is let in any more. Closing the listener
/// would reset them.
fn last_visitors(listener: TcpListener) -> Vec<TcpStream> {
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    // It does not block: an empty queue is an error.
    let waiting: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).collect();
    drop(listener);
    let streams = waiting.into_iter().map(|(stream, _)| {
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    });
    streams.filter_map(io::Result::ok).collect()
}

/// Serves until `stop` resolves; requests under way are finished, open event streams are cut.
pub async fn serve(
    listen: Listen,
    home: Home,
    db: PathBuf,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    serve_within(listen, home, db, Limits::default(), stop).await;
}

/// As [`serve`], with bounds of one's own.
///
/// Not `axum::serve`: that waits for ever for the headers of a request, so that a few hundred visitors who
/// send a byte a minute would keep everybody else out.
pub async fn serve_within(
    listen: Listen,
    home: Home,
    db: PathBuf,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let app = crate::app_within(Dashboard::new(home, db), listen.guard, limits.answer);
    let service = TowerToHyperService::new(app);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size(HEADER_BYTES);
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = GracefulShutdown::new();
    let attend = |stream: TcpStream, place: Option<OwnedSemaphorePermit>| {
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let watched = open.watch(connection);
        tokio::spawn(async move {
            // How a connection ends is the visitor's affair: reset, too slow, not HTTP.
            if let Err(error) = watched.await {
                tracing::debug!("a connection ended: {error}");
            }
            drop(place);
        });
    };
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listen.listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => attend(stream, place.ok()),
            // Its visitor is gone, or we have no file handle left: others will close theirs.
            Err(error) => {
                tracing::debug!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    for stream in last_visitors(listen.listener) {
        attend(stream, places.clone().try_acquire_owned().ok());
    }
    // Somebody who was let in just now has his request on the way; a connection that nothing was read of yet
    // would be closed at once.
    tokio::time::sleep(SETTLE).await;
    // Event streams never end by themselves.
    tokio::select! {
        () = open.shutdown() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
}
