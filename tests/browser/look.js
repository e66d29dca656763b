// What a test asks of a page: one function that returns what is wrong, as lists of words.
() => {
  const rgba = (text) => {
    const numbers = (text.match(/^rgba?\(([^)]*)\)$/) || [])[1];
    if (!numbers) throw new Error(`a colour that is not known here: ${text}`);
    const [r, g, b, a = 1] = numbers.split(/[ ,/]+/).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  // A page without a background shows the canvas of its colour scheme.
  const background = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const middle = (element) => {
    const box = element.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const holds = (shape, [x, y]) => {
    const box = shape.getBoundingClientRect();
    return box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
  };
  // A number in a cell of a heat map stands on the cell; a cell is a path of straight sides.
  const behind = (text) => {
    let colour = background(text.closest("svg"));
    for (const shape of text.closest("svg").querySelectorAll("path[d*='h']")) {
      const style = getComputedStyle(shape);
      if (style.fill === "none" || !holds(shape, middle(text))) continue;
      if (!(shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
      const fill = rgba(style.fill);
      fill[3] *= Number(style.fillOpacity) * Number(style.opacity);
      colour = over(fill, colour);
    }
    return colour;
  };
  const drawn = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  const words = (element) => element.textContent.trim().slice(0, 60);

  const pale = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !drawn(element) || ["SCRIPT", "STYLE", "TITLE", "DESC"].includes(element.tagName.toUpperCase())) continue;
    const style = getComputedStyle(element);
    const inside = element.closest("svg") !== null;
    const ground = inside ? behind(element) : background(element);
    const ratio = contrast(over(rgba(inside ? style.fill : style.color), ground), ground);
    if (ratio < 4.5) pale.push(`${ratio.toFixed(2)} ${words(element)}`);
  }

  const nameless = [...document.querySelectorAll("svg, img, [role=img], [role=region], nav, section, button, input, select")].filter((element) => {
    if (element.closest("[aria-hidden=true], [hidden]")) return false;
    const labels = (element.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
    const named = labels.map((id) => document.getElementById(id)?.textContent || "").join("");
    const label = element.labels?.[0]?.textContent || element.getAttribute("aria-label") || element.getAttribute("alt") || named;
    const own = ["BUTTON", "SECTION"].includes(element.tagName) ? element.textContent : "";
    return !(label || own).trim();
  });

  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(drawn).map((each) => Number(each.tagName[1]));
  const cut = [...document.querySelectorAll(".part svg text")].filter((text) => {
    const [box, card] = [text.getBoundingClientRect(), text.closest(".part").getBoundingClientRect()];
    return drawn(text) && (box.left < card.left || box.right > card.right);
  });
  const digests = [...document.querySelectorAll("dd code")].filter((code) => /^[0-9a-f]{64}$/.test(code.textContent)).map((code) => {
    const lines = new Set([...code.getClientRects()].map((box) => Math.round(box.top)));
    return lines.size;
  });
  return {
    pale,
    nameless: nameless.map((element) => element.outerHTML.slice(0, 120)),
    levels,
    cut: cut.map(words),
    digests,
    wider: document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth,
    language: document.documentElement.lang,
    title: document.title,
    landmarks: ["main", "header", "footer"].map((name) => document.querySelectorAll(`body > ${name}`).length),
    texts: document.body.innerText.length,
  };
}
