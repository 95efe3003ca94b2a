//! The whole session led by one command: `run --headless --yes`.

use serde_json::json;

use crate::rig::{DR, Home, PRIMARY, Regions, TABLE, now, reading};

fn profile(regions: &Regions, struck: bool, policy: &str) -> String {
    let (times, base) = match struck {
        true => (format!("disaster_at = {}\n", now()), "base = { checkpoint = \"step\" }\n"),
        false => (String::new(), ""),
    };
    let [primary, dr] = TABLE;
    format!(
        "name = \"p\"\n{times}{}[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\nprimary = {{ table = \"{primary}\" }}\n\
         dr = {{ table = \"{dr}\" }}\n{base}policy = {{ {policy} }}\n[freeze]\ncommand = [\"true\"]\n\
         negative_write_test = [\"false\"]\n[cutover]\nhosted_zone = \"{}\"\nstages = [50, 100]\nhold_seconds = 0\n\
         record = {{ name = \"app.example.com\", type = \"A\", primary = \"primary\", dr = \"dr\" }}\n",
        regions.sides(),
        regions.zone,
    )
}

async fn struck(regions: &Regions) -> Home {
    let home = Home::new();
    for side in [PRIMARY, DR] {
        for at in 1..=20 {
            regions.put(side, reading("a", at, "seeded")).await;
        }
    }
    home.write("p.toml", &profile(regions, false, ""));
    home.run("checkpoint p.toml --name step").exits(0);
    home.write("p.toml", &profile(regions, true, ""));
    regions.put(DR, reading("a", 1, "by dr")).await;
    regions.put(DR, reading("a", 100, "by dr")).await;
    home
}

fn actions(document: &serde_json::Value) -> Vec<(String, u64)> {
    let actions = document["actions"].as_array().expect("actions").iter();
    let pair = |action: &serde_json::Value| {
        (action["action"].as_str().expect("a name").to_owned(), action["exit_code"].as_u64().expect("a code"))
    };
    actions.map(pair).collect()
}

#[tokio::test]
async fn a_led_session_comes_home_by_itself() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run("run p.toml --headless").exits(2).says("--yes");
    let led = home.run("run p.toml --headless --yes --json").exits(0).json();
    let wanted = ["check", "plan", "replay --apply", "replay --apply", "verify", "cutover", "verify"];
    assert_eq!(actions(&led), wanted.map(|name| (name.to_owned(), 0)), "{led}");
    assert_eq!(regions.rows(PRIMARY).await, regions.rows(DR).await);
    let [primary, dr] = regions.weights().await;
    assert!(primary > 0 && dr == 0, "{primary}/{dr}");
    // Home already: nothing is left to do, and nothing is done again.
    let again = home.run("run p.toml --headless --yes --json").exits(0).json();
    assert_eq!(again["actions"], json!([]), "{again}");
}

#[tokio::test]
async fn a_led_session_stops_for_a_person_and_goes_on_after() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    regions.put(PRIMARY, reading("a", 2, "by primary")).await;
    regions.put(DR, reading("a", 2, "by dr")).await;
    let before = regions.rows(PRIMARY).await;
    for _ in 0..2 {
        let stopped = home.run("run p.toml --headless --yes --json").exits(3).json();
        assert_eq!(actions(&stopped).last(), Some(&("plan".to_owned(), 3)), "{stopped}");
        assert_eq!(regions.rows(PRIMARY).await, before, "nothing is written before the person decided");
    }
    assert_eq!(regions.weights().await, [0, 100]);
    home.write("p.toml", &home.read("p.toml").replace("policy = {  }", "policy = { conflict = \"dr-wins\" }"));
    home.run("run p.toml --headless --yes").exits(0).prints("DONE");
    assert_eq!(regions.rows(PRIMARY).await, regions.rows(DR).await);
    let [primary, dr] = regions.weights().await;
    assert!(primary > 0 && dr == 0, "{primary}/{dr}");
}
