//! Connections: dialling a source, securing the link, listening for clients.
//!
//! The simulator brings its own streams, because madsim's TCP has no backpressure and no half-open
//! connections. A driver therefore uses nothing of a stream but [`AsyncRead`] and [`AsyncWrite`], splits
//! it by [`tokio::io::split`], and flushes after each message.

use core::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::tls::{TlsFault, TlsPlan};

/// Why a source was not reached.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DialFault {
    /// The name means nothing.
    #[error("{host} cannot be resolved: {reason}")]
    Unresolved {
        /// Which name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// Nobody takes the connection.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// `host:port`
        place: String,
        /// What the system says.
        reason: String,
    },
    /// Nobody answers.
    #[error("{place} cannot be reached: no answer within {seconds} s")]
    TimedOut {
        /// `host:port`
        place: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

/// A network; cheap to clone.
pub trait Net: Clone + Send + Sync + 'static {
    /// A connection, plain or secured.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A port that takes connections.
    type Listener: Send + 'static;

    /// Connects to `port` of `host`, trying each of its addresses.
    ///
    /// # Errors
    /// [`DialFault`]
    fn dial(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = Result<Self::Stream, DialFault>> + Send;

    /// The addresses of `host`; none if it means nothing here.
    fn resolve(&self, host: &str) -> impl Future<Output = Vec<IpAddr>> + Send;

    /// Begins TLS on a connection that has been plain so far.
    ///
    /// # Errors
    /// [`TlsFault`]; the connection is gone.
    fn secure(
        &self,
        stream: Self::Stream,
        plan: &TlsPlan,
    ) -> impl Future<Output = Result<Self::Stream, TlsFault>> + Send;

    /// Takes a port.
    ///
    /// # Errors
    /// It is taken, or not ours to take.
    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Where a listener listens: which port, if it asked for any.
    ///
    /// # Errors
    /// The system does not say.
    fn local_addr(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// The next connection, and who it comes from.
    ///
    /// # Errors
    /// The process is out of something, such as descriptors: wait a little before trying again.
    fn accept(
        &self,
        listener: &mut Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

#[cfg(feature = "daemon")]
pub use self::os::{CONNECT_TIMEOUT, OsNet, OsStream};

#[cfg(feature = "daemon")]
mod os {
    use core::pin::Pin;
    use core::task::{Context, Poll};
    use std::io::{self, IoSlice};
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use canald_core::time::Duration;
    use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::net::{TcpListener, TcpStream, lookup_host};
    use tokio_rustls::client::TlsStream;

    use super::{DialFault, Net};
    use crate::tls::{self, TlsFault, TlsPlan};

    /// How long one address may take to answer (binlog-parser reference §1.2).
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
    const BACKLOG: i32 = 1024;

    /// A peer that is gone without a word is noticed after 60 s of silence and 4 probes, some 100 s.
    const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
    const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
    const KEEPALIVE_PROBES: u32 = 4;

    /// The machine's network.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct OsNet;

    /// A TCP connection.
    #[derive(Debug)]
    pub enum OsStream {
        /// As it is.
        Plain(TcpStream),
        /// Under TLS.
        Secure(Box<TlsStream<TcpStream>>),
    }

    impl Net for OsNet {
        type Stream = OsStream;
        type Listener = TcpListener;

        async fn dial(&self, host: &str, port: u16) -> Result<OsStream, DialFault> {
            let place = format!("{host}:{port}");
            let unresolved = |reason: String| DialFault::Unresolved {
                host: host.into(),
                reason,
            };
            let addresses = lookup_host((host, port))
                .await
                .map_err(|e| unresolved(e.to_string()))?;
            let mut fault = unresolved("it has no address".into());
            for address in addresses {
                let connecting = TcpStream::connect(address);
                match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                    Ok(Ok(stream)) => {
                        prepare(&stream);
                        return Ok(OsStream::Plain(stream));
                    }
                    Ok(Err(error)) => {
                        let reason = error.to_string();
                        fault = DialFault::Unreachable {
                            place: place.clone(),
                            reason,
                        };
                    }
                    Err(_) => {
                        let seconds = CONNECT_TIMEOUT.as_secs();
                        fault = DialFault::TimedOut {
                            place: place.clone(),
                            seconds,
                        };
                    }
                }
            }
            Err(fault)
        }

        async fn resolve(&self, host: &str) -> Vec<IpAddr> {
            let Ok(found) = lookup_host((host, 0)).await else {
                return Vec::new();
            };
            found.map(|address| address.ip()).collect()
        }

        async fn secure(&self, stream: OsStream, plan: &TlsPlan) -> Result<OsStream, TlsFault> {
            match stream {
                OsStream::Plain(stream) => {
                    let stream = tls::secure(stream, plan).await?;
                    Ok(OsStream::Secure(Box::new(stream)))
                }
                OsStream::Secure(_) => Err(TlsFault::Setup("the link is secure already".into())),
            }
        }

        async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
            match bound(at) {
                // A machine without IPv6 has all its addresses in IPv4.
                Err(_) if at.is_ipv6() && at.ip().is_unspecified() => {
                    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                    bound(SocketAddr::new(all, at.port()))
                }
                other => other,
            }
        }

        fn local_addr(&self, listener: &TcpListener) -> io::Result<SocketAddr> {
            listener.local_addr()
        }

        async fn accept(&self, listener: &mut TcpListener) -> io::Result<(OsStream, SocketAddr)> {
            loop {
                match listener.accept().await {
                    Ok((stream, from)) => {
                        prepare(&stream);
                        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                        return Ok((OsStream::Plain(stream), from));
                    }
                    // The client changed its mind while it waited.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn bound(at: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        if at.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // A restarted canald must not wait for connections of the one before it to fade.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    }

    /// Small packets leave at once, and a dead peer is noticed. A socket that takes neither option is
    /// already dead, and reading it says so.
    fn prepare(stream: &TcpStream) {
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_TIME)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_PROBES);
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }

    impl AsyncRead for OsStream {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.get_mut() {
                Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
                Self::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
            }
        }
    }

    impl AsyncWrite for OsStream {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            match self.get_mut() {
                Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
                Self::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
            }
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            match self.get_mut() {
                Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
                Self::Secure(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            }
        }

        fn is_write_vectored(&self) -> bool {
            match self {
                Self::Plain(stream) => stream.is_write_vectored(),
                Self::Secure(stream) => stream.is_write_vectored(),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            match self.get_mut() {
                Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
                Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            match self.get_mut() {
                Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
                Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
            }
        }
    }
}

#[cfg(all(test, feature = "daemon"))]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways_and_the_peer_is_named() {
        let mut listener = OsNet.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = OsNet.local_addr(&listener).unwrap().port();
        let mut ours = OsNet.dial("localhost", port).await.unwrap();
        let (mut theirs, from) = OsNet.accept(&mut listener).await.unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.1");
        assert!(ours.is_write_vectored());
        let slices = [io::IoSlice::new(b"pi"), io::IoSlice::new(b"ng")];
        assert_eq!(ours.write_vectored(&slices).await.unwrap(), 4);
        let mut got = [0; 4];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
        theirs.write_all(b"pong").await.unwrap();
        drop(theirs);
        let mut rest = String::new();
        ours.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "pong");
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_ipv4_too() {
        let mut listener = OsNet.listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = OsNet.local_addr(&listener).unwrap().port();
        let _ours = OsNet.dial("127.0.0.1", port).await.unwrap();
        let (_theirs, from) = OsNet.accept(&mut listener).await.unwrap();
        assert_eq!(
            from.ip().to_string(),
            "127.0.0.1",
            "not in its IPv6 disguise"
        );
    }

    #[tokio::test]
    async fn who_cannot_be_reached_is_named() {
        let listener = OsNet.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = OsNet.local_addr(&listener).unwrap();
        let taken = OsNet.listen(at).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let fault = OsNet.dial("127.0.0.1", at.port()).await.unwrap_err();
        let text = fault.to_string();
        assert!(
            text.starts_with(&format!("127.0.0.1:{} cannot be reached: ", at.port())),
            "{text}"
        );
        let fault = OsNet.dial("no.such.host.invalid", 1).await.unwrap_err();
        assert!(matches!(fault, DialFault::Unresolved { .. }), "{fault}");
    }
}
