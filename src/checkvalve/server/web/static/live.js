// SPDX-License-Identifier: Apache-2.0
// What htmx and its sse extension leave to say: whether this page is live, and that it is not. It never calls old
// numbers live: without a word from the plane for some seconds it says since when. A form that somebody has open is
// kept until they close it; what came for its part meanwhile is put in then. A tab that nobody sees holds no stream: a
// browser has six connections to a plane, and the seventh tab would wait for ever.
"use strict";
(() => {
  const SILENT = 5000; // milliseconds; the plane says something each second
  const here = document.getElementById("live");
  if (!here) return;
  const [on, beat, cut, why] = ["live", "beat", "cut", "cut-why"].map((name) => here.querySelector(`[data-${name}]`));
  const [keeps, kept] = ["keeps", "kept"].map((name) => here.querySelector(`[data-${name}]`));
  let heard = Date.now(), over = false, later = null, source = null;

  function say(live) {
    on.hidden = !live;
    here.classList.toggle("old", !live);
    if (live) { cut.hidden = true; return; }
    if (cut.hidden) { why.textContent = why.dataset.text.replace("%s", beat.textContent.trim()); cut.hidden = false; }
  }

  function tell() { // to who cannot see it
    const said = document.getElementById("said"), sentence = here.querySelector("h1").textContent;
    if (said.textContent !== sentence) said.textContent = sentence;
  }

  here.addEventListener("htmx:sseMessage", (event) => {
    if (event.detail.type === "head") tell();
    if (event.detail.type === "cut") { heard = 0; say(false); return; }
    heard = Date.now();
    if (event.detail.type === "beat") say(true);
  });
  here.addEventListener("htmx:sseOpen", (event) => { source = event.detail.source; });
  here.addEventListener("htmx:sseClose", (event) => {
    if (event.detail.type !== "message") return;
    over = true;
    on.hidden = true;
  });
  setInterval(() => { if (!over && !document.hidden && Date.now() - heard > SILENT) say(false); }, 1000);

  document.addEventListener("visibilitychange", () => {
    if (over) return;
    if (document.hidden) {
      if (source) source.close();
      return;
    }
    heard = Date.now();
    for (const part of [here, ...here.querySelectorAll("[sse-swap]")]) htmx.trigger(part, "htmx:afterProcessNode");
  });

  keeps.addEventListener("htmx:sseBeforeMessage", (event) => {
    later = keeps.querySelector("details[open]") ? event.detail.data : null;
    kept.hidden = later === null;
    if (later !== null) event.preventDefault();
  });
  keeps.addEventListener("toggle", () => {
    if (later === null || keeps.querySelector("details[open]")) return;
    htmx.swap(keeps, later, { swapStyle: "innerHTML" });
    later = null;
    kept.hidden = true;
  }, true);
})();
