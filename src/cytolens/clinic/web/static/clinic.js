// Of every page. Loaded before the style sheet, so that the chosen theme is there at once.
"use strict";

(() => {
  const KEY = "cytolens-theme";
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden; then the system's theme holds
    }
  }

  function show(theme) {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  }

  function next() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const present = root.dataset.theme || (dark ? "dark" : "light");
    const theme = present === "dark" ? "light" : "dark";
    show(theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // as above: it lasts for this page
    }
  }

  show(stored());

  // For the scripts of other pages: the session's token in the header of a change.
  window.cytolens = {
    csrf: () => document.querySelector('meta[name="csrf"]')?.content ?? "",
    send(address, options = {}) {
      const headers = { Accept: "application/json", "X-CSRF-Token": this.csrf(), ...options.headers };
      return fetch(address, { credentials: "same-origin", ...options, headers });
    },
    toast(text, kind = "notice") {
      let place = document.querySelector(".toasts");
      if (!place) {
        place = document.createElement("div");
        place.className = "toasts";
        place.setAttribute("role", "status");
        document.body.append(place);
      }
      const toast = document.createElement("p");
      toast.className = `toast ${kind}`;
      toast.textContent = text;
      place.append(toast);
      setTimeout(() => toast.remove(), 8000);
    },
  };

  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.hidden = false;
      button.addEventListener("click", next);
    }
    // A form is sent once: its button waits for the answer.
    document.addEventListener("submit", (event) => {
      const form = event.target;
      const button = event.submitter;
      if (event.defaultPrevented || form.method !== "post") return;
      if (button?.dataset.confirm && !confirm(button.dataset.confirm)) {
        event.preventDefault();
        return;
      }
      if (form.getAttribute("aria-busy") === "true") event.preventDefault();
      else form.setAttribute("aria-busy", "true");
    });
    window.addEventListener("pageshow", () => {
      for (const form of document.querySelectorAll("form[aria-busy]")) form.removeAttribute("aria-busy");
    });
    // A filter is applied when it is chosen; without scripts its button does it.
    for (const chosen of document.querySelectorAll("form[data-auto] select, form[data-auto] [type=checkbox]")) {
      chosen.addEventListener("change", () => chosen.form.requestSubmit());
    }
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        const source = document.querySelector(button.dataset.copy);
        await navigator.clipboard.writeText(source.value ?? source.textContent.trim());
        button.classList.add("done");
      });
    }
  });
})();
