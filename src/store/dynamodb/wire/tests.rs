//! Both ways of reading a page, through the SDK: one client whose service is a script.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue as A, KeyType};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use proptest::prelude::*;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::{PageInterceptor, PageReader, PageSlot};
use crate::model::Leaf;
use crate::store::dynamodb::format::{ItemFormat, KeyAttribute};

type Row = HashMap<String, A>;

/// What the service answers, and the body of the last request.
#[derive(Debug, Clone, Default)]
struct Script {
    headers: Vec<(&'static str, String)>,
    body: Arc<Mutex<Vec<u8>>>,
    asked: Arc<Mutex<Vec<u8>>>,
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        *self.asked.lock().expect("asked") = request.body().bytes().expect("bytes in memory").to_vec();
        let body = self.body.lock().expect("a body").clone();
        let mut response = HttpResponse::new(200.try_into().expect("a status"), SdkBody::from(body));
        for (name, value) in &self.headers {
            response.headers_mut().insert(*name, value.clone());
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

struct Desk {
    runtime: tokio::runtime::Runtime,
    client: Client,
    script: Script,
    format: ItemFormat,
    reader: Arc<PageReader>,
}

impl Desk {
    fn new(headers: &[(&'static str, String)]) -> Desk {
        let script = Script { headers: headers.to_vec(), ..Script::default() };
        let connector = script.clone();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url("http://127.0.0.1:1")
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone())))
            .build();
        let part = |name: &str, scalar_type: &str, role| KeyAttribute {
            name: name.into(),
            scalar_type: scalar_type.into(),
            role,
        };
        let key = vec![part("id", "S", KeyType::Hash), part("at", "N", KeyType::Range)];
        Desk {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
            client: Client::from_conf(config),
            script,
            reader: Arc::new(PageReader::new(&key)),
            format: ItemFormat {
                subject: "table lines on dr".into(),
                key,
                ttl_attribute: None,
                ttl_elsewhere: None,
                version_attribute: None,
                clock: None,
            },
        }
    }

    /// An item as the SDK writes it.
    fn written(&self, row: Row) -> String {
        *self.script.body.lock().expect("a body") = b"{}".to_vec();
        let request = self.client.put_item().table_name("lines").set_item(Some(row));
        self.runtime.block_on(request.send()).expect("a put");
        let asked = self.script.asked.lock().expect("asked").clone();
        let asked: HashMap<String, Box<RawValue>> = serde_json::from_slice(&asked).expect("JSON");
        asked["Item"].get().to_owned()
    }

    /// The page as the SDK hands it out, and the leaves where they were read on the way.
    fn scan(&self, page: &str, reader: Option<Arc<PageReader>>) -> Result<(ScanOutput, Option<Vec<Leaf>>), String> {
        *self.script.body.lock().expect("a body") = page.as_bytes().to_vec();
        let slot = PageSlot::default();
        let request = self.client.scan().table_name("lines").customize();
        let request = request.interceptor(PageInterceptor { reader, slot: slot.clone() });
        let reply = self.runtime.block_on(request.send()).map_err(|error| format!("{error:?}"))?;
        Ok((reply, slot.take()))
    }

    fn by_the_sdk(&self, page: &str) -> Vec<Leaf> {
        let (reply, leaves) = self.scan(page, None).expect("a page");
        assert_eq!(leaves, None);
        reply.items.unwrap_or_default().into_iter().map(|item| self.format.leaf(item).expect("a leaf")).collect()
    }

    fn on_the_way(&self, page: &str) -> Vec<Leaf> {
        let (reply, leaves) = self.scan(page, Some(self.reader.clone())).expect("a page");
        assert!(reply.items.is_none(), "the SDK is left without the items");
        leaves.expect("a plain page")
    }
}

fn page(items: &[String]) -> String {
    let count = items.len();
    format!(r#"{{"Count":{count},"Items":[{}],"ScannedCount":{count}}}"#, items.join(","))
}

fn digits() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[1-9][0-9]{0,37}",
        "-?0\\.[0-9]{1,38}",
        "-?[0-9]{1,19}\\.[0-9]{1,19}",
        "[-+]?[0-9]{1,38}[eE][-+]?[0-9]{1,2}",
        Just("1E-130".to_owned()),
        Just("9.9999999999999999999999999999999999999E+125".to_owned()),
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ".*", "[a-z0-9 ]{0,40}", "[\"\\\\/\u{8}\u{c}\n\r\t\0\u{1f600}\u{e9}]{0,12}"]
}

fn blobs() -> impl Strategy<Value = Blob> {
    prop::collection::vec(any::<u8>(), 0..24).prop_map(Blob::new)
}

fn attributes() -> impl Strategy<Value = A> {
    let leaf = prop_oneof![
        texts().prop_map(A::S),
        digits().prop_map(A::N),
        blobs().prop_map(A::B),
        any::<bool>().prop_map(A::Bool),
        Just(A::Null(true)),
        prop::collection::vec(texts(), 0..6).prop_map(A::Ss),
        prop::collection::vec(digits(), 0..6).prop_map(A::Ns),
        prop::collection::vec(blobs(), 0..6).prop_map(A::Bs),
    ];
    leaf.prop_recursive(5, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(A::L),
            prop::collection::hash_map(texts(), inner, 0..5).prop_map(A::M),
        ]
    })
}

