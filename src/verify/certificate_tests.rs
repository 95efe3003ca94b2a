use super::super::proof::{Expectations, ExpectedStore, ParityProof, Refusal};
use super::super::recompute::recompute;
use super::*;
use crate::digest::CANONICAL_FORMAT;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn identity(id: &str) -> Identity {
    Identity { kind: StoreKind::Memory, resource: format!("memory {id}"), id: id.into(), region: None, account: None }
}

fn side(id: &str, root: u8) -> SideResult {
    SideResult { identity: identity(id), items: 10, root: Digest([root; 32]) }
}

fn body() -> Certificate {
    Certificate {
        format: CERTIFICATE_FORMAT,
        tool_version: "0.1.0".into(),
        profile: "shop".into(),
        session: "s1".into(),
        canonical_format: CANONICAL_FORMAT,
        issued_at: at(1_000),
        window: Window { read_from: at(900), read_until: at(990) },
        at_parity: true,
        stores: vec![StoreResult {
            name: "orders".into(),
            kind: StoreKind::Memory,
            primary: side("p", 1),
            dr: side("d", 1),
            at_parity: true,
            accepted: Vec::new(),
            accepted_total: 0,
            accepted_list: None,
            base: None,
            counters: Some(CountersResult { compared: 1, behind: Vec::new() }),
            not_checked: Vec::new(),
        }],
        fence: FenceEvidence { kind: FenceKind::NegativeWriteTest, at: Some(at(880)), detail: "exit 1".into() },
        not_checked: vec!["caches".into()],
    }
}

fn with_difference() -> Certificate {
    let mut body = body();
    body.stores[0].dr.root = Digest([2; 32]);
    body.stores[0].accepted = vec![AcceptedDifference {
        key: serde_json::json!({"id": "7"}),
        verdict: Verdict::Stranded,
        reason: "policy stranded = keep".into(),
        primary: Some(Digest([3; 32])),
        dr: Some(Digest([4; 32])),
    }];
    body.stores[0].accepted_total = 1;
    body
}

fn expectations(key: &SigningKey) -> Expectations {
    let stores = vec![ExpectedStore { name: "orders".into(), primary: identity("p"), dr: identity("d") }];
    Expectations {
        profile: "shop".into(),
        public_key: key.public(),
        stores,
        now: at(1_010),
        age_max: Duration::from_secs(60),
        overtaken: Vec::new(),
    }
}

fn key() -> SigningKey {
    SigningKey::generate().expect("made")
}

fn file_of(body: &Certificate, key: &SigningKey) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("certificate.json");
    Certificate::sign(body, key).expect("signed").write(&path).expect("written");
    let read = SignedCertificate::read(&path).expect("read").validate().expect("valid");
    assert_eq!(read.certificate(), body);
    fs::read(&path).expect("there")
}

#[test]
fn a_certificate_reads_back_as_it_was_signed() {
    let key = key();
    for body in [body(), with_difference()] {
        let validated = SignedCertificate::parse(&file_of(&body, &key)).expect("parsed").validate().expect("valid");
        assert_eq!(validated.certificate(), &body);
        assert_eq!(validated.public_key(), key.public());
        ParityProof::from_certificate(&validated, &expectations(&key)).expect("taken");
    }
}

#[test]
fn any_byte_altered_in_the_body_or_signature_is_seen() {
    let key = key();
    let file = file_of(&with_difference(), &key);
    let body = Certificate::sign(&with_difference(), &key).expect("signed").body.get().to_owned();
    let start = file.windows(body.len()).position(|window| window == body.as_bytes()).expect("verbatim");
    for index in start..start + body.len() {
        let mut altered = file.clone();
        altered[index] ^= 1;
        let taken = SignedCertificate::parse(&altered).and_then(|signed| signed.validate());
        assert!(taken.is_err(), "byte {index} altered unseen");
    }
    let mut spaced = file.clone();
    spaced.insert(start + 1, b' ');
    let taken = SignedCertificate::parse(&spaced).expect("still JSON").validate();
    assert!(matches!(taken, Err(CertificateError::Signature)));
}

type Alter<T> = fn(&mut T);

