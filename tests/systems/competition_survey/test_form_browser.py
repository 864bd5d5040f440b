"""The form in a real browser: by keyboard alone, on a phone, from a mail, without script."""

import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from assay.parts.databases import open_database
from assay.systems.competition_survey.schema import METADATA
from assay.systems.competition_survey.settings import make_survey
from assay.systems.competition_survey.storage import Storage
from systems.competition_survey.served import INSTRUMENT, Server

pytestmark = [pytest.mark.web, pytest.mark.filterwarnings("ignore::ResourceWarning")]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")


class Browser:
    """Chromium with a profile of its own, driven by keys."""

    def __init__(self, profile, width=1280, dark=False, script=True):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(word)
        options.add_argument(f"--user-data-dir={profile}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(DRIVER))
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.tell("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", features=[scheme])
        self.tell("Emulation.setScriptExecutionDisabled", value=not script)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def tell(self, what, **given):
        self.driver.execute_cdp_cmd(what, given)

    def open(self, address):
        self.driver.get(address)

    def run(self, script, *given):
        return self.driver.execute_script(script, *given)

    @property
    def path(self):
        return re.sub(r"^https?://[^/]*", "", self.driver.current_url)

    @property
    def text(self):
        return self.run("return document.body.innerText")

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def tab_to(self, **wanted):
        """Press Tab until an element with these properties has the focus, and see that it shows."""
        from selenium.webdriver.common.keys import Keys

        for _ in range(60):
            self.press(Keys.TAB)
            found = self.run(
                "const e = document.activeElement, box = e.closest('.option, .scale label') || e;"
                "const seen = [e, box].some(x => getComputedStyle(x).outlineStyle !== 'none');"
                "return [e.name || '', e.value || '', e.innerText || '', seen]"
            )
            assert found[3], f"the focus cannot be seen on {found}"
            shown = dict(zip(("name", "value", "text"), found, strict=False))
            if all(shown[key] == value for key, value in wanted.items()):
                return
        raise AssertionError(f"Tab does not reach {wanted}")

    def wait_for(self, place):
        """Wait until a page of the survey is there, named by its path or by its whole address."""
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 20).until(
            lambda driver: (
                place in (self.path, driver.current_url)
                and driver.find_elements(By.CSS_SELECTOR, "main")
            )
        )


@pytest.fixture
def browser(tmp_path):
    """Opens browsers; several with one profile are one after the other the same browser."""
    if not CHROMIUM or not DRIVER:
        pytest.skip("needs a browser (on Debian: apt-get install chromium chromium-driver)")
    return lambda name="profile", **given: Browser(tmp_path / name, **given)


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "survey"
    make_survey(folder, title="How did you take part?", mode="closed")
    (folder / "instrument.yaml").write_text(INSTRUMENT)
    (folder / "competitions.csv").write_text("competition,team,rank\nPolyps,Alpha,1\n")
    with Server(folder) as running:
        yield running


def invitation(server, team="Alpha"):
    database = open_database(server.folder / "survey.sqlite", METADATA)
    token = Storage(database).invite("Polyps", team)
    database.close()
    return f"{server.address}/enter?token={token}"


def kept(server):
    database = open_database(server.folder / "survey.sqlite", METADATA)
    found = Storage(database).everyone()
    database.close()
    assert len(found) == 1
    return found[0]


