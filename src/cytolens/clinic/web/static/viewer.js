// The viewer of a case: one image at large (zoom, pan), its finding beside it, an explanation over
// it. Without this script the page shows the same by ordinary links.
"use strict";

(() => {
  const MOST = 32; // screen pixels of an image pixel
  const STEP = 1.25;
  const MOVE = 60; // screen pixels a key press moves

  class Viewer {
    constructor(root) {
      this.root = root;
      this.stage = root.querySelector(".stage");
      this.sheet = root.querySelector(".sheet");
      this.picture = root.querySelector(".picture");
      this.zoomed = root.querySelector("output.zoom");
      this.pointers = new Map();
      this.fitted = true;
      root.classList.add("live");
      for (const control of root.querySelectorAll("[data-live]")) control.hidden = false;
      if (!this.sheet) return;
      this.listen();
      if (this.picture.complete) this.fit();
    }

    listen() {
      this.picture.addEventListener("load", () => this.fit());
      new ResizeObserver(() => this.fitted && this.fit()).observe(this.stage);
      this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      this.stage.addEventListener("pointerdown", (event) => this.press(event));
      this.stage.addEventListener("pointermove", (event) => this.drag(event));
      for (const end of ["pointerup", "pointercancel"]) {
        this.stage.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
      }
      this.stage.addEventListener("dblclick", () => (this.fitted ? this.zoom(3) : this.fit()));
      document.addEventListener("keydown", (event) => this.key(event));
      for (const button of this.root.querySelectorAll("[data-zoom]")) {
        button.addEventListener("click", () => {
          if (button.dataset.zoom === "fit") this.fit();
          else this.zoom(button.dataset.zoom === "in" ? STEP : 1 / STEP);
        });
      }
    }

    show(source, name) {
      this.picture.removeAttribute("width");
      this.picture.removeAttribute("height");
      this.picture.alt = name;
      this.picture.src = source;
    }

    fit() {
      const { naturalWidth: width, naturalHeight: height } = this.picture;
      if (!width || !this.stage.clientWidth) return;
      const scale = Math.min(this.stage.clientWidth / width, this.stage.clientHeight / height);
      this.least = Math.min(scale, 1) / 2;
      this.place(scale, (this.stage.clientWidth - width * scale) / 2, (this.stage.clientHeight - height * scale) / 2);
      this.fitted = true;
    }

    place(scale, x, y) {
      const { naturalWidth: width, naturalHeight: height } = this.picture;
      const keep = 40; // of the image always stays in sight
      this.scale = scale;
      this.x = Math.min(Math.max(x, keep - width * scale), this.stage.clientWidth - keep);
      this.y = Math.min(Math.max(y, keep - height * scale), this.stage.clientHeight - keep);
      this.sheet.style.width = `${width}px`;
      this.sheet.style.height = `${height}px`;
      this.sheet.style.transform = `translate(${this.x}px, ${this.y}px) scale(${scale})`;
      this.sheet.classList.toggle("pixels", scale >= 4);
      this.zoomed.textContent = `${Math.round(scale * 100)} %`;
      this.fitted = false;
    }

    zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
      if (!this.scale) return;
      const scale = Math.min(Math.max(this.scale * factor, this.least), MOST);
      const grown = scale / this.scale;
      this.place(scale, x - (x - this.x) * grown, y - (y - this.y) * grown);
    }

    point(event) {
      const box = this.stage.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    }

    wheel(event) {
      event.preventDefault();
      const { x, y } = this.point(event);
      this.zoom(STEP ** (-Math.sign(event.deltaY) * (event.ctrlKey ? 0.5 : 1)), x, y);
    }

    press(event) {
      if (event.button !== 0) return;
      this.stage.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, this.point(event));
    }

    drag(event) {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = this.point(event);
      this.pointers.set(event.pointerId, now);
      if (this.pointers.size === 1) {
        this.place(this.scale, this.x + now.x - before.x, this.y + now.y - before.y);
        return;
      }
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
      this.zoom(apart(now, other) / apart(before, other), (now.x + other.x) / 2, (now.y + other.y) / 2);
    }

    key(event) {
      const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const move = moves[event.key];
      if (!event.shiftKey || !move || event.target.matches?.("input, textarea, select")) return;
      event.preventDefault();
      this.place(this.scale, this.x + move[0] * MOVE, this.y + move[1] * MOVE);
    }
  }

  // The explanation over the image: asked of the workers, waited for, shown with its notes.
  class Explanation {
    constructor(root) {
      this.root = root;
      this.box = root.querySelector(".explain");
      this.image = root.querySelector(".overlay");
      this.said = root.querySelector(".said");
      this.on = false;
      this.turn = 0; // an answer to an older question is dropped
      if (!this.box || !this.image) return;
      this.button = this.box.querySelector("[data-overlay]");
      this.method = this.box.querySelector("[data-method]");
      this.fade = this.box.querySelector("[data-fade]");
      this.button.addEventListener("click", () => this.toggle(!this.on));
      this.method.addEventListener("change", () => this.toggle(true));
      this.fade.addEventListener("input", () => this.faded());
      this.faded();
    }

    faded() {
      this.image.style.opacity = String(Number(this.fade.value) / 100);
    }

    say(text) {
      this.said.textContent = text;
    }

    toggle(on) {
      this.on = on;
      this.button.setAttribute("aria-pressed", String(on));
      this.clear();
      if (on) this.ask();
    }

    clear() {
      this.turn += 1;
      if (!this.image) return;
      this.image.hidden = true;
      this.image.removeAttribute("src");
      this.say("");
    }

    moved() {
      if (!this.button) return;
      this.clear();
      if (this.on) this.ask();
    }

    async ask() {
      const turn = this.turn;
      const image = this.root.dataset.image;
      const body = new URLSearchParams({ method: this.method.value });
      for (let wait = 300; turn === this.turn; wait = Math.min(wait * 1.4, 3000)) {
        const answer = await window.cytolens.send(`/images/${image}/explain`, { method: "POST", body });
        if (turn !== this.turn) return;
        const content = await answer.json().catch(() => ({}));
        if (!answer.ok) {
          this.say([content.what, content.fix].filter(Boolean).join(" ") || this.box.dataset.failed);
          return;
        }
        if (content.state === "ready" || content.overlay) {
          this.draw(content, turn);
          return;
        }
        this.say(this.box.dataset.waits);
        await new Promise((done) => setTimeout(done, wait));
      }
    }

    draw(content, turn) {
      this.image.addEventListener(
        "load",
        () => {
          if (turn !== this.turn) return;
          this.image.hidden = false;
          const told = this.box.dataset.shown
            .replace("{method}", () => content.title ?? content.method)
            .replace("{label}", () => content.target);
          this.say([told, ...(content.notes ?? [])].join(" "));
        },
        { once: true },
      );
      this.image.src = content.overlay;
    }
  }

  // Stepping through the gallery without loading the page anew.
  class Steps {
    constructor(root, viewer, explanation) {
      this.root = root;
      this.viewer = viewer;
      this.explanation = explanation;
      this.finding = document.getElementById("finding");
      this.place = root.querySelector("output.place");
      this.thumbs = [...document.querySelectorAll(".gallery a[data-image]")];
      this.first = Number.parseInt(this.place.textContent, 10) - 1 - this.index();
      for (const thumb of this.thumbs) {
        thumb.addEventListener("click", (event) => this.clicked(event, thumb));
      }
      for (const step of root.querySelectorAll("[data-step]")) {
        step.addEventListener("click", (event) => {
          const next = this.thumbs[this.index() + Number(step.dataset.step)];
          if (next) this.clicked(event, next);
          else if (step.getAttribute("aria-disabled") === "true") event.preventDefault();
        });
      }
      window.addEventListener("popstate", () => location.reload());
      this.thumbs[this.index()]?.scrollIntoView({ block: "nearest", inline: "nearest" });
      this.preload();
    }

    index() {
      return this.thumbs.findIndex((thumb) => thumb.getAttribute("aria-current") === "true");
    }

    clicked(event, thumb) {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button > 0) return;
      if (!this.viewer.sheet || thumb.querySelector(".gone")) return; // the page is loaded
      event.preventDefault();
      this.choose(thumb);
    }

    choose(thumb) {
      this.thumbs[this.index()]?.removeAttribute("aria-current");
      thumb.setAttribute("aria-current", "true");
      thumb.scrollIntoView({ block: "nearest", inline: "nearest" });
      const image = thumb.dataset.image;
      this.root.dataset.image = image;
      this.viewer.show(`/images/${image}`, thumb.title);
      this.explanation.moved();
      const place = this.first + this.index();
      this.place.textContent = `${place + 1} / ${this.place.dataset.of}`;
      for (const step of this.root.querySelectorAll("[data-step]")) {
        const next = this.thumbs[this.index() + Number(step.dataset.step)];
        const past = place + Number(step.dataset.step);
        if (next) step.href = next.href;
        if (past < 0 || past >= Number(this.place.dataset.of)) step.setAttribute("aria-disabled", "true");
        else step.removeAttribute("aria-disabled");
      }
      history.replaceState(null, "", thumb.href);
      this.tell(image);
      this.preload();
    }

    async tell(image) {
      this.finding.setAttribute("aria-busy", "true");
      const address = `/cases/${this.root.dataset.case}/images/${image}`;
      const answer = await fetch(address, { credentials: "same-origin" });
      if (this.root.dataset.image !== image) return;
      if (!answer.ok) {
        location.reload(); // signed out, or the case has changed: the page says it
        return;
      }
      this.finding.innerHTML = await answer.text();
      this.finding.removeAttribute("aria-busy");
    }

    preload() {
      const next = this.thumbs[this.index() + 1];
      if (next && !next.querySelector(".gone")) new Image().src = `/images/${next.dataset.image}`;
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const root = document.getElementById("viewer");
    if (!root) return;
    new Steps(root, new Viewer(root), new Explanation(root));
  });
})();
