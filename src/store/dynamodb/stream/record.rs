//! One record of a stream as a change of an item.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::types::{AttributeValue as Told, Identity, OperationType, Record};

use super::super::format::ItemFormat;
use super::super::value::{Attributes, ValueError};
use crate::model::{Key, Timestamp};
use crate::store::{ChangeRecord, ErrorKind, Image, Result, StoreError};

/// By whom the time-to-live process signs its deletes: `userIdentity` of a stream record.
const EXPIRY_TYPE: &str = "Service";
const EXPIRY_PRINCIPAL: &str = "dynamodb.amazonaws.com";

/// What a record tells: the key, the change and its sequence number.
pub(super) fn change_of(format: &ItemFormat, record: Record) -> Result<(Key, ChangeRecord, String)> {
    let Record { event_name, dynamodb, user_identity, .. } = record;
    let unreadable =
        |what: &str| StoreError::new(ErrorKind::Unreadable, format!("a stream record of {} {what}", format.subject));
    let body = dynamodb.ok_or_else(|| unreadable("is empty"))?;
    let sequence_number = body.sequence_number.ok_or_else(|| unreadable("has no sequence number"))?;
    let keys = body.keys.ok_or_else(|| unreadable("has no key"))?;
    let key = format.leaf(attributes(format, keys)?)?.key;
    let image = |image: Option<HashMap<String, Told>>| -> Result<Image> {
        // An empty image is how some views say that they keep none.
        let Some(image) = image.filter(|image| !image.is_empty()) else { return Ok(Image::Untold) };
        Ok(Image::Present(format.leaf(attributes(format, image)?)?.digest))
    };
    let (before, after) = (image(body.old_image)?, image(body.new_image)?);
    let (before, after) = match event_name {
        Some(OperationType::Insert) => (Image::Absent, after),
        Some(OperationType::Remove) => (before, Image::Absent),
        Some(OperationType::Modify) => (before, after),
        // What is not known may have been anything.
        _ => (Image::Untold, Image::Untold),
    };
    let at = body.approximate_creation_date_time.and_then(|at| Timestamp::from_second(at.secs()).ok());
    let by_expiry = after == Image::Absent && user_identity.is_some_and(|identity| is_expiry(&identity));
    Ok((key, ChangeRecord { at, before, after, by_expiry }, sequence_number))
}

fn is_expiry(identity: &Identity) -> bool {
    identity.r#type() == Some(EXPIRY_TYPE) && identity.principal_id() == Some(EXPIRY_PRINCIPAL)
}

fn attributes(format: &ItemFormat, told: HashMap<String, Told>) -> Result<Attributes> {
    let read: std::result::Result<Attributes, ValueError> =
        told.into_iter().map(|(name, value)| Ok((name, attribute(value)?))).collect();
    read.map_err(|error| {
        StoreError::caused(ErrorKind::Unreadable, format!("cannot read a stream record of {}", format.subject), error)
    })
}

/// The same value in the table's own terms: the two services have types of their own for it.
fn attribute(value: Told) -> std::result::Result<AttributeValue, ValueError> {
    Ok(match value {
        Told::S(text) => AttributeValue::S(text),
        Told::N(text) => AttributeValue::N(text),
        Told::B(bytes) => AttributeValue::B(bytes),
        Told::Ss(texts) => AttributeValue::Ss(texts),
        Told::Ns(texts) => AttributeValue::Ns(texts),
        Told::Bs(blobs) => AttributeValue::Bs(blobs),
        Told::L(values) => AttributeValue::L(values.into_iter().map(attribute).collect::<std::result::Result<_, _>>()?),
        Told::M(entries) => {
            let entries = entries.into_iter().map(|(name, value)| Ok((name, attribute(value)?)));
            AttributeValue::M(entries.collect::<std::result::Result<_, ValueError>>()?)
        }
        Told::Null(is_null) => AttributeValue::Null(is_null),
        Told::Bool(flag) => AttributeValue::Bool(flag),
        _ => return Err(ValueError::UnknownType),
    })
}
