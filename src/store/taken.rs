//! The body of a reply, taken on its way to the SDK's parser: so that a store may read what is long in it by itself, and
//! leave the rest, with signing, retries, endpoints and errors, to the SDK.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

/// The longest body read: a page of any service is far shorter.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Room made before the first byte, when the service tells the length.
const BODY_BYTES_USUAL: usize = 4 * 1024 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Given the whole body, gives what is left of it for the SDK.
pub(super) type ReadBody = Box<dyn FnOnce(Bytes) -> Result<Bytes, BoxError> + Send + Sync>;

/// A body is longer than any page.
#[derive(Debug, thiserror::Error)]
#[error("a page is longer than {BODY_BYTES_MAX} bytes")]
struct TooLong;

/// Collects a page; when all of it is there, gives what is left of it for the SDK.
///
/// For every piece that comes, one blank goes on to the SDK, which JSON and XML allow before a value: so that its watch over
/// stalled streams sees bytes flow. XML allows none before its declaration, which what is left must not begin with then.
pub(super) struct TakenBody {
    inner: SdkBody,
    received: BytesMut,
    read: Option<ReadBody>,
}

impl TakenBody {
    /// The body that the SDK gets in place of `body`, of which so many bytes are told, or 0.
    pub(super) fn of(body: SdkBody, length_told: usize, read: ReadBody) -> SdkBody {
        let received = BytesMut::with_capacity(usize::min(length_told, BODY_BYTES_USUAL));
        SdkBody::from_body_1_x(TakenBody { inner: body, received, read: Some(read) })
    }
}

impl Body for TakenBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.read.is_none() {
            return Poll::Ready(None);
        }
        let piece = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => {
                let body = std::mem::take(&mut self.received).freeze();
                return Poll::Ready(self.read.take().map(|read| read(body).map(Frame::data)));
            }
        };
        self.received.extend_from_slice(&piece);
        if self.received.len() > BODY_BYTES_MAX {
            self.read = None;
            return Poll::Ready(Some(Err(TooLong.into())));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}
