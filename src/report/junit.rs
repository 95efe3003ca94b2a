//! The report as test results, so that CI shows every store: a pass is certified parity, and nothing else is.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::ReportContext;
use super::standing::{Proof, Standing};
use super::store_standing::{StoreStanding, all_stores};
use super::verdict::{too_old, verdict};
use super::words::{duration, time, unplain};
use crate::model::StoreId;
use crate::session::{CertificateFound, SessionState};
use crate::verify::FenceKind;

/// The report in JUnit's XML.
///
/// # Errors
///
/// [`SerializeError`] when XML cannot be made of it.
pub fn junit(state: &SessionState, context: &ReportContext) -> Result<String, SerializeError> {
    let standing = Standing::of(state);
    let answer = verdict(state, context);
    let mut suite = TestSuite::new(format!("failback {}", context.profile));
    suite.add_property(("session", context.session.as_str()));
    suite.add_property(("generated_at", context.generated_at.to_string().as_str()));
    suite.add_property(("can_cut_over", if answer.can_cut_over { "true" } else { "false" }));
    suite.add_property(("sentence", answer.sentence.as_str()));
    suite.add_property(("loss", answer.loss.as_str()));
    for store in all_stores(state, context) {
        suite.add_test_case(store_case(state, context, &standing, &store));
    }
    for (name, status) in [("fence", fence(state)), ("certificate", certificate(state, context, &standing))] {
        let mut case = TestCase::new(name, status);
        case.set_classname(format!("{}.session", context.profile));
        suite.add_test_case(case);
    }
    let mut report = Report::new(format!("failback {}", context.profile));
    report.add_test_suite(suite);
    report.to_string()
}

fn store_case(state: &SessionState, context: &ReportContext, standing: &Standing, store: &StoreId) -> TestCase {
    let found = StoreStanding::of(state, context, standing, store);
    let status = match &found {
        StoreStanding::Certified(_) => TestCaseStatus::success(),
        StoreStanding::Differs(detail) => failure("differs", detail),
        StoreStanding::Unproven(detail) => error("unproven", detail),
        StoreStanding::Incomplete(detail) => error("incomplete", detail),
        StoreStanding::NotCompared => skipped("nobody compared it in this session"),
    };
    let mut case = TestCase::new(store.0.as_str(), status);
    case.set_classname(format!("{}.store", context.profile));
    if let Some((_, comparison)) = state.newest_comparisons().get(store) {
        for (word, items) in comparison.verdicts.words() {
            case.add_property((word, items.to_string().as_str()));
        }
        case.add_property(("delta", comparison.delta.display().to_string().as_str()));
    }
    case
}

fn fence(state: &SessionState) -> TestCaseStatus {
    match &state.fence {
        None => skipped("no proof was tried that writers to dr are stopped"),
        Some(fence) => match fence.kind {
            FenceKind::NegativeWriteTest | FenceKind::Quiet => TestCaseStatus::success(),
            FenceKind::None => failure("not_fenced", &fence.detail),
        },
    }
}

fn certificate(state: &SessionState, context: &ReportContext, standing: &Standing) -> TestCaseStatus {
    if let Proof::Overtaken(why) = &standing.proof {
        return failure("overtaken", &unplain(why));
    }
    let Some(path) = &state.certificate else {
        return skipped("no certificate was issued by the newest verification");
    };
    if let Some(CertificateFound::Unusable(why)) = &context.exhibits.certificate {
        return failure("unusable", &format!("{path}: {why}"));
    }
    if standing.undone {
        return failure("overtaken", "what was replayed was undone");
    }
    if let Some(age) = too_old(state, context) {
        let at = state.verified.as_ref().map_or_else(String::new, |(at, _, _)| format!(" at {}", time(*at)));
        return failure("too_old", &format!("issued{at}, {} ago: verify again", duration(age)));
    }
    TestCaseStatus::success()
}

fn failure(kind: &str, message: &str) -> TestCaseStatus {
    told(TestCaseStatus::non_success(NonSuccessKind::Failure), kind, message)
}

fn error(kind: &str, message: &str) -> TestCaseStatus {
    told(TestCaseStatus::non_success(NonSuccessKind::Error), kind, message)
}

fn told(mut status: TestCaseStatus, kind: &str, message: &str) -> TestCaseStatus {
    status.set_type(kind).set_message(message);
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}
