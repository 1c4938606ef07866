// Keys of a page: what carries data-key="j" is clicked when j is pressed. Off where somebody types,
// and off altogether where the account's browser says so (the box in the list of keys).
"use strict";

(() => {
  const OFF = "cytolens-keys-off";
  const SAME = { ArrowRight: "j", ArrowLeft: "k", "=": "+", _: "-" };

  function off() {
    try {
      return localStorage.getItem(OFF) === "1";
    } catch {
      return false; // storage may be forbidden; then the keys work
    }
  }

  function typing(element) {
    if (element.isContentEditable) return true;
    if (element.matches("textarea, select")) return true;
    return element.matches("input") && !element.matches("[type=checkbox], [type=button], [type=submit]");
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.shiftKey && event.key.startsWith("Arrow")) return; // moves the image
    const element = event.target instanceof Element ? event.target : document.body;
    const key = SAME[event.key] ?? event.key;
    if (typing(element)) {
      // A chosen category must not end the keys of the page: letters mean nothing to a radio button.
      if (!element.matches("[type=radio]") || event.key.startsWith("Arrow")) return;
    }
    if (document.querySelector("dialog[open]") || (off() && key !== "?")) return;
    for (const control of document.querySelectorAll("[data-key]")) {
      if (control.dataset.key !== key || control.hidden || control.closest("[hidden]")) continue;
      if (control.disabled || control.getAttribute("aria-disabled") === "true") return;
      event.preventDefault();
      control.click();
      if (control.matches("input")) control.focus({ preventScroll: false });
      return;
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    for (const control of document.querySelectorAll("[data-key]")) {
      control.setAttribute("aria-keyshortcuts", control.dataset.key === "+" ? "Plus" : control.dataset.key);
    }
    for (const opener of document.querySelectorAll("[data-dialog]")) {
      const dialog = document.getElementById(opener.dataset.dialog);
      if (!dialog) continue;
      opener.hidden = false;
      opener.addEventListener("click", () => dialog.showModal());
    }
    const box = document.querySelector("[data-keys-off]");
    if (!box) return;
    box.closest("[hidden]")?.removeAttribute("hidden");
    box.checked = off();
    box.addEventListener("change", () => {
      try {
        if (box.checked) localStorage.setItem(OFF, "1");
        else localStorage.removeItem(OFF);
      } catch {
        // storage may be forbidden; then the keys go on working
      }
    });
  });
})();
