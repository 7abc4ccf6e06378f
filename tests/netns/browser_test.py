#!/usr/bin/python3
"""A visitor with a real browser: headless Chromium finds a home by its name, reads the portal and clicks its links.

It needs what tests/packages.txt lists. SCREENSHOTS=FOLDER keeps what it looks like.
"""

import base64
import json
import os
import pathlib
import unittest
import urllib.error
import urllib.request

import crafted
import demo
import lab as labs
from lab import HOME, wait_for

PORT = 9515
TITLE, CAMERA = "The page of home 1", "The camera of home 1"
HOSTILE = "<script>document.title='taken over'</script>"
SUBSCRIBER = demo.Demo.subscriber("home1")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key W3C WebDriver gives elements under


class Browser:
    """The part of W3C WebDriver needed here, spoken to chromedriver on the visitor's loopback."""

    def __init__(self, lab):
        self.lab = lab
        lab.start("visitor", "chromedriver", ["chromedriver", f"--port={PORT}"], {"HOME": str(lab.directory)})
        wait_for("chromedriver", lambda: self.ask("GET", "/status")["ready"])
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--disable-features=HttpsUpgrades", f"--user-data-dir={lab.directory}/chromium"]}
        capabilities = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self.session = "/session/" + self.ask("POST", "/session", capabilities)["sessionId"]

    def ask(self, method, path, body=None):
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with self.lab.inside("visitor"), urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise labs.LabError(f"{path}: {json.load(error)['value']['message'][:300]}") from None
        except OSError as error:
            raise labs.LabError(f"{path}: {error}") from None

    def visit(self, url):
        self.ask("POST", f"{self.session}/url", {"url": url})

    def back(self):
        self.ask("POST", f"{self.session}/back")

    def where(self):
        return self.ask("GET", f"{self.session}/url")

    def title(self):
        return self.ask("GET", f"{self.session}/title")

    def elements(self, selector):
        found = self.ask("POST", f"{self.session}/elements", {"using": "css selector", "value": selector})
        return [each[ELEMENT] for each in found]

    def text(self, selector):
        return "\n".join(self.ask("GET", f"{self.session}/element/{each}/text") for each in self.elements(selector))

    def click(self, element):
        self.ask("POST", f"{self.session}/element/{element}/click")

    def resize(self, width, height):
        self.ask("POST", f"{self.session}/window/rect", {"width": width, "height": height})

    def width_of_page(self):
        return self.ask("POST", f"{self.session}/execute/sync",
                        {"script": "return [document.documentElement.scrollWidth, window.innerWidth]", "args": []})

    def screenshot(self, name):
        if folder := os.environ.get("SCREENSHOTS"):
            data = base64.b64decode(self.ask("GET", f"{self.session}/screenshot"))
            pathlib.Path(folder, f"{name}.png").write_bytes(data)


class Visit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        options = crafted.LabTest
        cls.lab = cls.enterClassContext(labs.Lab(options.binaries, options.device, options.workers))
        cls.story = demo.Demo(cls.lab)
        cls.story.start_ddnsd()
        cls.lab.start_page("home1", "page", HOME, 8080, TITLE)
        cls.lab.start_page("home1", "camera", HOME, 8081, CAMERA)
        cls.browser = Browser(cls.lab)

    def setUp(self):
        self.program = [*self.story.ddnsd]
        self.lab.ctl(f"clear subscriber {SUBSCRIBER}")

    def name(self, name, *rules):
        labs.run([*self.program, "name", "add", name, "home1"])
        for inside_port, service, title in rules:
            labs.run([*self.program, "name", "follow", name, SUBSCRIBER, "tcp", str(inside_port), service, "http", "/",
                      title])
            self.story.map("home1", inside_port)
        wait_for(f"{name} in the DNS", lambda: self.lab.dig("A", name) == labs.SERVERS["ddns"])

    # Shows DDN-010, DDN-011.
    def test_SVC_008_a_browser_is_led_to_the_port_by_the_name_alone_and_to_the_next_one_after(self):
        self.name("one.example", (8080, "web", TITLE))
        _, address, port = wait_for("a redirect", lambda: self.story.location("one.example"))
        self.browser.visit("http://one.example/")
        self.assertEqual(self.browser.where(), f"http://{address}:{port}/")
        self.assertIn(TITLE, self.browser.text("body"))
        self.lab.ctl(f"clear subscriber {SUBSCRIBER}")
        moved = self.story.map("home1", 8080)
        self.assertNotEqual(moved, port)
        wait_for("the redirect to move", lambda: self.story.location("one.example")[2] == moved)
        self.browser.visit("http://one.example/")
        self.assertRegex(self.browser.where(), rf"^http://[0-9.]+:{moved}/$")
        self.assertIn(TITLE, self.browser.text("body"))

    # Shows DDN-014.
    def test_DDN_013_the_portals_links_lead_to_the_services(self):
        self.name("b\u00fccher.example".encode("idna").decode(), (8080, "web", TITLE), (8081, "camera", CAMERA))
        wait_for("both services", lambda: CAMERA in self.story.curl("visitor", "http://xn--bcher-kva.example/"))
        self.browser.resize(1000, 800)
        self.browser.visit("http://b\u00fccher.example/")
        self.browser.screenshot("portal")
        self.assertEqual(self.browser.title(), "b\u00fccher.example")
        links = len(self.browser.elements("li a"))
        self.assertEqual(links, 2)
        seen = []
        for number in range(links):
            self.browser.click(self.browser.elements("li a")[number])
            seen.append(self.browser.text("body"))
            self.browser.back()
        for title in (TITLE, CAMERA):
            self.assertEqual(len([text for text in seen if title in text]), 1, seen)

    def test_a_portal_fits_a_phone_and_a_hostile_title_is_text(self):
        self.name("phone.example", (8080, "web", HOSTILE), (8081, "camera", "W" * 120))
        wait_for("both services", lambda: "WWW" in self.story.curl("visitor", "http://phone.example/"))
        self.browser.resize(360, 740)
        self.browser.visit("http://phone.example/")
        self.browser.screenshot("phone")
        self.assertEqual(self.browser.title(), "phone.example")
        self.assertIn(HOSTILE, self.browser.text("main"))
        page, window = self.browser.width_of_page()
        self.assertLessEqual(page, window, "the page is to be moved sideways")


if __name__ == "__main__":
    crafted.main()