def test_the_whole_form_by_keyboard_alone(server, browser):
    from selenium.webdriver.common.keys import Keys

    with browser() as one:
        one.open(invitation(server))
        one.wait_for("/")
        one.tab_to(text="Begin")
        one.press(Keys.ENTER)
        one.wait_for("/section/general")
        one.tab_to(name="size")
        one.press("600")
        one.press(Keys.ENTER)
        one.tab_to(text="Your role — Please answer this")
        one.press(Keys.ENTER)
        assert one.run("return document.activeElement.name") == "role"
        one.press(Keys.SPACE)
        one.tab_to(name="size")
        one.press("4")  # Tab has selected what stood there
        one.tab_to(text="Save and continue")
        one.press(Keys.ENTER)
        one.wait_for("/section/method")
        one.tab_to(name="reasons", value="prize")
        one.press(Keys.SPACE)
        one.tab_to(name="deep")
        one.press(Keys.SPACE)
        one.tab_to(name="arch")
        one.press(Keys.ARROW_DOWN)
        one.tab_to(name="layers")
        one.press("12")
        one.tab_to(name="remarks")
        one.press("all by keys")
        one.tab_to(text="Save and review")
        one.press(Keys.ENTER)
        one.wait_for("/review")
        one.tab_to(text="Submit your answers")
        one.press(Keys.ENTER)
        one.wait_for("/thanks")
        log = [e["message"] for e in one.driver.get_log("browser") if "422" not in e["message"]]

    assert not log
    assert kept(server).answers == {
        "role": "lead", "size": 4, "reasons": ["prize"], "deep": True, "arch": "own",
        "layers": 12, "remarks": "all by keys",
    }  # fmt: skip


def test_after_closing_the_browser_one_goes_on_where_one_was(server, browser):
    with browser() as one:
        link = invitation(server)
        one.open(link)
        one.wait_for("/")
        assert "token" not in one.run("return JSON.stringify(performance.getEntries())")
        one.open(f"{server.address}/section/general")
        one.run("document.forms.section.size.value = '7'")
        one.run("document.querySelector('button[value=later]').click()")
        assert "Saved" in one.text

    with browser() as again:
        again.open(f"{server.address}/")
        assert "Welcome back" in again.text
        again.open(f"{server.address}/section/general")
        assert again.run("return document.forms.section.size.value") == "7"


def test_on_a_phone_nothing_is_wider_than_the_screen_and_targets_are_large(server, browser):
    link = invitation(server)
    for width in (390, 320):
        with browser(width=width) as one:
            one.open(server.address)
            pages = ["/", "/section/general", "/section/method", "/review"]
            one.open(link)
            one.wait_for("/")
            for page in pages:
                one.open(server.address + page)
                assert one.run("return document.documentElement.scrollWidth") <= width, page
                small = one.run(
                    "return [...document.querySelectorAll('button, .option, .scale label, "
                    "input[type=text], select, .sections a')].filter(e => e.offsetParent)"
                    ".filter(e => e.getBoundingClientRect().height < 44).map(e => e.outerHTML)"
                )
                assert not small


def test_the_script_hides_what_does_not_apply_and_keeps_exclusive_options_alone(server, browser):
    hidden = "return document.getElementById('q-' + arguments[0]).offsetParent === null"
    click = "document.querySelector(`input[name=${arguments[0]}][value=${arguments[1]}]`).click()"
    ticked = (
        "return [...document.querySelectorAll('input[name=held_back]:checked')].map(e=>e.value)"
    )
    with browser() as one:
        one.open(invitation(server))
        one.wait_for("/")
        one.open(f"{server.address}/section/method")
        assert one.run(hidden, "arch")
        assert one.run(hidden, "layers")
        one.run(click, "deep", "true")
        assert not one.run(hidden, "arch")
        one.run(click, "arch", "own")
        assert not one.run(hidden, "layers")
        one.run(click, "deep", "false")
        assert one.run(hidden, "arch")
        assert one.run(hidden, "layers")
        assert one.run("return document.querySelector('.only').offsetParent === null")

        one.run(click, "held_back", "time")
        one.run(click, "held_back", "data")
        assert one.run(ticked) == ["time", "data"]
        one.run(click, "held_back", "none")
        assert one.run(ticked) == ["none"]
        one.run(click, "held_back", "time")
        assert one.run(ticked) == ["time"]


