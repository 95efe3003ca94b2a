//! Takes the body of a page on its way to the SDK's parser.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;

use super::page::{Page, PageReader};
use crate::model::Leaf;
use crate::store::taken::TakenBody;

/// The header by which DynamoDB proves a body: its CRC-32 as a decimal number. The SDK does not look at it.
const CHECKSUM_HEADER: &str = "x-amz-crc32";

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
        let (reader, slot) = (self.reader.clone(), self.slot.clone());
        let read = move |body| Ok(read(body, checksum, reader.as_deref(), &slot)?);
        *response.body_mut() = TakenBody::of(body, length, Box::new(read));
        Ok(())
    }
}

/// A body that the service sent otherwise.
#[derive(Debug, thiserror::Error)]
#[error("a page was damaged on its way: its checksum is {found}, the service says {told}")]
struct DamagedPage {
    told: String,
    found: u64,
}

/// Checks and reads a whole body; gives what is left of it for the SDK.
fn read(
    body: Bytes,
    checksum: Option<String>,
    reader: Option<&PageReader>,
    slot: &PageSlot,
) -> Result<Bytes, DamagedPage> {
    if let Some(told) = checksum {
        let found = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, &body);
        if found.to_string() != told {
            return Err(DamagedPage { told, found });
        }
    }
    match reader.map(|reader| reader.read(&body)) {
        Some(Ok(Page { leaves, rest })) => {
            slot.put(Some(leaves));
            Ok(rest.into())
        }
        Some(Err(_)) | None => Ok(body),
    }
}
