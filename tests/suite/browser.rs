//! A real headless Chromium, driven over the pipe of its DevTools protocol.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::stat::Mode;
use serde_json::{Value as Json, json};

use crate::peers::left_out;

const PROGRAM: &str = "/usr/bin/chromium";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What the browser must not do by itself, and what it needs to run here.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "about:blank",
];

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// `screen` or `print`.
    pub media: &'static str,
}

/// A browser that ends when this is dropped.
pub struct Browser {
    child: Child,
    commands: File,
    answers: Receiver<Json>,
    session: String,
    last: u64,
    /// What the page complained about, and what it asked of the network.
    pub complaints: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The group, for the browser is many processes.
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts Chromium with one empty page; `None` where it is not installed.
    pub fn start() -> Option<Browser> {
        if !Path::new(PROGRAM).exists() {
            left_out("Chromium");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let pipes = ["commands", "answers"].map(|name| folder.path().join(name));
        for pipe in &pipes {
            nix::unistd::mkfifo(pipe, Mode::S_IRWXU).expect("a pipe");
        }
        // The protocol's pipes are file descriptors 3 and 4.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "commands=$1; answers=$2; shift 2; exec \"$@\" 3<\"$commands\" 4>\"$answers\"", "sh"]);
        command.args(&pipes).arg(PROGRAM).args(FLAGS).arg(format!("--user-data-dir={}", folder.path().display()));
        command.env("HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path()).env("XDG_CACHE_HOME", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().expect("a shell");
        let commands = OpenOptions::new().write(true).open(&pipes[0]).expect("the shell opens it too");
        let answers = heard(File::open(&pipes[1]).expect("the shell opens it too"));
        let (session, complaints) = (String::new(), Vec::new());
        let mut browser = Browser { child, commands, answers, session, last: 0, complaints, _folder: folder };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let targets = self.ask("Target.getTargets", json!({}));
        let targets = targets["targetInfos"].as_array().expect("targets").iter();
        let page = targets.clone().find(|target| target["type"] == "page").expect("a page")["targetId"].clone();
        let attached = self.ask("Target.attachToTarget", json!({ "targetId": page, "flatten": true }));
        self.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.ask(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Shows a file, with everything it complains about.
    pub fn show(&mut self, file: &Path, look: Look) {
        let Look { width, height, scheme, media } = look;
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", screen);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }));
        let url = format!("file://{}", file.display());
        let shown = self.ask("Page.navigate", json!({ "url": url }));
        assert_eq!(shown["errorText"], Json::Null, "{url}");
        while self.next()["method"] != "Page.loadEventFired" {}
    }

    /// What an expression comes to in the page.
    pub fn evaluate(&mut self, expression: &str) -> Json {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", asked);
        assert_eq!(answer["exceptionDetails"], Json::Null, "{expression}");
        answer["result"]["value"].clone()
    }

    /// The page as a PDF document.
    pub fn print(&mut self) -> Vec<u8> {
        let printed = self.ask("Page.printToPDF", json!({ "printBackground": false, "preferCSSPageSize": true }));
        STANDARD.decode(printed["data"].as_str().expect("data")).expect("base64")
    }

    /// A picture of the whole page, for people.
    pub fn picture(&mut self) -> Vec<u8> {
        let taken = self.ask("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        STANDARD.decode(taken["data"].as_str().expect("data")).expect("base64")
    }

    fn ask(&mut self, method: &str, parameters: Json) -> Json {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = Json::from(self.session.as_str());
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let heard = self.next();
            if heard["id"] == self.last {
                assert_eq!(heard["error"], Json::Null, "{method}");
                return heard["result"].clone();
            }
        }
    }

    fn next(&mut self) -> Json {
        let heard = self.answers.recv_timeout(ANSWER_TIMEOUT).expect("the browser answers in time");
        self.complaints.extend(complaint(&heard));
        heard
    }
}

/// The browser's messages, each ended by a zero byte.
fn heard(answers: File) -> Receiver<Json> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(answers).split(0).map_while(Result::ok) {
            let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What a page must not do: write to the console, fail, or load anything but itself.
fn complaint(heard: &Json) -> Option<String> {
    let parameters = &heard["params"];
    match heard["method"].as_str()? {
        "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => Some(parameters.to_string()),
        "Network.requestWillBeSent" if parameters["type"] != "Document" => Some(parameters["request"].to_string()),
        _ => None,
    }
}
