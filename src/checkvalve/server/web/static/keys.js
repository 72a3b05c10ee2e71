// SPDX-License-Identifier: Apache-2.0
// Keys and copying. Every page works without this file; it makes the same things quicker.
"use strict";
(() => {
  const typing = (element) => element && (/^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) || element.isContentEditable);
  const keys = document.getElementById("keys");
  const said = document.getElementById("said");
  const rows = () => [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a.row, a.mono"));
  let going = 0;
  let leaving = false;
  window.addEventListener("pageshow", () => { leaving = false; });

  function choose(step) {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.classList.contains("chosen"));
    const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + step, 0), all.length - 1);
    all.forEach((row, index) => row.classList.toggle("chosen", index === next));
    all[next].querySelector("a.row, a.mono").focus({ preventScroll: true });
    all[next].scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || keys.open) return;
    if (Date.now() - going < 1500) {
      going = 0;
      const target = [...document.querySelectorAll("[data-goes]")].find((place) => place.dataset.goes === event.key);
      if (target) { event.preventDefault(); window.location.assign(target.dataset.to); }
      return;
    }
    const key = event.key.toLowerCase();
    const meant = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key.split(" ").includes(key));
    if (meant && !meant.disabled) {
      event.preventDefault();
      if (typing(meant)) meant.focus();
      else if (!leaving) { leaving = true; meant.click(); }  // a second press is for the next page, not for this one
      return;
    }
    switch (event.key) {
      case "g": going = Date.now(); break;
      case "?": event.preventDefault(); keys.showModal(); break;
      case "/": event.preventDefault(); document.getElementById("find").focus(); break;
      case "j": choose(1); break;
      case "k": choose(-1); break;
    }
  });

  document.addEventListener("click", async (event) => {
    const copies = event.target.closest("[data-copy]");
    if (copies) {
      await navigator.clipboard.writeText(copies.dataset.copy);
      said.textContent = "";
      said.textContent = said.dataset.copied;
      copies.classList.add("copied");
      setTimeout(() => copies.classList.remove("copied"), 1200);
    }
    const opens = event.target.closest("[data-opens]");
    if (opens) document.getElementById(opens.dataset.opens).showModal();
    for (const open of document.querySelectorAll("details.scopes[open], details.more[open]")) {
      if (!open.contains(event.target)) open.open = false;
    }
  });

  document.querySelectorAll("[data-opens]").forEach((button) => { button.hidden = false; });
  document.querySelectorAll("[data-narrows]").forEach((input) => {
    input.hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const item of document.getElementById(input.dataset.narrows).children) {
        item.hidden = !item.textContent.toLowerCase().includes(wanted);
      }
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      const first = document.querySelector(`#${input.dataset.narrows} > li:not([hidden]) a`);
      if (first) window.location.assign(first.href);
    });
  });
})();
