//! A real Chromium through chromedriver: the WebDriver protocol in plain HTTP calls.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A browser of its own; ended with its driver when dropped.
pub struct Browser {
    driver: Child,
    base: String,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
}

/// Whether this machine has both programs.
pub fn installed() -> bool {
    ["chromium", "chromedriver"].iter().all(|name| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
    })
}

impl Browser {
    pub fn start(javascript: bool) -> Browser {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let profile = tempfile::tempdir().unwrap();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build()
            .into();
        let mut browser = Browser {
            driver,
            base: format!("http://127.0.0.1:{port}"),
            session: String::new(),
            agent,
            _profile: profile,
        };
        browser.wait();
        let mut arguments = vec![
            "--headless".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            // A container's root has no sandbox; the pages are our own.
            "--no-sandbox".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        if !javascript {
            arguments.push("--blink-settings=scriptEnabled=false".to_owned());
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made = browser.call("/session", Some(&wanted));
        browser.session = made["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while self
            .agent
            .get(format!("{}/status", self.base))
            .call()
            .is_err()
        {
            assert!(Instant::now() < end, "chromedriver does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn call(&self, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.base);
        let mut answer = match body {
            Some(body) => self
                .agent
                .post(&url)
                .header("content-type", "application/json")
                .send(body.to_string()),
            None => self.agent.get(&url).call(),
        }
        .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{path}: {text}");
        serde_json::from_str::<Value>(&text).unwrap()["value"].take()
    }

    fn of_session(&self, path: &str, body: &Value) -> Value {
        self.call(&format!("/session/{}{path}", self.session), Some(body))
    }

    pub fn open(&self, url: &str) {
        self.of_session("/url", &json!({"url": url}));
    }

    /// The value of a script's `return`; a promise is awaited.
    pub fn js(&self, script: &str, arguments: &[Value]) -> Value {
        self.of_session(
            "/execute/sync",
            &json!({"script": script, "args": arguments}),
        )
    }

    /// The pointer goes there (CSS pixels of the window), in two moves: the first one only comes in.
    pub fn point(&self, (x, y): (f64, f64)) {
        self.pointer(&[go(x - 3.0, y), go(x, y)]);
    }

    /// Presses there, moves, lets go.
    pub fn drag(&self, from: (f64, f64), to: (f64, f64)) {
        let half = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        self.pointer(&[
            go(from.0, from.1),
            json!({"type": "pause", "duration": 300}),
            json!({"type": "pointerDown", "button": 0}),
            json!({"type": "pause", "duration": 300}),
            go(half.0, half.1),
            json!({"type": "pause", "duration": 300}),
            go(to.0, to.1),
            json!({"type": "pause", "duration": 300}),
            json!({"type": "pointerUp", "button": 0}),
        ]);
    }

    /// Twice at once there.
    pub fn double_click(&self, (x, y): (f64, f64)) {
        let (down, up) = (
            json!({"type": "pointerDown", "button": 0}),
            json!({"type": "pointerUp", "button": 0}),
        );
        self.pointer(&[go(x, y), down.clone(), up.clone(), down, up]);
    }

    /// Clicks what an XPath finds, brought into view; fails if it is not there or lies under something.
    pub fn click(&self, xpath: &str) {
        let found = self.of_session("/element", &json!({"using": "xpath", "value": xpath}));
        let id = found.as_object().unwrap().values().next().unwrap();
        let path = format!("/element/{}/click", id.as_str().unwrap());
        self.of_session(&path, &json!({}));
    }

    fn pointer(&self, actions: &[Value]) {
        let mouse = json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions});
        self.of_session("/actions", &json!({"actions": [mouse]}));
    }

    pub fn focus(&self, selector: &str) {
        self.js(
            "document.querySelector(arguments[0]).focus(); return 0",
            &[json!(selector)],
        );
    }

    /// A key of what has the focus: a character, or WebDriver's code of a key.
    pub fn press(&self, key: &str) {
        self.keys(&[down(key), up(key)]);
    }

    pub fn press_with_shift(&self, key: &str) {
        const SHIFT: &str = "\u{e008}";
        self.keys(&[down(SHIFT), down(key), up(key), up(SHIFT)]);
    }

    fn keys(&self, actions: &[Value]) {
        let keys = json!({"type": "key", "id": "keys", "actions": actions});
        self.of_session("/actions", &json!({"actions": [keys]}));
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        self.of_session(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        );
    }

    /// Size of the page, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
    }

    /// Size of the window itself: the pointer goes nowhere outside of it, whatever [`Browser::resize`] says.
    pub fn window(&self, width: u32, height: u32) {
        self.of_session("/window/rect", &json!({"width": width, "height": height}));
    }

    pub fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": value}]}),
        );
    }

    /// What the console said since the last call, warnings and errors only.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.of_session("/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().unwrap().iter();
        entries
            .filter(|e| matches!(e["level"].as_str(), Some("SEVERE" | "WARNING")))
            .map(|e| e["message"].to_string())
            .collect()
    }

    /// Addresses of other hosts asked for since the last call.
    pub fn foreign(&self, base: &str) -> Vec<String> {
        // The last two are the browser's own first page, which may still be loading; no page may ask for them.
        let own = ["data:", "about:", "chrome:", "chrome-untrusted:"];
        let is_ours = |url: &str| url.starts_with(base) || own.iter().any(|of| url.starts_with(of));
        let mut asked = self.requests();
        asked.retain(|url| !is_ours(url));
        asked
    }

    fn requests(&self) -> Vec<String> {
        let log = self.of_session("/se/log", &json!({"type": "performance"}));
        let entries = log.as_array().unwrap().iter();
        entries
            .filter_map(|e| serde_json::from_str::<Value>(e["message"].as_str()?).ok())
            .filter(|m| m["message"]["method"] == "Network.requestWillBeSent")
            .filter_map(|m| {
                let url = m["message"]["params"]["request"]["url"].as_str()?;
                Some(url.to_owned())
            })
            .collect()
    }
}

fn go(x: f64, y: f64) -> Value {
    json!({"type": "pointerMove", "duration": 50, "x": x.round() as i64, "y": y.round() as i64})
}

fn down(key: &str) -> Value {
    json!({"type": "keyDown", "value": key})
}

fn up(key: &str) -> Value {
    json!({"type": "keyUp", "value": key})
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let url = format!("{}/session/{}", self.base, self.session);
            let _ = self.agent.delete(&url).call();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A script that returns the serious findings of axe-core on the page that is open; `None`, said loudly, where
/// scripts/setup-test-tools has not fetched it.
pub fn axe() -> Option<String> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools");
    let Ok(axe) = std::fs::read_to_string(tools.join("axe/package/axe.min.js")) else {
        eprintln!("SKIPPED: axe-core is not in .tools (scripts/setup-test-tools)");
        return None;
    };
    Some(format!(
        "{axe};\nreturn axe.run(document, {{resultTypes: ['violations']}}).then(r => r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical').map(v => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 2).map(n => n.html.slice(0, 160)).join(' | ')))"
    ))
}