#[test]
fn contradictions_are_not_signed() {
    let rows: Vec<(&str, Alter<Certificate>)> = vec![
        ("version", |body| body.format = 2),
        ("no stores", |body| body.stores.clear()),
        ("all was checked", |body| body.not_checked.clear()),
        ("roots differ", |body| body.stores[0].dr.root = Digest([9; 32])),
        ("counts differ", |body| body.stores[0].dr.items = 11),
        ("counter behind", |body| body.stores[0].counters.as_mut().expect("some").behind.push("seq".into())),
        ("same resource", |body| body.stores[0].dr.identity = identity("p")),
        ("other kind", |body| body.stores[0].kind = StoreKind::S3),
        ("not all at parity", |body| body.stores[0].at_parity = false),
        ("named twice", |body| body.stores.push(body.stores[0].clone())),
        ("time runs backwards", |body| body.window.read_until = at(1_001)),
        ("fence without a time", |body| body.fence.at = None),
        ("differences with equal roots", |body| body.stores[0].accepted_total = 1),
    ];
    for (what, alter) in rows {
        let mut body = body();
        alter(&mut body);
        assert!(Certificate::sign(&body, &key()).is_err(), "{what}");
    }
    let rows: Vec<(&str, Alter<StoreResult>)> = vec![
        ("unlisted", |store| store.accepted_total = 2),
        ("unexplained count", |store| store.dr.items = 12),
        ("no difference", |store| store.accepted[0].dr = store.accepted[0].primary),
        ("more listed than counted", |store| store.accepted_total = 0),
    ];
    for (what, alter) in rows {
        let mut body = with_difference();
        alter(&mut body.stores[0]);
        assert!(Certificate::sign(&body, &key()).is_err(), "{what}");
    }
}

#[test]
fn a_proof_is_refused_for_every_reason_there_is() {
    let key = key();
    let refused = |body: &Certificate, alter: fn(&mut Expectations)| {
        let validated = Certificate::sign(body, &key).expect("signed").validate().expect("valid");
        let mut expected = expectations(&key);
        alter(&mut expected);
        ParityProof::from_certificate(&validated, &expected).expect_err("refused").reasons
    };
    let plain = body();
    let overtaken = refused(&plain, |e| e.overtaken.push((at(1_001), "a replay wrote".into())));
    assert!(matches!(overtaken[..], [Refusal::Overtaken { .. }]));
    assert!(matches!(refused(&plain, |e| e.now = at(1_051))[..], [Refusal::Stale { age_seconds: 61, .. }]));
    assert!(matches!(refused(&plain, |e| e.now = at(900))[..], [Refusal::Future { .. }]));
    assert!(matches!(refused(&plain, |e| e.profile = "other".into())[..], [Refusal::OtherProfile(_)]));
    assert!(matches!(
        refused(&plain, |e| e.public_key = SigningKey::generate().expect("made").public())[..],
        [Refusal::OtherKey(_)]
    ));
    assert!(matches!(refused(&plain, |e| e.stores[0].primary.id = "new".into())[..], [Refusal::OtherResource { .. }]));
    assert!(matches!(refused(&plain, |e| e.stores[0].dr.id = "new".into())[..], [Refusal::OtherResource { .. }]));
    assert!(matches!(refused(&plain, |e| e.stores.clear())[..], [Refusal::StoreUnknown(_)]));
    assert!(matches!(
        refused(&plain, |e| e.stores.push(ExpectedStore { name: "x".into(), ..e.stores[0].clone() }))[..],
        [Refusal::StoreMissing(_)]
    ));
    let mut differing = body();
    differing.stores[0].at_parity = false;
    differing.at_parity = false;
    assert!(matches!(refused(&differing, |_| ())[..], [Refusal::NotAtParity(_)]));
    let mut unfenced = body();
    unfenced.fence = FenceEvidence { kind: FenceKind::None, at: None, detail: String::new() };
    assert!(matches!(refused(&unfenced, |_| ())[..], [Refusal::FenceMissing]));
    let mut late = body();
    late.fence.at = Some(at(901));
    assert!(matches!(refused(&late, |_| ())[..], [Refusal::FenceTooLate]));
    let mut foreign = body();
    foreign.canonical_format = 99;
    assert!(matches!(refused(&foreign, |_| ())[..], [Refusal::OtherCanonicalFormat(99)]));
}

#[test]
fn a_missing_manifest_is_never_a_pass() {
    let validated = Certificate::sign(&body(), &key()).expect("signed").validate().expect("valid");
    let folder = tempfile::tempdir().expect("a folder");
    let checks = recompute(&validated, folder.path());
    assert_eq!(checks.len(), 2);
    assert!(checks.iter().all(|check| !check.is_borne_out()));
}