fn rows() -> impl Strategy<Value = Row> {
    let name = prop_oneof![texts(), "aws:rep:[a-z]{1,5}", "[a-z]{1,3}"];
    (texts(), digits(), prop::collection::hash_map(name, attributes(), 0..8)).prop_map(|(id, at, mut row)| {
        row.insert("id".into(), A::S(id));
        row.insert("at".into(), A::N(at));
        row
    })
}

/// The same JSON with blanks between its tokens, its members backwards, and only ASCII characters in its strings.
fn respelled(json: &str) -> String {
    fn spell(json: &Json, out: &mut String) {
        let text = |text: &str| {
            let quoted = serde_json::to_string(text).expect("JSON");
            let unit = |unit: &u16| format!("\\u{unit:04X}");
            let spell = |c: char| match c.is_ascii() {
                true => c.to_string(),
                false => c.encode_utf16(&mut [0; 2]).iter().map(unit).collect(),
            };
            quoted.chars().map(spell).collect::<String>()
        };
        match json {
            Json::Object(members) => {
                let members = members.iter().rev().map(|(name, value)| {
                    let mut member = format!("\n {} :\t", text(name));
                    spell(value, &mut member);
                    member
                });
                out.push_str(&format!("{{{} }}", members.collect::<Vec<_>>().join(" ,")));
            }
            Json::Array(elements) => {
                let elements = elements.iter().map(|element| {
                    let mut spelled = String::from("\r\n");
                    spell(element, &mut spelled);
                    spelled
                });
                out.push_str(&format!("[{} ]", elements.collect::<Vec<_>>().join(" ,")));
            }
            // A quote or backslash may not be escaped in base64: plain strings stay plain.
            Json::String(string) => out.push_str(&text(string)),
            other => out.push_str(&other.to_string()),
        }
    }
    let mut out = String::from("  ");
    spell(&serde_json::from_str(json).expect("JSON"), &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn both_ways_give_the_same_leaves(rows in prop::collection::vec(rows(), 0..5)) {
        let desk = Desk::new(&[]);
        let items: Vec<String> = rows.into_iter().map(|row| desk.written(row)).collect();
        let page = page(&items);
        let expected = desk.by_the_sdk(&page);
        prop_assert_eq!(expected.len(), items.len());
        prop_assert_eq!(&desk.on_the_way(&page), &expected);
        let respelled = respelled(&page);
        prop_assert_eq!(&desk.by_the_sdk(&respelled), &expected);
        prop_assert_eq!(&desk.on_the_way(&respelled), &expected);
    }

    /// A page with one byte changed, dropped or doubled is read alike on both ways, or on neither.
    #[test]
    fn damage_never_makes_the_ways_differ(row in rows(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let desk = Desk::new(&[]);
        let mut page = page(&[desk.written(row)]).into_bytes();
        let at = at.index(page.len());
        match how {
            0 => page[at] = byte,
            1 => drop(page.remove(at)),
            _ => page.insert(at, page[at]),
        }
        if let Ok(page) = String::from_utf8(page)
            && let Ok((reply, Some(leaves))) = desk.scan(&page, Some(desk.reader.clone()))
        {
            let (by_the_sdk, _) = desk.scan(&page, None).expect("what is read on the way is read by the SDK");
            prop_assert_eq!(reply.count, by_the_sdk.count);
            prop_assert_eq!(reply.last_evaluated_key, by_the_sdk.last_evaluated_key);
            let items = by_the_sdk.items.unwrap_or_default().into_iter();
            prop_assert_eq!(leaves, items.map(|item| desk.format.leaf(item).expect("a leaf")).collect::<Vec<_>>());
        }
    }
}

#[test]
fn count_and_last_key_reach_the_sdk() {
    let desk = Desk::new(&[]);
    let page = r#"{"Items":[{"id":{"S":"\"}"},"at":{"N":"2"}}],"Count":1,"LastEvaluatedKey":{"at":{"N":"2"},"id":{"S":"\"}"}}}"#;
    let (reply, leaves) = desk.scan(page, Some(desk.reader.clone())).expect("a page");
    assert_eq!(leaves.map(|leaves| leaves.len()), Some(1));
    assert_eq!((reply.count, reply.items), (1, None));
    let key = HashMap::from([("at".to_owned(), A::N("2".into())), ("id".to_owned(), A::S("\"}".into()))]);
    assert_eq!(reply.last_evaluated_key, Some(key));
}

#[test]
fn a_page_that_is_not_plain_reaches_the_sdk_whole() {
    let desk = Desk::new(&[]);
    let page = r#"{"Items":[{"id":{"S":"a"},"at":{"N":"1"},"x":{"NOVEL":[1]}}],"Count":1}"#;
    let (reply, leaves) = desk.scan(page, Some(desk.reader.clone())).expect("a page");
    assert_eq!(leaves, None);
    assert!(reply.items.is_some_and(|items| items[0]["x"].is_unknown()));
    for broken in ["", "{", r#"{"Items":[{"id":{"S":"a"},"at":{"N":"1"}}"#] {
        let by_the_sdk = desk.scan(broken, None).map(|_| ());
        assert_eq!(desk.scan(broken, Some(desk.reader.clone())).map(|_| ()).is_err(), by_the_sdk.is_err(), "{broken}");
    }
}

#[test]
fn a_body_that_its_checksum_does_not_prove_is_no_page() {
    let page = r#"{"Items":[{"id":{"S":"a"},"at":{"N":"1"}}],"Count":1}"#;
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, page.as_bytes());
    let header = |value: u64| ("x-amz-crc32", value.to_string());
    let desk = Desk::new(&[header(checksum)]);
    assert_eq!(desk.on_the_way(page), desk.by_the_sdk(page));
    for wrong in [header(checksum ^ 1), ("x-amz-crc32", "novel".to_owned())] {
        let desk = Desk::new(&[wrong]);
        for reader in [None, Some(desk.reader.clone())] {
            let error = desk.scan(page, reader).expect_err("not what was sent");
            assert!(error.contains("DamagedPage"), "{error}");
        }
    }
}

#[test]
fn an_encoded_body_is_left_to_the_sdk() {
    let desk = Desk::new(&[("content-encoding", "gzip".to_owned()), ("x-amz-crc32", "1".to_owned())]);
    assert!(desk.scan("\u{1f}not JSON", Some(desk.reader.clone())).is_err());
}
