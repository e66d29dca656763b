// Keeps an open page up to date: asks for it again, and puts in what has changed. Without this
// script a page is as true as when it was loaded.
"use strict";
(() => {
  const main = document.getElementById("main");
  const live = document.getElementById("live");
  const every = Number(main?.dataset.every || 0) * 1000;
  if (!every || !live) return;
  let [tag, timer, failed] = ["", 0, 0];

  const say = (text, off) => {
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle("off", off);
  };
  const parts = (root) => [...root.querySelectorAll("main > [id]")];
  const opened = (part) => [...part.querySelectorAll("details")].map((each) => each.open);

  // What somebody reads, has opened, scrolled or stands on with the keyboard stays as it is.
  const put = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML) return;
    const open = opened(old);
    const scrolled = [...old.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
    const stops = "a, button, summary, [tabindex]";
    const at = [...old.querySelectorAll(stops)].indexOf(document.activeElement);
    old.replaceChildren(...fresh.childNodes);
    old.querySelectorAll("details").forEach((each, place) => { each.open = open[place] || false; });
    old.querySelectorAll(".scroll").forEach((each, place) => { each.scrollLeft = scrolled[place] || 0; });
    if (at >= 0) old.querySelectorAll(stops)[at]?.focus({ preventScroll: true });
  };

  const look = async () => {
    const answer = await fetch(location.href, { cache: "no-cache", headers: { accept: "text/html" } });
    if (answer.redirected) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    if (answer.headers.get("etag") === tag) return;
    tag = answer.headers.get("etag");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [olds, news] = [parts(document), parts(fresh)];
    if (olds.map((each) => each.id).join() === news.map((each) => each.id).join()) {
      olds.forEach((old, place) => put(old, news[place]));
    } else {
      main.replaceChildren(...fresh.getElementById("main").childNodes);
    }
    document.title = fresh.title;
  };

  const turn = async () => {
    clearTimeout(timer);
    if (!document.hidden) {
      try {
        await look();
        failed = 0;
        say("Live", false);
      } catch {
        failed += 1;
        say("Not live: the dashboard does not answer. What is shown may be old.", true);
      }
    }
    timer = setTimeout(turn, every * Math.min(10, 1 + failed));
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) turn(); });
  say("Live", false);
  timer = setTimeout(turn, every);
})();
