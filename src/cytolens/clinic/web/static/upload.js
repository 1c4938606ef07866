// Uploading to a case: files and folders are dropped or chosen, sent a few at a time, and what was
// refused is listed. The findings' progress follows.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const FILES = 12; // of one request
  const BYTES = 24 * 1024 * 1024; // of one request, but for a single larger file
  const SHOWN = 200; // refused files that are listed

  const panel = document.querySelector("[data-upload]");
  if (!panel) return;
  const words = panel.dataset;
  const form = panel.querySelector("form");
  const button = form.querySelector("button");
  const chosen = panel.querySelector("#upload-files");
  const folder = panel.querySelector("#upload-folder");
  const said = panel.querySelector("[data-said]");
  const progress = panel.querySelector("[data-progress]");
  const refused = panel.querySelector("[data-refused]");
  const findings = panel.querySelector("[data-findings]");
  const found = panel.querySelector("[data-found]");
  const foundProgress = panel.querySelector("[data-found-progress]");
  const reload = panel.querySelector("[data-reload]");
  let sending = false;
  let source = null;

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));

  function say(text) {
    said.hidden = false;
    said.textContent = text;
  }

  function refuse(name, why) {
    const list = refused.querySelector("ul");
    refused.hidden = false;
    if (list.children.length >= SHOWN) return;
    const line = document.createElement("li");
    line.textContent = `${name}: ${why}`;
    list.append(line);
  }

  // Parts of a few files each; a file above the limit is refused here, before it is sent.
  function parts(files) {
    const made = [];
    let part = [];
    let bytes = 0;
    for (const file of files) {
      const archive = /\.zip$/i.test(file.name);
      if (file.size > Number(archive ? words.request : words.limit)) {
        refuse(file.name, words.large);
        continue;
      }
      if (part.length && (part.length === FILES || bytes + file.size > BYTES)) {
        made.push(part);
        part = [];
        bytes = 0;
      }
      part.push(file);
      bytes += file.size;
    }
    if (part.length) made.push(part);
    return made;
  }

  async function sendPart(part) {
    const body = new FormData();
    for (const file of part) body.append("files", file, file.name);
    const answer = await window.cytolens.send(form.action, { method: "POST", body });
    const content = await answer.json();
    if (answer.ok) return content;
    const why = [content.what, content.fix].filter(Boolean).join(" ");
    throw Object.assign(new Error(why), { answered: true });
  }

  async function send(files) {
    if (sending || !files.length) return;
    sending = true;
    button.disabled = true;
    refused.hidden = true;
    refused.querySelector("ul").replaceChildren();
    const total = { added: 0, known: 0, refused: 0 };
    const waiting = parts(files);
    total.refused = files.length - waiting.reduce((sum, part) => sum + part.length, 0);
    const all = files.length - total.refused;
    let done = 0;
    progress.hidden = false;
    progress.max = Math.max(all, 1);
    progress.value = 0;
    say(fill(words.sending, { done, all }));
    try {
      // Two at a time: one is sent while the other is decoded.
      const lane = async () => {
        for (let part = waiting.shift(); part; part = waiting.shift()) {
          const content = await sendPart(part);
          total.added += content.added.length;
          total.known += content.known.length;
          total.refused += content.refused.length;
          for (const { name, why } of content.refused) refuse(name, why);
          done += part.length;
          progress.value = done;
          say(fill(words.sending, { done, all }));
          if (content.added.length) follow();
        }
      };
      await Promise.all([lane(), lane()]);
      say(fill(words.sent, total));
    } catch (error) {
      waiting.length = 0;
      say(error.answered ? error.message : words.lost);
    }
    sending = false;
    button.disabled = false;
    progress.hidden = true;
    form.reset();
    if (total.added) reload.hidden = false;
  }

  // A dropped folder is walked; its files come in parts of at most a hundred.
  async function inside(entry) {
    if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
    const reader = entry.createReader();
    const files = [];
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return files;
      for (const one of some) if (!one.name.startsWith(".")) files.push(...(await inside(one)));
    }
  }

  async function dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.length) return [...transfer.files];
    return (await Promise.all(entries.map(inside))).flat();
  }

  // Progress of the findings, told by the server until none waits.
  function follow() {
    if (source) return;
    source = new EventSource(`/cases/${words.case}/events`);
    const shown = (event) => {
      const content = JSON.parse(event.data);
      findings.hidden = false;
      found.textContent = fill(words.finding, content);
      foundProgress.max = Math.max(content.images, 1);
      foundProgress.value = content.finished;
    };
    source.addEventListener("progress", shown);
    source.addEventListener("done", (event) => {
      shown(event);
      source.close();
      source = null;
      if (sending) return;
      found.textContent = words.ready;
      reload.hidden = false;
    });
    source.addEventListener("error", () => {
      if (source?.readyState !== EventSource.CLOSED) return; // it asks again by itself
      source = null;
    });
  }

  for (const element of panel.querySelectorAll("[data-script]")) element.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send([...chosen.files]);
  });
  panel.querySelector("[data-folder]").addEventListener("click", () => folder.click());
  folder.addEventListener("change", () => {
    send([...folder.files].filter((file) => !file.name.startsWith(".")));
  });
  panel.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    panel.classList.add("target");
  });
  panel.addEventListener("dragleave", (event) => {
    if (!panel.contains(event.relatedTarget)) panel.classList.remove("target");
  });
  panel.addEventListener("drop", async (event) => {
    event.preventDefault();
    panel.classList.remove("target");
    send(await dropped(event.dataTransfer));
  });
  window.addEventListener("beforeunload", (event) => {
    if (sending) event.preventDefault();
  });
  if (Number(words.pending)) follow();
});
