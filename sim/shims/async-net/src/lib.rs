//! Stands in for the crate of the same name: outgoing connections only, and whoever runs the simulation says
//! where they go, by [`set_connector`]. A simulation runs on one thread, and each thread has its own.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that the simulator made.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection on its way.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Connects to a port of a host, for the task that calls it.
pub type Connector = Box<dyn Fn(&str, u16) -> Connecting>;

thread_local! {
    static CONNECTOR: RefCell<Option<Connector>> = const { RefCell::new(None) };
}

/// Says where the connections go that this thread makes from now on; nowhere for `None`. The connector
/// before it.
pub fn set_connector(connector: Option<Connector>) -> Option<Connector> {
    CONNECTOR.with_borrow_mut(|current| std::mem::replace(current, connector))
}

/// A connection.
pub struct TcpStream(Box<dyn Stream>);

impl TcpStream {
    /// Connects to a port of a host.
    ///
    /// # Errors
    /// The connector's, or there is none.
    pub async fn connect((host, port): (&str, u16)) -> io::Result<Self> {
        let connecting = CONNECTOR.with_borrow(|connector| {
            let connector = connector.as_ref();
            connector.map(|connector| connector(host, port))
        });
        let none = || io::Error::new(io::ErrorKind::NetworkDown, "there is no network");
        connecting.ok_or_else(none)?.await.map(Self)
    }

    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        Pin::new(&mut *self.0)
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TcpStream")
    }
}

impl futures_io::AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(into);
        ready!(self.stream().poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }
}

impl futures_io::AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