def test_without_script_all_is_there_and_says_when_it_applies(server, browser):
    from selenium.webdriver.common.by import By

    with browser(script=False) as one:
        one.open(invitation(server))
        one.wait_for("/")
        one.open(f"{server.address}/section/general")
        one.driver.find_element(By.CSS_SELECTOR, "input[value=lead]").click()
        one.driver.find_element(By.NAME, "size").send_keys("4")
        one.driver.find_element(By.CSS_SELECTOR, "button.main").click()
        one.wait_for("/section/method")
        assert one.driver.find_element(By.ID, "q-arch").is_displayed()
        assert one.driver.find_element(By.ID, "f-arch-only").is_displayed()
        one.driver.find_element(By.CSS_SELECTOR, "input[value=prize]").click()
        one.driver.find_element(By.CSS_SELECTOR, "input[name=deep][value=false]").click()
        one.driver.find_element(By.CSS_SELECTOR, "input[name=arch][value=own]").click()
        one.driver.find_element(By.CSS_SELECTOR, "button.main").click()
        one.wait_for("/review")
        one.driver.find_element(By.CSS_SELECTOR, "button.main").click()
        one.wait_for("/thanks")

    assert "arch" not in kept(server).answers


@pytest.fixture
def elsewhere():
    """A page of another site; its text may be set."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"<!doctype html><link rel=icon href=data:,>{self.server.text}".encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        site.address = f"http://localhost:{site.server_port}/"  # not the site of 127.0.0.1
        yield site
        site.shutdown()


def test_a_link_in_a_web_mail_lets_in_and_later_finds_the_same_person(server, browser, elsewhere):
    elsewhere.text = f"<a id=a href='{invitation(server)}'>survey</a>"
    with browser() as one:
        one.open(elsewhere.address)
        one.run("document.getElementById('a').click()")
        one.wait_for(f"{server.address}/")  # the other site's path is / as well
        assert "Alpha" in one.text
        cookie = one.driver.get_cookies()

        elsewhere.text = f"<a id=a href='{server.address}/section/general'>go on</a>"
        one.open(elsewhere.address)
        one.run("document.getElementById('a').click()")
        one.wait_for("/section/general")
        assert "Alpha" in one.text
        assert one.driver.get_cookies() == cookie
        assert cookie[0]["httpOnly"]
        assert cookie[0]["sameSite"] == "Strict"
        assert one.run("return document.cookie") == ""


def test_another_site_can_neither_send_the_form_nor_frame_it(server, browser, elsewhere):
    with browser() as one:
        one.open(invitation(server))
        one.wait_for("/")
        one.open(f"{server.address}/section/general")
        csrf = one.run("return document.forms.section.csrf.value")
        elsewhere.text = (
            f"<form method=post action='{server.address}/section/general'>"
            f"<input name=csrf value={csrf}><input name=size value=66></form>"
            f"<iframe src='{server.address}/'></iframe>"
        )
        one.open(elsewhere.address)
        framed = one.run("return document.querySelector('iframe').contentDocument === null")
        assert framed
        one.run("document.forms[0].submit()")
        one.wait_for("/section/general")
        assert "another site" in one.text

    assert kept(server).draft == {}


CONTRAST = """
const light = c => { const [r, g, b] = c.map(v => v / 255).map(v =>
  v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const parts = c => c.match(/[\\d.]+/g).map(Number);
const behind = e => { for (; e; e = e.parentElement) {
  const c = parts(getComputedStyle(e).backgroundColor);
  if (c.length < 4 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
return [...document.querySelectorAll('body *')].filter(e => e.offsetParent &&
  [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
    const [a, b] = [light(parts(getComputedStyle(e).color).slice(0, 3)), light(behind(e))];
    return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.tagName, e.innerText.slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read_in_light_and_dark(server, browser, dark):
    link = invitation(server)
    with browser(dark=dark) as one:
        one.open(server.address)
        assert one.run(CONTRAST) == []
        one.open(link)
        one.wait_for("/")
        for page in ("/", "/section/general", "/section/method", "/review"):
            one.open(server.address + page)
            assert one.run(CONTRAST) == []
        one.open(f"{server.address}/section/general")
        one.run("document.querySelector('button.main').click()")
        assert json.dumps(one.run(CONTRAST)) == "[]"
        assert "need your attention" in one.text
