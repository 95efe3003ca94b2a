//! A Scan page straight from its bytes.
//!
//! Parsing a page into the SDK's attribute values, and those into values, costs several times what hashing it does. Here the
//! body of a successful reply is taken on its way to the SDK's parser ([`intercept`]): every item is written in its
//! canonical form and hashed from the bytes as they came ([`page`]), and the SDK is handed what is left of the page, its
//! count and its last key. Credentials, signing, retries, endpoints and errors stay the SDK's.
//!
//! Nothing is guessed. A page with anything unexpected in it, such as a type of a later day, a name twice or a number that is
//! none, goes to the SDK as it came, and is read as every other reply is. So a page gives the same leaves on both ways or
//! the error of the longer one; tests over random items, written by the SDK itself, prove them equal.

mod canonical;
mod cursor;
mod intercept;
mod page;
#[cfg(test)]
mod tests;

pub(super) use intercept::{PageInterceptor, PageSlot};
pub(super) use page::PageReader;

/// Something that the short way does not read: the page goes the longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NotPlain;
