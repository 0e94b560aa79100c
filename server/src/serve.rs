//! From an address to a server that runs until it is told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use rungs_spec::home::Home;
use tokio::net::TcpListener;

use crate::guard::Guard;
use crate::state::Dashboard;

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
    /// It broke while running.
    #[error("The server stopped: {0}")]
    Run(#[source] io::Error),
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

/// Serves until `stop` resolves; requests under way are finished, open event streams are cut.
pub async fn serve(
    listen: Listen,
    home: Home,
    db: PathBuf,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let app = crate::app(Dashboard::new(home, db), listen.guard);
    let (ending, mut ended) = tokio::sync::watch::channel(false);
    let server = axum::serve(listen.listener, app).with_graceful_shutdown(async move {
        stop.await;
        // An error means that nobody waits any more, which is what stopping is for.
        let _ = ending.send(true);
    });
    let grace = async move {
        if ended.wait_for(|over| *over).await.is_ok() {
            // Event streams never end by themselves.
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = async { server.await } => result.map_err(ServeError::Run),
        () = grace => Ok(()),
    }
}
