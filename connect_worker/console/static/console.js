// Fetches the part of a page that changes, and puts it in the old one's place. All pages work without it.
"use strict";

(() => {
  const SIGNED_OUT = 401;
  const TIMEOUT_MS = 15000;

  function begin() {
    dress(live());
    if (live()) {
      later();
      document.addEventListener("visibilitychange", () => document.hidden || refresh());
    }
  }

  function live() {
    return document.getElementById("live");
  }

  let timer = 0;
  let asked = null;

  function later(tookMs = 0) {
    clearTimeout(timer);
    // A ledger that takes long is not asked all the time.
    timer = setTimeout(refresh, Math.max(1000 * live().dataset.every, 10 * tookMs));
  }

  function refresh() {
    if (document.hidden || asked) return;
    if (isReading()) return later();
    const begun = performance.now();
    const address = new URL(location.href);
    address.searchParams.set("part", "live");
    asked = new XMLHttpRequest();
    asked.open("GET", address.pathname + address.search);
    // As a document: it is parsed, no script in it runs, and no text becomes markup here.
    asked.responseType = "document";
    asked.timeout = TIMEOUT_MS;
    asked.onloadend = () => {
      const { status, response } = asked;
      asked = null;
      if (status === SIGNED_OUT) return location.reload();
      const fresh = status === 200 && response && response.getElementById("live");
      if (fresh) swap(fresh);
      else say(response && response.getElementById("said"));
      later(performance.now() - begun);
    };
    asked.send();
  }

  // Who marks a text to copy it would lose it.
  function isReading() {
    const selection = getSelection();
    return !selection.isCollapsed && live().contains(selection.anchorNode);
  }

  function say(said) {
    const stale = document.getElementById("stale");
    stale.textContent = said
      ? `Not up to date: ${said.textContent}`
      : "Not up to date: the console does not answer. It is asked again.";
    stale.hidden = false;
    live().classList.add("old");
  }

  function swap(fresh) {
    const old = live();
    const place = focusedIn(old);
    for (const input of old.querySelectorAll("input:checked")) {
      const same = [...fresh.querySelectorAll("input")].find(
        (one) => one.name === input.name && one.value === input.value
      );
      if (same) same.checked = true;
    }
    for (const one of old.querySelectorAll("details[open]")) {
      const same = fresh.querySelector(`#${CSS.escape(one.id)}`);
      if (same) same.open = true;
    }
    old.replaceWith(document.adoptNode(fresh));
    document.getElementById("stale").hidden = true;
    dress(live());
    if (place >= 0) focusable(live())[place]?.focus({ preventScroll: true });
  }

  function focusable(part) {
    return [...part.querySelectorAll("a, button, input:not([type=hidden]), summary")];
  }

  function focusedIn(part) {
    return focusable(part).indexOf(document.activeElement);
  }

  // What only a script can do for the list: choose all of a page, and count.
  function dress(part) {
    const all = part && part.querySelector("#all-here");
    if (!all) return;
    const boxes = [...part.querySelectorAll("input[name=ref]")];
    const told = part.querySelector("#chosen");
    const count = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      told.textContent = chosen ? `the ${chosen} chosen` : "none chosen";
      all.checked = chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
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
