// Live pages: on each journal entry the page is fetched again and <main> and the bar are swapped. Nothing here decides or changes anything.
"use strict";
(() => {
  const main = () => document.getElementById("main");
  if (!main() || !main().dataset.live || !window.EventSource) return;
  const strip = document.getElementById("stale");
  let wanted = false, fetching = false, timer = 0, brokenSince = 0;

  const busy = () => {
    const chosen = document.getSelection();
    const typing = document.activeElement && document.activeElement.closest("form");
    const open = document.querySelector("main details[open] form");
    return Boolean(typing || open || (chosen && !chosen.isCollapsed));
  };

  const swap = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (!fresh.getElementById("main") || !fresh.getElementById("main").dataset.live) { location.reload(); return; }
    const open = [...document.querySelectorAll("main details[open]")].map((one) => one.id);
    const focus = document.activeElement && document.activeElement.id;
    for (const id of ["main", "bar"]) document.getElementById(id).replaceWith(document.importNode(fresh.getElementById(id), true));
    document.title = fresh.title;
    for (const id of open) { const one = id && document.getElementById(id); if (one) one.open = true; }
    if (focus) { const one = document.getElementById(focus); if (one) one.focus({ preventScroll: true }); }
  };

  const refresh = async () => {
    timer = 0;
    if (fetching || busy()) { wanted = true; return; }
    wanted = false; fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok && !busy()) swap(await answer.text()); else wanted = true;
    } catch { wanted = true; } finally { fetching = false; }
  };
  const soon = () => { if (!timer) timer = setTimeout(refresh, 300); };

  const source = new EventSource("/api/v1/stream");
  source.addEventListener("entry", soon);
  source.addEventListener("open", () => { if (brokenSince) soon(); brokenSince = 0; strip.hidden = true; });
  source.addEventListener("error", () => { if (!brokenSince) brokenSince = Date.now(); });

  const length = (seconds) => {
    let left = Math.max(0, Math.round(seconds)), parts = [];
    for (const [name, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
      const count = Math.floor(left / size); left %= size;
      if (count) parts.push(count + name);
    }
    return parts.slice(0, 2).join(" ") || "0s";
  };
  setInterval(() => {
    const now = Date.now() / 1000;
    for (const one of document.querySelectorAll("time[data-at]")) {
      const at = Number(one.dataset.at);
      one.textContent = at > now ? "in " + length(at - now) : length(now - at) + " ago";
    }
    for (const one of document.querySelectorAll("time[datetime]:not([data-local])")) {
      one.dataset.local = "1";
      one.title = one.title + " = " + new Date(one.getAttribute("datetime")).toLocaleString();
    }
    const broken = brokenSince ? Math.round((Date.now() - brokenSince) / 1000) : 0;
    if (broken >= 5) { strip.hidden = false; strip.querySelector("span").textContent = "No contact for " + length(broken) + "; what you see may be old. Trying again."; }
    if (source.readyState === EventSource.CLOSED && broken >= 10) location.reload();
    if (wanted && !busy()) soon();
  }, 1000);
})();
