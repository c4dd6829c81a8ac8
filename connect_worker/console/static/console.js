// Fetches the part of a page that changes, and replaces the old part. All pages work without this script.
"use strict";

(() => {
  const SIGNED_OUT = 401;
  const TIMEOUT_MS = 15000;

  function begin() {
    prepare(live());
    if (live()) {
      schedule();
      document.addEventListener("visibilitychange", () => document.hidden || refresh());
    }
  }

  function live() {
    return document.getElementById("live");
  }

  let timer = 0;
  let pending = null;

  function schedule(tookMs = 0) {
    clearTimeout(timer);
    // A slow ledger is read less often.
    timer = setTimeout(refresh, Math.max(1000 * live().dataset.every, 10 * tookMs));
  }

  function refresh() {
    if (document.hidden || pending) return;
    if (isSelecting()) return schedule();
    const begun = performance.now();
    const address = new URL(location.href);
    address.searchParams.set("part", "live");
    pending = new XMLHttpRequest();
    pending.open("GET", address.pathname + address.search);
    // As a document: it is parsed, its scripts do not run, and no text becomes markup here.
    pending.responseType = "document";
    pending.timeout = TIMEOUT_MS;
    pending.onloadend = () => {
      const { status, response } = pending;
      pending = null;
      if (status === SIGNED_OUT) return location.reload();
      const fresh = status === 200 && response && response.getElementById("live");
      if (fresh) replace(fresh);
      else showStale(response && response.getElementById("message"));
      schedule(performance.now() - begun);
    };
    pending.send();
  }

  // A refresh would remove the selection of a person who copies a text.
  function isSelecting() {
    const selection = getSelection();
    return !selection.isCollapsed && live().contains(selection.anchorNode);
  }

  function showStale(message) {
    const stale = document.getElementById("stale");
    stale.textContent = message
      ? `Not up to date: ${message.textContent}`
      : "Not up to date: the console does not answer. Trying again.";
    stale.hidden = false;
    live().classList.add("old");
  }

  function replace(fresh) {
    const old = live();
    const focused = focusedIn(old);
    for (const input of old.querySelectorAll("input:checked")) {
      const same = [...fresh.querySelectorAll("input")].find(
        (other) => other.name === input.name && other.value === input.value
      );
      if (same) same.checked = true;
    }
    for (const details of old.querySelectorAll("details[open]")) {
      const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (same) same.open = true;
    }
    old.replaceWith(document.adoptNode(fresh));
    document.getElementById("stale").hidden = true;
    prepare(live());
    if (focused >= 0) focusable(live())[focused]?.focus({ preventScroll: true });
  }

  function focusable(part) {
    return [...part.querySelectorAll("a, button, input:not([type=hidden]), summary")];
  }

  function focusedIn(part) {
    return focusable(part).indexOf(document.activeElement);
  }

  // What the list can do only with a script: select all requests of a page, and count them.
  function prepare(part) {
    const all = part && part.querySelector("#select-page");
    if (!all) return;
    const boxes = [...part.querySelectorAll("input[name=request]")];
    const label = part.querySelector("#selected");
    const count = () => {
      const selected = boxes.filter((box) => box.checked).length;
      label.textContent = selected ? `the ${selected} selected` : "none selected";
      all.checked = selected === boxes.length;
      all.indeterminate = selected > 0 && selected < boxes.length;
    };
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of boxes) box.checked = all.checked;
      count();
    });
    for (const box of boxes) box.addEventListener("change", count);
    count();
  }

  begin();
})();
