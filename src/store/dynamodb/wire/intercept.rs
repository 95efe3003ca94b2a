//! Takes the body of a page on its way to the SDK's parser.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use http_body::{Body, Frame};

use super::page::{Page, PageReader};
use crate::model::Leaf;

/// The header by which DynamoDB proves a body: its CRC-32 as a decimal number. The SDK does not look at it.
const CHECKSUM_HEADER: &str = "x-amz-crc32";

/// The longest body read: a page is 1 MB of items, of which JSON makes at most a few times as much.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Room made before the first byte, when the service tells the length.
const BODY_BYTES_USUAL: usize = 4 * 1024 * 1024;

/// Where the leaves of one page are put for the one who asked for it.
#[derive(Debug, Clone, Default)]
pub(in crate::store::dynamodb) struct PageSlot(Arc<Mutex<Option<Vec<Leaf>>>>);

impl PageSlot {
    fn put(&self, leaves: Option<Vec<Leaf>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = leaves;
    }

    /// The leaves, when the page was read on its way; `None` when the SDK has its items.
    pub(in crate::store::dynamodb) fn take(&self) -> Option<Vec<Leaf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reads the pages of one request, and checks that their bodies are what the service sent.
#[derive(Debug)]
pub(in crate::store::dynamodb) struct PageInterceptor {
    /// `None` leaves the items to the SDK.
    pub(in crate::store::dynamodb) reader: Option<Arc<PageReader>>,
    /// Where leaves are put.
    pub(in crate::store::dynamodb) slot: PageSlot,
}

impl Intercept for PageInterceptor {
    fn name(&self) -> &'static str {
        "PageInterceptor"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A try before this one may have left something.
        self.slot.put(None);
        let response = context.response_mut();
        let is_encoded = response.headers().get("content-encoding").is_some_and(|encoding| encoding != "identity");
        if !response.status().is_success() || is_encoded {
            return Ok(());
        }
        let checksum = response.headers().get(CHECKSUM_HEADER).map(str::to_owned);
        let length = response.headers().get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        *response.body_mut() = SdkBody::from_body_1_x(PageBody {
            inner: body,
            received: BytesMut::with_capacity(usize::min(length, BODY_BYTES_USUAL)),
            checksum,
            reader: self.reader.clone(),
            slot: self.slot.clone(),
            is_over: false,
        });
        Ok(())
    }
}

/// A body that the service sent otherwise.
#[derive(Debug, thiserror::Error)]
enum DamagedPage {
    #[error("a page was damaged on its way: its checksum is {found}, the service says {told}")]
    Checksum { told: String, found: u64 },
    #[error("a page is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
}

/// Collects a page; when all of it is there, gives what is left of it for the SDK.
///
/// For every piece that comes, one blank goes on to the SDK, which JSON allows before a value: so that its watch over stalled
/// streams sees bytes flow.
struct PageBody {
    inner: SdkBody,
    received: BytesMut,
    checksum: Option<String>,
    reader: Option<Arc<PageReader>>,
    slot: PageSlot,
    is_over: bool,
}

impl PageBody {
    fn read(&mut self) -> Result<Bytes, DamagedPage> {
        let body = std::mem::take(&mut self.received).freeze();
        if let Some(told) = self.checksum.take() {
            let found = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, &body);
            if found.to_string() != told {
                return Err(DamagedPage::Checksum { told, found });
            }
        }
        match self.reader.as_ref().map(|reader| reader.read(&body)) {
            Some(Ok(Page { leaves, rest })) => {
                self.slot.put(Some(leaves));
                Ok(rest.into())
            }
            Some(Err(_)) | None => Ok(body),
        }
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let piece = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => {
                self.is_over = true;
                return Poll::Ready(Some(self.read().map(Frame::data).map_err(BoxError::from)));
            }
        };
        self.received.extend_from_slice(&piece);
        if self.received.len() > BODY_BYTES_MAX {
            self.is_over = true;
            return Poll::Ready(Some(Err(DamagedPage::TooLong.into())));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}
